"""CSV files that the commands write. The functions block, so they are called in worker threads."""

import csv
import os
import re
import stat
from collections.abc import Iterable, Sequence
from typing import IO

from smsapi_async.errors import ValidationError

# A spreadsheet executes a cell that begins with one of these characters, for example `=HYPERLINK(...)`. The
# characters after the tab are the full-width forms of the first four characters.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def create(option: str, path: str, inputs: Sequence[str | None] = ()) -> IO[str]:
    """Create a file that only its owner can read, or empty the file if it exists.

    Args:
        option: the option with the path, which the error shows.
        path: the path of the file.
        inputs: the paths of files that must not be overwritten.

    Raises:
        ValidationError: if the file cannot be written, or if it is one of `inputs`.
    """
    try:
        if any(each is not None and os.path.exists(path) and _is_same(each, path) for each in inputs):
            raise ValidationError(option, repr(path), "pass a file that the command does not read")
        # Only the owner may read the numbers in the file: `os.open` sets the mode of a new file, and
        # `os.chmod` sets the mode of a file that existed before. The mode of a device is not changed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.chmod(path, 0o600)
    except OSError as error:
        hint = f"pass a file that can be written ({error.strerror})"
        raise ValidationError(option, repr(path), hint) from None
    return open(descriptor, "w", encoding="utf-8", newline="")


def write(file: IO[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows to a CSV file, and flush the file.

    A cell that a spreadsheet would execute as a formula begins with an apostrophe. A number such as
    +79031234567 is no formula and stays as it is.

    Raises:
        OSError: if the file cannot be written.
    """
    csv.writer(file, lineterminator="\n").writerows([list(map(_harmless, row)) for row in rows])
    file.flush()


def _harmless(cell: object) -> object:
    """Return the content of a cell, with an apostrophe if a spreadsheet would execute the content."""
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _is_same(first: str, second: str) -> bool:
    return os.path.exists(first) and os.path.samefile(first, second)
