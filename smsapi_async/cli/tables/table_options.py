"""The options that say how a table is read."""

from typing import Annotated

import attrs
from cyclopts import Group, Parameter

_TABLE = Group("Table", sort_key=2)


@Parameter(name="*", group=_TABLE)
@attrs.frozen(kw_only=True)
class TableOptions:
    """How a table is read, and which of its columns has the phone numbers.

    Attributes:
        column: the name of the column with the numbers; None means that the name is found automatically.
        header: whether the first row has the names of the columns. Without a header, the names are 1, 2, ...
        delimiter: the character between two values of a CSV row; None means that it is found automatically.
        encoding: the encoding of a text file; None means that it is detected.
        sheet: the name of the sheet of a spreadsheet; None means the first sheet.
    """

    column: Annotated[
        str | None,
        Parameter(help="The name of the column with the phone numbers. Default: the only usual name."),
    ] = None
    header: Annotated[
        bool,
        Parameter(
            name="--header",
            negative="--no-header",
            help="Whether the first row has the names of the columns. With --no-header, the names are 1, 2, "
            "and so on.",
        ),
    ] = True
    delimiter: Annotated[
        str | None, Parameter(help="The character between two values of a CSV row. Default: detected.")
    ] = None
    encoding: Annotated[
        str | None, Parameter(help="The encoding of a text file, for example cp1251. Default: detected.")
    ] = None
    sheet: Annotated[
        str | None, Parameter(help="The name of the sheet of a spreadsheet. Default: the first sheet.")
    ] = None


DETECTED = TableOptions()
"""All properties of the table are detected."""
