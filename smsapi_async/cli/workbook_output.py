"""Workbooks of Excel (.xlsx) that the commands write, with bounded memory."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import IO, Any

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException

from smsapi_async.cli.csv_output import Cell

MOST_COLUMNS = 16_384
"""The number of columns that a sheet can have."""

_MOST_ROWS = 1_048_576
_WIDTH = 18


class WorkbookOutput:
    """A workbook with one table. A further sheet begins when a sheet is full.

    Texts are stored as texts: Excel executes no formula in them, and does not shorten a number.

    Args:
        file: the open file, to which `finish` writes the workbook.
        columns: the headings of the columns.
    """

    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self._columns = columns
        # xlsxwriter holds rows in files with names, which would stay after an error.
        self._scratch = TemporaryDirectory(prefix="smsapi-async-")
        self._book = Workbook(file, {"constant_memory": True, "tmpdir": self._scratch.name})
        self._money = self._book.add_format({"num_format": "0.00##"})
        self._sheet: Any
        self._begin_sheet()

    def write(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Add rows.

        Raises:
            OSError: if a file cannot be written.
        """
        for row in rows:
            if self._row == _MOST_ROWS:
                self._begin_sheet()
            self._write_row(row)

    def finish(self) -> None:
        """Write the workbook to the file.

        Raises:
            OSError: if a file cannot be written.
        """
        try:
            self._book.close()
        except XlsxWriterException as error:
            # xlsxwriter puts the error of the operating system into an error of its own.
            cause = error.args[0] if error.args else None
            raise (cause if isinstance(cause, OSError) else OSError(str(error))) from None
        finally:
            self.discard()

    def discard(self) -> None:
        """Close and delete the files of xlsxwriter."""
        for sheet in self._book.worksheets():
            sheet._opt_close()  # noqa: SLF001 - `Workbook.close` would write the workbook first
        self._scratch.cleanup()

    def _begin_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.set_column(0, len(self._columns) - 1, _WIDTH)
        self._sheet.freeze_panes(1, 0)
        self._row = 0
        self._write_row(self._columns)

    def _write_row(self, row: Sequence[Cell]) -> None:
        for column, cell in enumerate(row):
            if isinstance(cell, str):
                if cell:
                    self._sheet.write_string(self._row, column, _storable(cell))
            elif isinstance(cell, Decimal):
                self._sheet.write_number(self._row, column, float(cell), self._money)
            elif cell is not None:
                self._sheet.write_number(self._row, column, cell)
        self._row += 1


def _storable(text: str) -> str:
    """Return a text without lone surrogates, which UTF-8 cannot represent."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    # xlsxwriter does not escape a text between these tags (`Worksheet._write_cell`).
    return f"{whole} " if whole.startswith("<r>") and whole.endswith("</r>") else whole
