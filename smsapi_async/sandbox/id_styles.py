"""The ids of segments and of incoming messages."""

import itertools
from collections.abc import Iterator

from smsapi_async.sandbox.dialect import IdStyle, IncomingId

# Numeric segment ids begin with the segment id in the examples of the vendor's document.
_FIRST_ID = 579700854169272358
# The ids of incoming messages begin with the id in the example of the vendor's document.
_FIRST_INCOMING_ID = 539187174
# The first hexadecimal part of an id that contains a number, as in the vendor's later document.
_FIRST_HEXADECIMAL = 0x5F3B1972


class Ids:
    """Creates the ids of one sandbox.

    Args:
        style: the form of segment ids; the docstring of `Dialect` has an example of each form.
        incoming: the type of the ids of incoming messages; None means that `style` determines the type.
    """

    def __init__(self, style: IdStyle, incoming: IncomingId | None) -> None:
        self._has_numbers = style == "number"
        self._has_integers = style == "digits" if incoming is None else incoming == "integer"
        self._plain = map(str, itertools.count(_FIRST_ID)) if style == "digits" else _alphanumeric()
        self._hexadecimal = itertools.count(_FIRST_HEXADECIMAL)
        self._incoming = itertools.count(_FIRST_INCOMING_ID, 40)

    def of_segments(self, digits: str, count: int) -> tuple[str, ...]:
        """Return the ids of the segments of one message.

        Args:
            digits: the digits of the destination address.
            count: the number of segments.
        """
        if not self._has_numbers:
            return tuple(itertools.islice(self._plain, count))
        start = f"SAR-GW01+{digits}-{next(self._hexadecimal):08x}-{count}"
        return tuple(f"{start}-{position}" for position in range(1, count + 1))

    def of_incoming(self) -> int | str:
        """Return the id of the next incoming message."""
        number = next(self._incoming)
        return number if self._has_integers else f"IN{number:X}"


def _alphanumeric() -> Iterator[str]:
    """Yield segment ids in the three forms that are not plain digits (contract, "Sms/Send")."""
    number = 0
    while True:
        yield f"GW{0x0261BA732A + number:010X}"
        yield f"WF{0x3F22A2E + number:07X}"
        yield f"SAR-W+{84333 + number}"
        number += 1
