"""Read the properties of an xlsx file that python-calamine does not give: errors, hidden rows, date formats.

The functions of this module block, so they are called in worker threads.
"""

import html
import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import attrs

_CHUNK = 1 << 18
# How much of a sheet determines the formats of its dates, in bytes. The cells of a column have one format.
_FORMAT_SIZE = 1 << 18
# The greatest size of the other members that are read, in bytes.
_MEMBER_LIMIT = 1 << 24
_SHEET = re.compile(r"<(?:\w+:)?sheet\b[^>]*>")
_RELATIONSHIP = re.compile(r"<(?:\w+:)?Relationship\b[^>]*>")
_FORMAT = re.compile(r"<(?:\w+:)?numFmt\b[^>]*>")
_CELL_FORMATS = re.compile(r"<(?:\w+:)?cellXfs\b.*?</(?:\w+:)?cellXfs>", re.DOTALL)
_CELL_FORMAT = re.compile(r"<(?:\w+:)?xf\b[^>]*>")
_CELL = re.compile(rb'<(?:\w+:)?c\b(?=[^>]*?\br="([A-Z]+)\d+")(?=[^>]*?\bs="(\d+)")(?=[^>]*>)')
_ATTRIBUTE = re.compile(r'([\w:]+)="([^"]*)"')
_HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\b[^>]*?\bhidden="(?:1|true)"')
# The parts of a date format, as in dd.mm.yyyy, and the forms of `strftime`.
_DATE_FORMAT = re.compile(r"(d{1,2}|m{1,2}|yyyy|yy)([-./ ])(d{1,2}|m{1,2}|yyyy|yy)\2(d{1,2}|m{1,2}|yyyy|yy)")
_PARTS = {"d": "%d", "dd": "%d", "m": "%m", "mm": "%m", "yy": "%y", "yyyy": "%Y"}


@attrs.frozen
class SheetMarks:
    """Properties of a sheet.

    Attributes:
        error_rows: the numbers of the rows that have a cell with an error; the first row has the number 1.
        hidden: the number of hidden rows.
        date_formats: the format of the dates in a column, for `datetime.strftime`, by the index of the
            column.
    """

    error_rows: frozenset[int] = frozenset()
    hidden: int = 0
    date_formats: Mapping[int, str] = attrs.field(factory=dict)


def marks_of_xlsx(stream: BinaryIO, sheet: str) -> SheetMarks:
    """Return the properties of a sheet. For files of other formats, all properties are empty.

    Args:
        stream: the file, which must be seekable.
        sheet: the name of the sheet.
    """
    stream.seek(0)
    if not zipfile.is_zipfile(stream):
        return SheetMarks()
    try:
        with zipfile.ZipFile(stream) as archive:
            member = _member_of(archive, sheet)
            if member is None:
                return SheetMarks()
            errors, hidden = _scan(archive, member)
            return SheetMarks(errors, hidden, _date_formats(archive, member))
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError):
        return SheetMarks()


def _text(archive: zipfile.ZipFile, member: str) -> str:
    with archive.open(member) as stream:
        return stream.read(_MEMBER_LIMIT).decode("utf-8", "replace")


def _attributes(tag: str) -> dict[str, str]:
    return {name.split(":")[-1]: html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}


def _member_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the path of a sheet in the archive, or None if the archive is not an xlsx file."""
    book = "xl/workbook.xml"
    if book not in archive.namelist():
        return None
    places = {
        found["Id"]: found["Target"]
        for found in map(_attributes, _RELATIONSHIP.findall(_text(archive, "xl/_rels/workbook.xml.rels")))
    }
    for tag in _SHEET.findall(_text(archive, book)):
        # The attribute with the number of the relationship has a prefix: r:id.
        found = _attributes(tag)
        if found.get("name") == sheet:
            return posixpath.normpath(posixpath.join("/xl", places[found["id"]])).lstrip("/")
    return None


def _chunks(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    """Yield the text of a member in pieces that end between two tags."""
    rest = b""
    with archive.open(member) as stream:
        while chunk := stream.read(_CHUNK):
            chunk = rest + chunk
            end = chunk.rfind(b">") + 1
            rest = chunk[end:]
            yield chunk[:end]


def _scan(archive: zipfile.ZipFile, member: str) -> tuple[frozenset[int], int]:
    """Return the rows with an error, and the number of hidden rows."""
    errors: set[int] = set()
    hidden = 0
    for chunk in _chunks(archive, member):
        if b'hidden="' in chunk:
            hidden += len(_HIDDEN_ROW.findall(chunk))
        at = chunk.find(b't="e"')
        while at >= 0:
            begin = chunk.rfind(b"<", 0, at)
            end = chunk.find(b">", at)
            found = re.search(rb'\br="[A-Z]+(\d+)"', chunk[begin:end])
            if found is not None:
                errors.add(int(found[1]))
            at = chunk.find(b't="e"', end)
    return frozenset(errors), hidden


def _date_formats(archive: zipfile.ZipFile, member: str) -> dict[int, str]:
    """Return the formats of the columns whose dates all have the same format."""
    if "xl/styles.xml" not in archive.namelist():
        return {}
    styles = _text(archive, "xl/styles.xml")
    codes = {
        found["numFmtId"]: found.get("formatCode", "")
        for found in map(_attributes, _FORMAT.findall(styles))
        if "numFmtId" in found
    }
    cell_formats = _CELL_FORMATS.search(styles)
    listed = [] if cell_formats is None else _CELL_FORMAT.findall(cell_formats[0])
    # The style of a cell is an index in this list.
    forms = [_strftime(codes.get(_attributes(tag).get("numFmtId", ""), "")) for tag in listed]
    if not any(forms):
        return {}
    with archive.open(member) as stream:
        beginning = stream.read(_FORMAT_SIZE)
    found_forms: dict[int, set[str]] = {}
    for column, style in _CELL.findall(beginning):
        form = forms[int(style)] if int(style) < len(forms) else None
        if form is not None:
            found_forms.setdefault(_column_index(column), set()).add(form)
    return {column: form for column, found in found_forms.items() if len(found) == 1 for form in found}


def _column_index(letters: bytes) -> int:
    index = 0
    for letter in letters:
        index = index * 26 + letter - ord("A") + 1
    return index - 1


def _strftime(code: str) -> str | None:
    """Return the date in a number format of a spreadsheet as a format of `strftime`, or None."""
    # Quotation marks, backslashes and a language such as [$-419] do not change the order of the parts.
    plain = re.sub(r'\[[^\]]*\]|["\\]', "", code.split(";", maxsplit=1)[0]).lower()
    found = _DATE_FORMAT.search(plain)
    if found is None or len({part[0] for part in (found[1], found[3], found[4])}) != 3:
        return None
    return found[2].join(_PARTS[part] for part in (found[1], found[3], found[4]))
