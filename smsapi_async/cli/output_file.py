"""Files with a table that the commands write: CSV, CSV for Excel, or a workbook (.xlsx).

The functions without ``async`` block, so they are called in worker threads.
"""

import errno
import io
import os
import secrets
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import PurePath
from typing import IO, Annotated, Protocol, TypeVar

import anyio
import attrs
from anyio import to_thread
from cyclopts import Parameter

from smsapi_async.cli.csv_output import Cell, write_csv
from smsapi_async.errors import ValidationError

ForExcel = Annotated[
    bool,
    Parameter(
        name="--excel",
        negative="",
        help="Write the CSV in the form that Excel opens correctly: with a byte order mark and semicolons, "
        "and with numbers and ids as text. The option changes nothing in an .xlsx file.",
    ),
]

ROWS_AT_ONCE = 500
"""The number of rows that a command writes in one call."""

_Item = TypeVar("_Item")
_WORKBOOK = ".xlsx"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FLAGS = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
# The suffixes of other files of spreadsheets. A CSV file with such a suffix could not be opened.
_OTHER_SUFFIXES = frozenset({".xls", ".xlsm", ".xlsb", ".ods"})


@attrs.frozen
class Target:
    """The place and the form of a file that a command writes.

    Attributes:
        option: the option with the path, which errors show.
        path: the path of the file. The suffix .xlsx means a workbook, any other suffix means CSV.
        excel: whether CSV is written in the form of Excel.
    """

    option: str
    path: str
    excel: bool = False

    @property
    def is_workbook(self) -> bool:
        """Whether the file is a workbook."""
        return PurePath(self.path).suffix.lower() == _WORKBOOK

    @property
    def is_regular(self) -> bool:
        """Whether the file is missing or a regular file, and not for example a pipe."""
        return not os.path.exists(self.path) or os.path.isfile(self.path)

    def check(self, inputs: Sequence[str | None] = ()) -> None:
        """Check the form of the file, and that the file is no input of the command.

        Args:
            inputs: the paths of files that must not be overwritten. A file that is missing counts, too.

        Raises:
            ValidationError: if the file cannot be written in this form, or if it is one of `inputs`.
        """
        if PurePath(self.path).suffix.lower() in _OTHER_SUFFIXES:
            raise ValidationError(self.option, repr(self.path), "pass a file that ends in .csv or .xlsx")
        if any(each is not None and _is_same(each, self.path) for each in inputs):
            raise ValidationError(self.option, repr(self.path), "pass a file that the command does not read")


def open_output(target: Target, columns: Sequence[str], *, in_place: bool = False) -> "OutputFile":
    """Return a new `OutputFile`.

    Raises:
        ValidationError: if the file cannot be written.
    """
    try:
        return OutputFile(target, columns, in_place=in_place)
    except OSError as error:
        hint = f"pass a file that can be written ({error.strerror})"
        raise ValidationError(target.option, repr(target.path), hint) from None


async def write_table(
    target: Target, columns: Sequence[str], blocks: AsyncGenerator[Sequence[Sequence[Cell]], None]
) -> None:
    """Write a complete file in worker threads. Until the end, an earlier file stays as it is.

    Args:
        target: the file to write.
        columns: the headings of the columns.
        blocks: the rows, a few hundred in each block.

    Raises:
        ValidationError: if the file cannot be created.
        OSError: if the file cannot be written.
    """
    file = await to_thread.run_sync(partial(open_output, target, columns))
    try:
        async with aclosing(blocks):
            async for block in blocks:
                await to_thread.run_sync(file.write, block)
        await to_thread.run_sync(file.commit)
    finally:
        # After `commit`, the call does nothing.
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(file.discard)


async def in_blocks(items: AsyncIterable[_Item]) -> AsyncGenerator[list[_Item], None]:
    """Yield the items in lists of `ROWS_AT_ONCE`; the last list is shorter, and may be empty."""
    block: list[_Item] = []
    async for item in items:
        block.append(item)
        if len(block) >= ROWS_AT_ONCE:
            yield block
            block = []
    yield block


async def print_table(
    columns: Sequence[str], blocks: AsyncGenerator[Sequence[Sequence[Cell]], None], *, excel: bool
) -> None:
    """Write a table to standard output as CSV, in worker threads.

    Args:
        columns: the headings of the columns.
        blocks: the rows, a few hundred in each block.
        excel: whether to write CSV in the form of Excel.

    Raises:
        OSError: if standard output cannot be written.
    """
    if excel:
        sys.stdout.write("\ufeff")
    await to_thread.run_sync(partial(write_csv, sys.stdout, [columns], excel=excel))
    async with aclosing(blocks):
        async for block in blocks:
            await to_thread.run_sync(partial(write_csv, sys.stdout, block, excel=excel))


class OutputFile:
    """An open file with a table. Only its owner can read the file.

    The constructor creates the file. The rows first go to a temporary file in the same directory. `commit`
    replaces the earlier file, so that a file with this name is always complete. If the directory cannot be
    written, or the place is for example a pipe, the rows are written in place.

    Args:
        target: the place and the form of the file.
        columns: the headings of the columns.
        in_place: whether to write to the file itself from the beginning. The file is then readable during the
            run, and also after a crash.

    Raises:
        OSError: if the file cannot be written, or a workbook cannot have so many columns.
    """

    def __init__(self, target: Target, columns: Sequence[str], *, in_place: bool = False) -> None:
        self._target = target
        self._temporary: str | None = None
        # A rename must not replace a symbolic link by a file. The path of a pipe has no resolved form.
        self._path = os.path.realpath(target.path) if target.is_regular else target.path
        self._file: IO[bytes] = os.fdopen(self._create(in_place=in_place), "wb")
        try:
            self._rows = _rows_of(self._file, target, columns)
        except BaseException:
            self._close(keep=False)
            raise

    def write(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Add rows. A CSV file then has the rows on disk.

        Raises:
            OSError: if the file cannot be written.
        """
        self._rows.write(rows)

    def commit(self) -> None:
        """Finish the file, and put it in its place.

        Raises:
            OSError: if the file cannot be written. The earlier file, if any, is not changed.
        """
        try:
            self._rows.finish()
            self._close(keep=True)
        finally:
            self.discard()

    def discard(self) -> None:
        """Close the file, and do not replace the earlier file. A file that is written in place stays.

        After `commit`, the call does nothing.
        """
        self._rows.discard()
        self._close(keep=False)

    def _create(self, *, in_place: bool) -> int:
        """Return the file descriptor of the file to write."""
        if not in_place and self._target.is_regular:
            temporary = f"{self._path}.{secrets.token_hex(4)}.tmp"
            # If the directory cannot be written, perhaps the file itself can be.
            with suppress(OSError):
                descriptor = os.open(temporary, _FLAGS | os.O_EXCL, 0o600)
                self._temporary = temporary
                return descriptor
        descriptor = os.open(self._path, _FLAGS | os.O_TRUNC, 0o600)
        # Only the owner may read the numbers in the file: `os.open` sets the mode of a new file, and
        # `os.chmod` sets the mode of a file that existed before. The mode of a device is not changed.
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.chmod(self._path, 0o600)
        return descriptor

    def _close(self, *, keep: bool) -> None:
        if keep:
            self._file.close()
            if self._temporary is not None:
                os.replace(self._temporary, self._path)
                self._temporary = None
            return
        # The error of a write is known already, and `close` would report it again.
        with suppress(OSError):
            self._file.close()
        if self._temporary is not None:
            with suppress(OSError):
                os.unlink(self._temporary)
            self._temporary = None


class _CsvRows:
    """The rows of a CSV file.

    Args:
        file: the open file. The encoding is UTF-8, for Excel with a byte order mark.
        excel: whether the file is in the form of Excel.
        columns: the headings of the columns.
    """

    def __init__(self, file: IO[bytes], columns: Sequence[str], *, excel: bool) -> None:
        self._file = file
        self._excel = excel
        if excel:
            file.write(_BYTE_ORDER_MARK)
        self.write([columns])

    def write(self, rows: Iterable[Sequence[Cell]]) -> None:
        text = io.StringIO(newline="")
        write_csv(text, rows, excel=self._excel)
        # A value of a JSON file can contain a lone surrogate, which UTF-8 cannot represent.
        self._file.write(text.getvalue().encode("utf-8", "backslashreplace"))
        self._file.flush()

    def finish(self) -> None:
        """Do nothing: all rows are written."""

    def discard(self) -> None:
        """Do nothing: no other files are open."""


class _Rows(Protocol):
    def write(self, rows: Iterable[Sequence[Cell]]) -> None: ...

    def finish(self) -> None: ...

    def discard(self) -> None: ...


def _rows_of(file: IO[bytes], target: Target, columns: Sequence[str]) -> _Rows:
    if not target.is_workbook:
        return _CsvRows(file, columns, excel=target.excel)
    # The import of xlsxwriter takes longer than a short command.
    from smsapi_async.cli.workbook_output import MOST_COLUMNS, WorkbookOutput  # noqa: PLC0415

    if len(columns) > MOST_COLUMNS:
        raise OSError(errno.EFBIG, f"a sheet has at most {MOST_COLUMNS:,} columns")
    return WorkbookOutput(file, columns)


def _is_same(first: str, second: str) -> bool:
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    return os.path.exists(first) and os.path.exists(second) and os.path.samefile(first, second)
