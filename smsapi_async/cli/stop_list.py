"""The options ``--stop-words`` and ``--append`` of ``incoming``: a table of numbers that want no messages.

`batch --exclude` reads the table. The functions of `_Table` and `_append` block, so they are called in worker
threads.
"""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NoReturn

import attrs
from anyio import CancelScope, to_thread

from smsapi_async.cli.exit_codes import LedgerBroke
from smsapi_async.errors import ValidationError
from smsapi_async.models import IncomingMessage
from smsapi_async.protocol.addresses import checked_destination_address

_OPTION = "--append"
_HEADING = "phone"
# The usual headings of a column with phone numbers, in lower case and without other characters than letters.
_HEADINGS = frozenset(
    {
        "phone",
        "phonenumber",
        "number",
        "mobile",
        "mobilephone",
        "msisdn",
        "telephone",
        "destinationaddress",
        "телефон",
        "номер",
        "номертелефона",
        "мобильный",
        "мобильныйтелефон",
    }
)
_DELIMITERS = ",;\t|"
_NO_DIGIT = re.compile(r"[^0-9]", re.ASCII)
# The first letters of the categories that are removed around a text: punctuation, spaces, control characters.
_AROUND = frozenset("PZC")


def plain_words(text: str) -> str:
    """Return a text in the form in which it is compared with stop words.

    The form is in lower case and without punctuation and spaces around the text. Spaces inside the text are
    single spaces.
    """
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    first, last = 0, len(words)
    while first < last and unicodedata.category(words[first])[0] in _AROUND:
        first += 1
    while last > first and unicodedata.category(words[last - 1])[0] in _AROUND:
        last -= 1
    return words[first:last]


class StopList:
    """Appends the senders of messages whose whole text is a stop word to a CSV file.

    Args:
        words: the stop words, separated by commas.
        path: the path of the CSV file.

    Attributes:
        added: how many numbers were appended.
        without_number: how many senders are not a phone number.

    Raises:
        ValidationError: if there is no stop word.
    """

    def __init__(self, words: str, path: str) -> None:
        self._words = frozenset(filter(None, map(plain_words, words.split(","))))
        self._path = path
        self.added = 0
        self.without_number = 0
        if not self._words:
            raise ValidationError("--stop-words", "the value", "pass words, for example СТОП,STOP")

    async def prepare(self) -> None:
        """Create the file with its header, or check that numbers can be appended to the existing file.

        Raises:
            ValidationError: if the file cannot be read, is no suitable table, or cannot be written.
        """
        await to_thread.run_sync(_append, self._path, ())

    async def take(self, messages: Iterable[IncomingMessage]) -> None:
        """Append the senders of the messages that are a stop word, and write the file to the disk.

        Raises:
            LedgerBroke: if the file cannot be used any more.
        """
        senders = [each.source_address for each in messages if plain_words(each.text) in self._words]
        numbers = [number for number in map(_recipient, senders) if number is not None]
        self.without_number += len(senders) - len(numbers)
        if not numbers:
            return
        try:
            # A cancelled call would not say how many numbers were appended.
            with CancelScope(shield=True):
                self.added += await to_thread.run_sync(_append, self._path, numbers)
        except ValidationError as error:
            # The exit code of a `ValidationError` means that no request was made.
            raise LedgerBroke(f"{_OPTION}: {error.value} cannot be used; {error.hint}") from None

    def sentence(self) -> str:
        """Return a sentence that says how many numbers were appended."""
        noun = "number was" if self.added == 1 else "numbers were"
        sentence = f"{self.added:,} {noun} added to {self._path!r}"
        if self.without_number:
            sentence += f"; senders without a phone number: {self.without_number:,}"
        return sentence


def _recipient(sender: str) -> str | None:
    """Return the number of a sender, or None.

    A short number or a name cannot be a recipient, and `batch --exclude` would refuse the table.
    """
    try:
        return checked_destination_address(sender.strip())
    except ValidationError:
        return None


def _append(path: str, numbers: Sequence[str]) -> int:
    """Append the numbers that the table does not have, and return how many numbers were appended.

    The whole file is read at each call, because another program may have written the file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        with io.FileIO(descriptor, "r+") as file:
            content = file.readall()
            table = _Table.of(path, content) if content.strip(b"\r\n") else _EMPTY
            new = [each for each in dict.fromkeys(numbers) if each not in table.known]
            text = table.before + "".join(table.row(each) for each in new)
            if text:
                _write(descriptor, text.encode("ascii"))
                os.fsync(descriptor)
    except OSError as error:
        hint = f"pass a file that can be read and written ({error.strerror})"
        raise ValidationError(_OPTION, repr(path), hint) from None
    return len(new)


@attrs.frozen
class _Table:
    """What must be known of a table to append a row.

    Attributes:
        known: the digits of the numbers in the table.
        before: the text before the first new row: a header or a missing line break.
        delimiter: the character between two values.
        column: the index of the column with the numbers.
        width: the number of columns.
        line_break: the line break of the table.
    """

    known: frozenset[str] = frozenset()
    before: str = ""
    delimiter: str = ","
    column: int = 0
    width: int = 1
    line_break: str = "\n"

    @classmethod
    def of(cls, path: str, content: bytes) -> "_Table":
        """Return the table in the content of a file.

        Raises:
            ValidationError: if the content is no table, or if the column with the numbers is not certain.
        """
        text = _text(path, content)
        header = text.lstrip("\r\n").splitlines()[0]
        found = [
            (delimiter, columns)
            for delimiter in _DELIMITERS
            if delimiter in header
            and (columns := _columns(next(iter(_cells(path, [header], delimiter)), [])))
        ]
        if not any(delimiter in header for delimiter in _DELIMITERS) and _columns([header]):
            found = [(",", [0])]
        if len(found) != 1 or len(found[0][1]) != 1:
            _refuse(path, f"give exactly one column of the first row the name {_HEADING}")
        delimiter, (column,) = found[0]
        first, *rows = _cells(path, text.splitlines(keepends=True), delimiter)
        line_break = "\r\n" if "\r\n" in text else "\n"
        return cls(
            known=frozenset(_NO_DIGIT.sub("", row[column]) for row in rows if len(row) > column),
            before="" if content.endswith(b"\n") else line_break,
            delimiter=delimiter,
            column=column,
            width=len(first),
            line_break=line_break,
        )

    def row(self, number: str) -> str:
        """Return a row with a number; the other columns are empty."""
        cells = [""] * self.width
        cells[self.column] = number
        return self.delimiter.join(cells) + self.line_break


_EMPTY = _Table(before=f"{_HEADING}\n")


def _text(path: str, content: bytes) -> str:
    if b"\0" in content or content.startswith((b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff")):
        _refuse(path, "save the file as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Only the heading is compared. The command appends only ASCII characters, which are the same in each
        # encoding of one byte.
        return content.decode("cp1251", "replace")


def _cells(path: str, lines: Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter, strict=True) if any(row)]
    except csv.Error as error:
        _refuse(path, f"correct the CSV in the file ({error})")


def _columns(headings: Sequence[str]) -> list[int]:
    """Return the indexes of the columns with a usual heading."""
    plain = ["".join(filter(str.isalpha, each.casefold())) for each in headings]
    return [index for index, each in enumerate(plain) if each in _HEADINGS]


def _refuse(path: str, hint: str) -> NoReturn:
    raise ValidationError(_OPTION, repr(path), hint)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
