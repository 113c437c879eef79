"""Recognise files that are not text tables by their first bytes."""

import re

from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.errors import ValidationError

_ZIP = b"PK\x03\x04"
# The container of the old Microsoft formats, for example of xls.
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SAVE = "save it as CSV in UTF-8, or as xlsx"
# The beginnings of other files that people pass.
_OTHER_FILES: tuple[tuple[str, str, str], ...] = (
    (r"%PDF", "a PDF file", "pass the table that the PDF was made of"),
    (r"\x1f\x8b|Rar!|7z\xbc\xaf|BZh|\xfd7zXZ", "a compressed file", "unpack it first"),
    (r"\{\\rtf", "an RTF document", _SAVE),
    (r"\s*BEGIN:VCARD", "a vCard file", "export the contacts as CSV"),
    (
        r"\s*<(!doctype html|html|table|head|meta|body|style)\b",
        "an HTML page",
        f"open it in a spreadsheet and {_SAVE}",
    ),
    (r"\s*<(\?xml|[a-z]+[\s:>])", "an XML file", f"open it in a spreadsheet and {_SAVE}"),
    (r"SQLite format 3|\x89PNG|\xff\xd8\xff|GIF8", "a file that is no table", "pass a table of recipients"),
)


def is_spreadsheet(beginning: bytes) -> bool:
    """Return whether the first bytes are those of a spreadsheet, or of another file in its container."""
    return beginning.startswith((_ZIP, _OLE))


def check_text(beginning: bytes) -> None:
    """Check that the first bytes are not those of a file that people pass by mistake.

    Raises:
        ValidationError: if the file is no text table.
    """
    text = beginning[:512].removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    for pattern, what, hint in _OTHER_FILES:
        if re.match(pattern, text, re.IGNORECASE):
            raise ValidationError(ARGUMENT, what, hint)
