"""Finds the rows of a table that repeat an earlier row."""

from hashlib import blake2b
from typing import Literal

import attrs

from smsapi_async.cli.batch.row_converter import RowMessage, SkippedRow
from smsapi_async.ledger.keys import digest, key_of

# A digest of 12 bytes for each row. Among a million rows, two different rows have the same digest with a
# probability of less than 1 to 10^16.
_DIGEST_BYTES = 12


class Repetitions:
    """Finds rows with the number and the text of an earlier row, also if their keys or dates differ.

    Args:
        mode: whether repeated rows are skipped or sent.
    """

    def __init__(self, mode: Literal["skip", "send"] = "skip") -> None:
        self._mode = mode
        self._counts: dict[bytes, int] = {}
        self._seen: set[bytes] = set()

    def take(self, row: RowMessage) -> RowMessage | SkippedRow:
        """Return the row as it is sent, or a `SkippedRow` for a repeated row.

        A repeated row that is sent gets a key of its own, because a ledger sends the messages of one key only
        once. In a later run with the same table, the row has the same key.
        """
        if self._mode == "skip":
            place = _digest_of(row.destination_address, row.text)
            if place in self._seen:
                reason = "an earlier row has the same number and text"
                return SkippedRow(row.line, "duplicate", reason, row.values)
            self._seen.add(place)
            return row
        if row.key is not None:
            return row
        key = key_of(row)
        place = _digest_of(key)
        count = self._counts[place] = self._counts.get(place, 0) + 1
        return row if count == 1 else attrs.evolve(row, key=f"repetition {count} of {digest(key)}")


def _digest_of(*parts: str) -> bytes:
    whole = "|".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(whole, digest_size=_DIGEST_BYTES).digest()
