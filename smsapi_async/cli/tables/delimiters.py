"""Find the delimiter of a CSV file."""

import csv
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs

from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.errors import ValidationError

_DELIMITERS = ",;\t|"
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
# The line with which Excel is told the delimiter, for example `sep=;`.
_SEP = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)


def named_delimiter(name: str) -> str:
    """Return the delimiter that the user has named: a character, or a word such as ``tab``.

    Raises:
        ValidationError: if the delimiter cannot be used.
    """
    delimiter = _NAMES.get(name.lower(), name)
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in "\"\r\n\0'+":
        hint = "pass one character that is no letter, digit or quotation mark, or the word tab"
        raise ValidationError("--delimiter", repr(name[:10]), hint)
    return delimiter


def delimiter_name(delimiter: str) -> str:
    """Return the delimiter as people write it."""
    return {"\t": "tab", " ": "space"}.get(delimiter, delimiter)


def delimiter_of_sep(line: str) -> str | None:
    """Return the delimiter that a line such as ``sep=;`` gives, or None for other lines."""
    found = _SEP.fullmatch(line.rstrip("\r\n") if "\t" in line else line)
    return found[1] if found is not None and found[1] not in '"\r\n' else None


def split_lines(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows of lines, up to the first row that is not valid CSV.

    Returns:
        The index of the first line of each row, and the fields of the row.
    """
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != " ", strict=True)
    with suppress(csv.Error):
        begin = 0
        for row in reader:
            rows.append((begin, row))
            begin = reader.line_num
    return rows


@attrs.frozen
class _Split:
    """How a delimiter splits the first lines of a file.

    Attributes:
        splits_first: whether the delimiter splits the first row with content.
        is_known: whether a row has a field that only the right delimiter can give, such as a usual heading.
        is_even: whether all rows have as many fields as the first row that the delimiter splits.
    """

    splits_first: bool
    is_known: bool
    is_even: bool


def delimiter_of(lines: Sequence[str], is_known: Callable[[str], bool]) -> str:
    """Return the delimiter of a CSV file; a comma if the file has only one column.

    Args:
        lines: the first lines of the file.
        is_known: says whether a field is a usual heading or, in a file without a header, a phone number.

    Raises:
        ValidationError: if two delimiters are possible.
    """
    splits = {mark: split for mark in _DELIMITERS if (split := _split(lines, mark, is_known)) is not None}
    if len(splits) < 2:
        return next(iter(splits), ",")
    # Each step leaves the delimiters that have a property, if any has the property. The steps begin with the
    # property that says most.
    for narrowed in (
        [mark for mark, split in splits.items() if split.is_known],
        [mark for mark, split in splits.items() if split.splits_first],
        [mark for mark, split in splits.items() if split.splits_first and split.is_even],
    ):
        if len(narrowed) == 1:
            return narrowed[0]
        splits = {mark: splits[mark] for mark in narrowed} or splits
    names = " or ".join(repr(delimiter_name(mark)) for mark in splits)
    raise ValidationError(ARGUMENT, "a file whose delimiter is not certain", f"pass --delimiter {names}")


def _split(lines: Sequence[str], delimiter: str, is_known: Callable[[str], bool]) -> _Split | None:
    rows = [row for _, row in split_lines(lines, delimiter) if any(field.strip() for field in row)]
    at = next((index for index, row in enumerate(rows) if len(row) > 1), None)
    if at is None:
        return None
    width = len(rows[at])
    below = rows[at + 1 :]
    return _Split(
        splits_first=at == 0,
        is_known=any(is_known(field) for row in rows if len(row) > 1 for field in row),
        is_even=bool(below) and all(len(row) == width for row in below),
    )
