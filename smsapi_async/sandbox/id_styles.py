"""The ids of segments and of incoming messages."""

import itertools
import re
from collections.abc import Iterator

from smsapi_async.sandbox.dialect import IdStyle, IncomingId

# Numeric segment ids begin with the segment id in the examples of the vendor's document.
_FIRST_ID = 579700854169272358
# The ids of incoming messages begin with the id in the example of the vendor's document.
_FIRST_INCOMING_ID = 539187174
# The first hexadecimal part of an id that contains a number, as in the vendor's later document.
_FIRST_HEXADECIMAL = 0x5F3B1972
# The numbers in the first alphanumeric ids, one for each form.
_FIRST_ALPHANUMERIC = (0x0261BA732A, 0x3F22A2E, 84333)
# More than the segments of the longest text.
_MOST_SEGMENTS = 1000

_DIGITS = re.compile(r"[1-9][0-9]{17}", re.ASCII)
_ALPHANUMERIC = re.compile(r"GW([0-9A-F]{10})|WF([0-9A-F]{7,8})|SAR-W\+([1-9][0-9]{4,9})", re.ASCII)
_WITH_NUMBER = re.compile(r"SAR-GW01\+[0-9]{7,15}-([0-9a-f]{8})-[0-9]{1,2}-([0-9]{1,2})", re.ASCII)


class Ids:
    """Creates the ids of one sandbox.

    Args:
        style: the form of segment ids; the docstring of `Dialect` has an example of each form.
        incoming: the type of the ids of incoming messages; None means that `style` determines the type.
    """

    def __init__(self, style: IdStyle, incoming: IncomingId | None) -> None:
        self._style = style
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

    def place(self, segment_id: str) -> int | None:
        """Return the place of a segment id in the order of all ids of this style; None if the form is wrong.

        The places increase from one id to the next.
        """
        if self._has_numbers:
            match = _WITH_NUMBER.fullmatch(segment_id)
            return int(match[1], 16) * _MOST_SEGMENTS + int(match[2]) if match else None
        match = (_DIGITS if self._style == "digits" else _ALPHANUMERIC).fullmatch(segment_id)
        if match is None:
            return None
        if self._style == "digits":
            return int(match[0])
        form = match.lastindex or 1
        base = 10 if form == 3 else 16
        return (int(match[form], base) - _FIRST_ALPHANUMERIC[form - 1]) * 3 + form

    def of_incoming(self) -> int | str:
        """Return the id of the next incoming message."""
        number = next(self._incoming)
        return number if self._has_integers else f"IN{number:X}"


def _alphanumeric() -> Iterator[str]:
    """Yield segment ids in the three forms that are not plain digits (contract, "Sms/Send")."""
    first, second, third = _FIRST_ALPHANUMERIC
    for number in itertools.count():
        yield f"GW{first + number:010X}"
        yield f"WF{second + number:07X}"
        yield f"SAR-W+{third + number}"
