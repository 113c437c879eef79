"""Tests of reading tables: headers, columns, CSV dialects, encodings, JSON and spreadsheets."""

import datetime
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smsapi_async.cli.tables import json_rows, spreadsheets
from smsapi_async.cli.tables.headings import is_phone_heading, number_column
from smsapi_async.cli.tables.rows import BadRow, Row, open_table
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.errors import ValidationError
from tests.cli.spreadsheet_files import ods_of, xlsx, xlsx_of
from tests.cli.xls_file import XLS

NUMBER = "79031234567"
SPACED = "+7\u00a0903\u00a0123\u00a045\u00a067"


class Read:
    """A table that was read to its end."""

    def __init__(self, path: Path | str, options: TableOptions = DETECTED) -> None:
        table = open_table(str(path), options)
        try:
            self.rows: list[Row | BadRow] = []
            while block := table.block(3):
                self.rows += block
        finally:
            table.close()
        self.columns, self.notes, self.total = table.columns, table.notes, table.total

    @property
    def values(self) -> list[list[str] | str]:
        """The values of each good row, and the reason of each bad row."""
        return [list(row.values.values()) if isinstance(row, Row) else row.reason for row in self.rows]

    @property
    def lines(self) -> list[int]:
        """The number of the line of each row."""
        return [row.line for row in self.rows]


def read(tmp_path: Path, content: bytes | str, **options: Any) -> Read:
    """Write a file and read it as a table."""
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = Read(path, TableOptions(**options))
    assert found.total == len(found.rows)
    return found


def refusal(tmp_path: Path, content: bytes | str, **options: Any) -> str:
    """Return the error for a file that cannot be read as a table."""
    with pytest.raises(ValidationError) as caught:
        read(tmp_path, content, **options)
    return caught.value.summary()


WRITINGS = [
    NUMBER,
    SPACED,
    "8-903-123-45-67",
    "8 (903) 123 45 67",
    "tel:+79031234567",
    "'79031234567",
    '="79031234567"',
    "7.90312E+10",
    "7.90312E10",
    "79031234567.0",
    "00 7 903 123 45 67",
    "903\u2009123\u201145\u201267",
    "７９０３１２３４５６７",
    "Анна 89031234567",
    "79031234567 доб. 12",
    "+1.202.555.0123",
    "\u202a+79031234567\u202c",
    "8 (903) 12-11-10",
    "8 3412 1.1.2010",
]


@pytest.mark.parametrize("number", WRITINGS)
@pytest.mark.parametrize("place", ["{}", "{};x", "x;{}", '"{}";x', ";;{}", "\n\n{}"])
def test_a_first_row_with_a_number_is_no_header(tmp_path: Path, number: str, place: str) -> None:
    """A file that begins with a phone number is refused, and the error does not show the number."""
    quoted = number.replace('"', '""') if '"' in place else number
    line = place.format(quoted)
    error = refusal(tmp_path, f"{line}\n{line}\n")
    assert "pass --no-header" in error
    assert not re.search(r"\d{3}", error)


@pytest.mark.parametrize("number", WRITINGS)
def test_without_a_header_no_row_is_lost(tmp_path: Path, number: str) -> None:
    """With --no-header, the first row is a row, and the columns are 1 and 2."""
    found = read(tmp_path, f"Анна;{number}\nВера;{number}\n", header=False)
    assert found.columns == ["1", "2"]
    assert [row[0] for row in found.values] == ["Анна", "Вера"]
    assert found.lines == [1, 2]
    assert number_column(found.columns, "2") == "2"


@given(
    data=st.data(),
    digits=st.text("0123456789", min_size=7, max_size=15),
    place=st.integers(0, 2),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
)
def test_no_first_number_is_lost(
    tmp_path: Path, data: st.DataObject, digits: str, place: int, delimiter: str
) -> None:
    """Whatever marks stand between the digits of a number in the first row, the row is not lost."""
    gaps = st.sampled_from(["", "", "", " ", "-", "(", ")", "\u00a0", "\u2011", ".", "/", "\u2009", "+"])
    number = "".join(data.draw(gaps) + digit for digit in digits)
    # A date with a year is no phone number, and neither are two consecutive years.
    is_date = re.search(r"(?<!\d)(\d{4}[-./]\d\d?[-./]\d\d?|\d\d?[-./]\d\d?[-./]\d{4})(?!\d)", number)
    assume(is_date is None and re.search(r"\d{4}[-/]\d{4}", number) is None)
    fields = ["x", "y", "z"]
    fields[place] = number
    content = "\n".join([delimiter.join(fields)] * 2)
    with pytest.raises(ValidationError) as caught:
        read(tmp_path, content)
    assert digits[:5] not in caught.value.summary()
    assert len(read(tmp_path, content, header=False, delimiter=delimiter).rows) == 2


@pytest.mark.parametrize(
    "header",
    [
        "1;2;phone",
        "2025;2026;phone",
        "2025/2026;phone;x",
        "01.03.2026;phone;x",
        "2026-03-01;phone;x",
        "phone;2026-03-01 10:00;x",
        "phone:1;^x;~&!#",
        "phone;Сумма, руб.;E-mail",
    ],
)
def test_headings_with_digits_and_marks(tmp_path: Path, header: str) -> None:
    """Numbers that are no phone numbers, dates and any marks can stand in headings."""
    found = read(tmp_path, f"{header}\na;b;c\n")
    assert found.columns == header.split(";")
    assert found.values == [["a", "b", "c"]]


COLUMNS = [
    ["Phone Number", "x"],
    ["Phone #", "x"],
    ["phone_number", "number of orders"],
    ["phoneNumber", "x"],
    ["PHONENUMBER", "x"],
    ["Номер телефона", "Дата"],
    ["НОМЕР_ТЕЛЕФОНА", "Номер заказа"],
    ["Моб. телефон", "Имя"],
    ["Mobile Phone", "Fax"],
    ["Phone 1 - Value", "Phone 1 - Type", "Phone 1 - Label"],
    ["Тел.", "№"],
    ["Мобильный", "E-mail"],
    ["Телефон клиента", "Тип телефона"],
    ["Сотовый", "Код оператора"],
    ["Phone 1 - Value", "Phonetic First Name"],
    ["Mobile", "Automobile", "Telefax"],
    ["Телефон", "Автомобильный номер"],
    ["Cell", "Country code"],
    ["msisdn", "id"],
    ["destination_address", "text"],
    ["number"],
    ["№"],
    ["who"],
]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("place", [0, -1])
def test_the_only_usual_heading(columns: list[str], place: int) -> None:
    """The column with the only usual heading has the numbers, wherever the column stands."""
    ordered = columns if place == 0 else columns[::-1]
    assert number_column(ordered, None) == columns[0]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("value", ["7" * 59, "phones" * 9 + "x", "n1" * 29 + "x", "phone" * 100_000])
def test_a_long_heading_takes_no_time(value: str) -> None:
    """A long value in the first row is compared with the usual headings at once."""
    assert not is_phone_heading(value)


@pytest.mark.parametrize(
    ("columns", "listed"),
    [
        (["number", "mobile"], "'number', 'mobile'"),
        (["Номер", "Дата", "Моб. телефон"], "'Номер', 'Моб. телефон'"),
        (["Phone", "Mobile"], "'Phone', 'Mobile'"),
        (["Phone 1 - Value", "Phone 2 - Value"], "'Phone 1 - Value', 'Phone 2 - Value'"),
        (["Home Phone", "x", "Business Phone"], "'Home Phone', 'Business Phone'"),
        (["Phone", "phone"], "'Phone', 'phone'"),
        (["Phone", "Телефон директора"], "'Phone', 'Телефон директора'"),
        (["Телефон директора", "x"], "'Телефон директора', 'x'"),
        (["number", "name"], "'number', 'name'"),
        (["Номер", "ФИО"], "'Номер', 'ФИО'"),
        (["E-mail", "id"], "'E-mail', 'id'"),
        (["Phone type", "hotel"], "'Phone type', 'hotel'"),
    ],
)
def test_the_column_is_not_guessed(columns: list[str], listed: str) -> None:
    """Between two columns that may have the numbers, the user must decide; the error lists the columns."""
    with pytest.raises(ValidationError) as caught:
        number_column(columns, None)
    assert caught.value.parameter == "--column"
    assert caught.value.hint.endswith(f"pass one of {listed}")


@pytest.mark.parametrize(
    ("columns", "given_name", "expected"),
    [
        (["Phone", "phone"], "phone", "phone"),
        (["Моб. телефон", "x"], "моб телефон", "Моб. телефон"),
        (["Телефон", "x"], " ТЕЛЕФОН ", "Телефон"),
        (["contract", "phone"], "contract", "contract"),
        (["Phone", "phone"], "PHONE", "several columns have this name; pass one of 'Phone', 'phone'"),
        (["phone", "x"], "y", "the columns are 'phone', 'x'"),
        (["phone", "x", "phone"], "phone", "rename one of the columns"),
        (["phone", "x", "phone"], None, "rename one of the columns"),
        (["phone"], "!", "the columns are 'phone'"),
    ],
)
def test_the_given_column(columns: list[str], given_name: str | None, expected: str) -> None:
    """--column names a heading as it stands or, if only one heading fits, without case, spaces and marks."""
    if expected in columns:
        assert number_column(columns, given_name) == expected
    else:
        with pytest.raises(ValidationError) as caught:
            number_column(columns, given_name)
        assert caught.value.hint == expected


DIALECTS = [
    ('phone, "Hello"\n1, "x, y"\n', ["phone", "Hello"], [["1", "x, y"]], []),
    (" phone\u00a0,\u00a0First  name \n1,2", ["phone", "First name"], [["1", "2"]], []),
    ('phone,"First\nname"\n1,2', ["phone", "First name"], [["1", "2"]], []),
    ("a,phone\n1\n2,3,,\n", ["a", "phone"], [["1", ""], ["2", "3"]], []),
    ("phone,a,,\n1,2,,\n", ["phone", "a"], [["1", "2"]], []),
    ("phone\n79031234567\n", ["phone"], [["79031234567"]], []),
    ("sep=;\nphone;name\n1;a,b\n", ["phone", "name"], [["1", "a,b"]], ["delimiter: ;"]),
    ('"sep=|"\n\nphone|name\n1|a;b\n', ["phone", "name"], [["1", "a;b"]], ["delimiter: |"]),
    ("sep=\t\nphone\tname\n1\ta;b\n", ["phone", "name"], [["1", "a;b"]], ["delimiter: tab"]),
    ("#TYPE System.Object\nphone,name\n1,a\n", ["phone", "name"], [["1", "a"]], []),
    (",,\n , ,\n\nphone,a,b\n1,2,3\n", ["phone", "a", "b"], [["1", "2", "3"]], []),
    (
        "Список клиентов\n\nphone;name\n1;a\n",
        ["phone", "name"],
        [["1", "a"]],
        ["delimiter: ;", "the header is line 3; the lines above are left out"],
    ),
    (
        "Список, март 2026;;\nТелефон;Имя;x\n1;a;b\n",
        ["Телефон", "Имя", "x"],
        [["1", "a", "b"]],
        ["delimiter: ;", "the header is line 2; the lines above are left out"],
    ),
    ("phone,a\r1,b\r2,c", ["phone", "a"], [["1", "b"], ["2", "c"]], []),
    ("\ufeff\ufeffphone,a\r\n1,b\r\n", ["phone", "a"], [["1", "b"]], []),
    ("phone;name, first\n1;Hello, you\n", ["phone", "name, first"], [["1", "Hello, you"]], ["delimiter: ;"]),
    ("phone;sum, RUB\n1;2,50\n", ["phone", "sum, RUB"], [["1", "2,50"]], ["delimiter: ;"]),
    ("id;a, b\n1;2\n3;4\n", ["id", "a, b"], [["1", "2"], ["3", "4"]], ["delimiter: ;"]),
    ("name\tphone\na\t1\n", ["name", "phone"], [["a", "1"]], ["delimiter: tab"]),
    ("phone,x,x\n1,2,3\n", ["phone", "x", "x"], [["1", "3", "2"]], ["repeated headings: 'x'"]),
]


@pytest.mark.parametrize(
    ("content", "columns", "values", "notes"), DIALECTS, ids=[case[0][:20] for case in DIALECTS]
)
def test_dialects(
    tmp_path: Path, content: str, columns: list[str], values: list[list[str]], notes: list[str]
) -> None:
    """CSV files are read as programs write them, and the notes say what was found."""
    found = read(tmp_path, content)
    assert (found.columns, found.values, found.notes) == (columns, values, notes)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("a;b,c\n", {}, "pass --delimiter ',' or ';'"),
        ("a;b,c\n1;2,3\n", {}, "pass --delimiter ',' or ';'"),
        ("Список\nfoo;bar\n1;2\n", {}, "delete the lines above the header"),
        ("Счёт;40702810500000012345\nТелефон;Имя;x\n", {}, "delete the lines above line 2"),
        ("phone\ufffd,a\n", {}, "correct the header"),
        ("phone\0,a\n", {}, "correct the header"),
        ("phone,a\n", {"delimiter": "ab"}, "--delimiter: 'ab'"),
        ("phone,a\n", {"delimiter": "7"}, "--delimiter: '7'"),
        ("phone,a\n", {"encoding": "cp9999"}, "--encoding: the unknown name 'cp9999'"),
        ("phone,a\n", {"encoding": "base64"}, "--encoding: the unknown name 'base64'"),
        ("phone,a\n", {"sheet": "A"}, "--sheet: 'A'"),
        ('{"phone":"1"}', {"header": False}, "--no-header"),
        ('{"phone":"1"}', {"delimiter": ";"}, "--delimiter"),
        ('{\n"phone":"1"\n}', {}, "one JSON object a line, or a JSON array"),
        ('[{"phone":"1"},', {}, "one JSON object a line, or a JSON array"),
        ('[{"phone":"1"} {"phone":"2"}]', {}, "the JSON array near line 1"),
        ("[]", {}, "an empty JSON array"),
        ("sep=;\n\n", {}, "an empty file"),
        (",,\n , \n", {}, "an empty file"),
        ("BEGIN:VCARD\n", {}, "a vCard file"),
        ("<html><table>", {}, "an HTML page"),
        ("<?xml version='1.0'?>", {}, "an XML file"),
        ("%PDF-1.7", {}, "a PDF file"),
        ("{\\rtf1", {}, "an RTF document"),
        (b"\x1f\x8b\x08", {}, "a compressed file"),
        (b"\xef\xbb\xbfphone\n", {"encoding": "cp1251"}, "the file begins as a file in utf-8"),
        ("phone\n1".encode("utf-16"), {"encoding": "cp1251"}, "the file begins as a file in utf-16-le"),
        ("phone\n1", {"encoding": "utf-16"}, "pass utf-16-le or utf-16-be"),
    ],
)
def test_refused_files(tmp_path: Path, content: bytes | str, options: dict[str, Any], words: str) -> None:
    """A file that is not certain is refused, and the error says what the file is or what to pass."""
    assert words in refusal(tmp_path, content, **options)


@pytest.mark.parametrize(
    ("delimiter", "mark"), [("^", "^"), (":", ":"), ("tab", "\t"), ("\\t", "\t"), (";", ";"), ("space", " ")]
)
def test_the_given_delimiter(tmp_path: Path, delimiter: str, mark: str) -> None:
    """--delimiter accepts any mark, and words for the marks that a shell cannot easily pass."""
    found = read(tmp_path, f"phone{mark}a,b|c\n1{mark}2,3\n", delimiter=delimiter)
    assert found.columns == ["phone", "a,b|c"]
    assert found.values == [["1", "2,3"]]


DAMAGED = (
    "the value in column 'text' has a replacement character (U+FFFD): an earlier program has damaged the text"
)
C1 = (
    "the value in column 'text' has control characters (U+0080 to U+009F): the encoding is probably another "
    "one"
)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,a,b", "the row has 3 fields, but the table has 2 columns"),
        ('1,"a', "this row is not valid CSV: unexpected end of data"),
        ("1,a\0", "the value in column 'text' has a NUL character"),
        ('1,\u00a0"a"', "the value in column 'text' has a space before its quotation mark"),
        ('1,\t"a"', "the value in column 'text' has a space before its quotation mark"),
        ("1,#N/A", "the value in column 'text' is the error #N/A of a spreadsheet"),
        ("1, #н/д ", "the value in column 'text' is the error #Н/Д of a spreadsheet"),
        ("1,a\ufffd", DAMAGED),
        ("1,a\x96", C1),
    ],
)
def test_bad_rows(tmp_path: Path, row: str, reason: str) -> None:
    """A row whose text would be wrong is bad, and the reason names the column."""
    found = read(tmp_path, f"phone,text\n0,x\n{row}")
    assert found.values == [["0", "x"], reason]
    assert found.lines == [2, 3]


RUSSIAN = "Телефон;Имя\r\n1;Анна Иванова\r\n2;Пётр\r\n"
LATIN = "phone;name\n1;José\n2;Müller\n3;Hélène\n"


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        *(
            (RUSSIAN, encoding, encoding)
            for encoding in ("cp1251", "cp866", "koi8-r", "mac-cyrillic", "utf-16-le", "utf-16-be")
        ),
        *((RUSSIAN, encoding, encoding) for encoding in ("utf-32-le", "utf-32-be")),
        (RUSSIAN, "utf-16", "utf-16-le"),
        (RUSSIAN, "utf-32", "utf-32-le"),
        (RUSSIAN, "utf-8", None),
        (RUSSIAN, "utf-8-sig", None),
        *((LATIN, encoding, encoding) for encoding in ("cp1252", "mac-roman")),
        ("phone;name\n1;Анна\n", "cp1251", "cp1251"),
        ("phone;name\n1;José\n", "cp1252", "cp1252"),
        ("phone;name\n+7\u00a0903;a\n", "cp1251", "cp1251"),
        ("phone;name\n1;Γιάννης Παπαδόπουλος\n", "cp1253", "cp1253"),
        ("phone;name\n1;ИВАНОВ ИВАН ИВАНОВИЧ\n", "koi8-r", "koi8-r"),
    ],
)
def test_encodings(tmp_path: Path, text: str, encoding: str, note: str | None) -> None:
    """The encoding is detected and shown, and the text is right."""
    found = read(tmp_path, text.encode(encoding))
    expected = [line.split(";") for line in text.splitlines()]
    assert [found.columns, *found.values] == expected
    assert found.notes == [*([] if note is None else [f"encoding: {note}"]), "delimiter: ;"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Čapek", "cp1250"),
        ("Dvořák", "cp1250"),
        ("ИП", "koi8-r"),
        ("Ё", "cp866"),
        ("張偉", "big5"),
        ("Ђорђе Љубић", "cp1251"),
        ("Нұрсұлтан Қазақстан Әлия", "ptcp154"),
        ("สวัสดีครับ ขอบคุณ", "cp874"),
        ("€" * 200, "cp1252"),
    ],
)
def test_an_uncertain_encoding(tmp_path: Path, text: str, encoding: str) -> None:
    """A file whose encoding is not certain is refused, and is right with --encoding."""
    content = f"phone,name\n1,{text}\n".encode(encoding)
    assert "pass --encoding" in refusal(tmp_path, content)
    assert read(tmp_path, content, encoding=encoding).values == [["1", text]]


NAMES = [
    "Анна",
    "Пётр",
    "Ольга",
    "Елена",
    "Иван",
    "Мария",
    "Сергей",
    "Наталья",
    "Дмитрий",
    "Юлия",
    "Александр",
    "Екатерина",
    "Щукин",
    "Жуков",
]


@given(
    names=st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True),
    encoding=st.sampled_from(["cp1251", "cp866", "koi8-r", "mac-cyrillic", "iso8859-5"]),
    change=st.sampled_from([str, str.upper, str.lower]),
)
def test_no_encoding_is_guessed(tmp_path: Path, names: list[str], encoding: str, change: Any) -> None:
    """A text in an 8-bit encoding is read as it was written, or the file is refused.

    In `mac-cyrillic` and `cp1251`, small letters are the same bytes, so the case of a letter may differ.
    """
    text = change(" ".join(names))
    content = f"phone,name\n1,{text}\n".encode(encoding)
    try:
        found = read(tmp_path, content)
    except ValidationError as error:
        assert "--encoding" in error.hint
    else:
        assert [str(value[1]).casefold() for value in found.values] == [text.casefold()]


def test_an_encoding_far_below(tmp_path: Path) -> None:
    """Words outside of ASCII determine the encoding, even if they stand far below the first rows."""
    rows = ["phone,name", *["1,a"] * 200_000, "2,Наталья Петрова", "3,Ольга Кузнецова"]
    found = read(tmp_path, "\n".join(rows).encode("cp866"))
    assert found.values[-2:] == [["2", "Наталья Петрова"], ["3", "Ольга Кузнецова"]]
    assert found.notes == ["encoding: cp866"]


@pytest.mark.parametrize(
    ("lines", "options", "reason"),
    [
        (["Анна".encode(), "Вера".encode(), b"\xc0\xed\xed\xe0"], {}, "the line is not in UTF-8"),
        (
            ["Анна Иванова".encode("cp1251"), "Ольга".encode("cp1251"), "Вера".encode()],
            {},
            "the line is in UTF-8, and not in CP1251",
        ),
        ([b"a", "Вера".encode()], {"encoding": "cp1251"}, "the line is in UTF-8, and not in CP1251"),
        ([b"a", b"b\x98"], {"encoding": "cp1251"}, "the line is not in CP1251"),
        ([b"a", b"b\xd0"], {"encoding": "utf-8"}, "the line is not in UTF-8"),
        ([b"a", b"b\x96"], {"encoding": "latin-1"}, "the value in column 'name' has control characters"),
    ],
)
def test_a_line_in_another_encoding(
    tmp_path: Path, lines: list[bytes], options: dict[str, Any], reason: str
) -> None:
    """A line in another encoding than the other lines is bad, and never sent as gibberish."""
    content = b"\n".join([b"phone,name", *(b"1," + line for line in lines)])
    found = read(tmp_path, content, **options)
    assert [isinstance(row, BadRow) for row in found.rows] == [False] * (len(lines) - 1) + [True]
    assert str(found.values[-1]).startswith(reason)


def test_damaged_utf_16(tmp_path: Path) -> None:
    """A line of a file in UTF-16 that cannot be decoded is bad, and the other lines are read."""
    content = "phone,name\n1,Анна\n2,X\n3,Вера\n".encode("utf-16").replace(b"X\0", b"\0\xd8")
    found = read(tmp_path, content + b"\x04")
    bad = "the line is not in UTF-16-LE, the encoding of the other lines"
    assert found.values == [["1", "Анна"], bad, ["3", "Вера"], bad]


@pytest.mark.parametrize(
    ("content", "rows", "lines"),
    [
        ('[{"phone":"1"},\n {"phone": 2.50, "x": null}]', [["1"], ["2.50"]], [1, 2]),
        ('\n[\n\n{" phone ":"1",\n"x":""}\n,{"phone":"2"}\n]\n', [["1", ""], ["2"]], [4, 6]),
        (
            '{"phone":"1"}\n{"phone":"1","phone":"2"}\n{"phone":[1]}\n',
            [
                ["1"],
                "the name 'phone' occurs twice",
                "the value in column 'phone' is neither a text nor a number",
            ],
            [1, 2, 3],
        ),
        (
            '[{"phone":"1"}, 7, {"phone":"#N/A"}]',
            [
                ["1"],
                "the line is JSON, but not a JSON object",
                "the value in column 'phone' is the error #N/A of a spreadsheet",
            ],
            [1, 1, 1],
        ),
    ],
)
def test_json(tmp_path: Path, content: str, rows: list[list[str] | str], lines: list[int]) -> None:
    """JSON lines and a JSON array are read, and the names of the columns have no spaces around them."""
    found = read(tmp_path, content)
    assert (found.columns[0], found.values, found.lines) == ("phone", rows, lines)


def test_a_long_json_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON array that is too long for the memory is refused, with what to pass instead."""
    monkeypatch.setattr(json_rows, "_ARRAY_LIMIT", 100)
    error = refusal(tmp_path, '[{"phone":"1"},\n' + '{"phone":"2"},\n' * 20 + '{"phone":"3"}]')
    assert "pass one JSON object a line" in error


def naive(*parts: int) -> datetime.datetime:
    """Return a date and time of a spreadsheet, which has no time zone."""
    year, month, day, hour, minute, second = [*parts, 0, 0, 0][:6]
    return datetime.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001


def _dated(book: Any) -> None:
    sheet = book.add_worksheet("Лист1")
    forms = [
        book.add_format({"num_format": form}) for form in ("dd.mm.yyyy", "yyyy-mm-dd", "dd.mm.yyyy hh:mm")
    ]
    sheet.merge_range("B2:D2", "Рассылка")
    sheet.write_row(3, 1, ["Телефон", "a", "b", "c"])
    sheet.write_row(4, 1, [79031234567, True])
    sheet.write_datetime(4, 3, naive(2026, 3, 1), forms[0])
    sheet.write_datetime(4, 4, naive(2026, 3, 1), forms[1])
    sheet.write_row(6, 1, [7.9031234568e10, 0.1 + 0.2])
    sheet.write_datetime(6, 3, naive(2026, 3, 1, 10, 30), forms[2])
    sheet.write_datetime(6, 4, naive(2026, 3, 2), forms[1])
    sheet.write_row(7, 1, [1.2345678901234567e17, "b"])
    sheet.write(8, 1, 79031234569)
    sheet.write_formula(8, 2, "=NA()", None, "#N/A")
    sheet.set_row(8, None, None, {"hidden": True})


def test_xlsx(tmp_path: Path) -> None:
    """A sheet is read as the spreadsheet program shows it: numbers, dates, and the numbers of the rows."""
    found = read(tmp_path, xlsx(_dated))
    assert found.values == [
        ["79031234567", "TRUE", "01.03.2026", "2026-03-01"],
        ["79031234568", "0.3", "01.03.2026 10:30", "2026-03-02"],
        ["1.23456789012346E+17", "b", "", ""],
        "a cell of the row has an error, such as #N/A",
    ]
    assert found.lines == [5, 7, 8, 9]
    assert found.notes == [
        "sheet: Лист1",
        "rows that are hidden in the sheet and are read, too: 1",
        "the header is line 4; the lines above are left out",
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (1e15, "1.00000000000000E+15"),
        (999999999999999.0, "999999999999999"),
        (-3.0, "-3"),
        (12.5, "12.5"),
        (0.0000001, "0.0000001"),
        (False, "FALSE"),
        (datetime.date(2026, 3, 1), "2026-03-01"),
        (naive(2026, 3, 1, 10, 30, 5), "2026-03-01 10:30:05"),
        (datetime.time(9, 5), "09:05"),
        (datetime.timedelta(hours=26, minutes=3), "26:03"),
    ],
)
def test_the_text_of_a_cell(cell: Any, text: str) -> None:
    """A number in a text has no exponent unless its digits are not certain."""
    assert spreadsheets.text_of_cell(cell) == text


def _two_sheets(book: Any) -> None:
    hidden, first, second = (book.add_worksheet(name) for name in ("Hidden", "First", "Second"))
    first.activate()
    hidden.hide()
    for number, sheet in enumerate((hidden, first, second)):
        sheet.write_column(0, 0, ["phone", number])


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [(None, "1"), ("Second", "2"), (" second ", "2"), ("Hidden", "0"), ("x", "'Hidden', 'First', 'Second'")],
)
def test_sheets(tmp_path: Path, sheet: str | None, expected: str) -> None:
    """The first visible sheet is read, or the sheet that --sheet names; an error lists the sheets."""
    if len(expected) == 1:
        assert read(tmp_path, xlsx(_two_sheets), sheet=sheet).values == [[expected]]
    else:
        assert expected in refusal(tmp_path, xlsx(_two_sheets), sheet=sheet)


def test_other_spreadsheets(tmp_path: Path) -> None:
    """Files in xls and ods are recognised by their content, whatever their suffix is."""
    found = read(tmp_path, XLS)
    assert found.columns == ["Телефон", "Имя", "Сумма", "Дата"]
    assert found.values == [
        ["79031234567", "Анна", "12.5", "2026-03-01"],
        ["+7 903 123-45-68", "Пётр", "100", ""],
    ]
    found = read(tmp_path, ods_of([["Телефон", "Имя"], [79031234567, "Анна"], [79031234568, "#N/A"]]))
    assert found.values == [
        ["79031234567", "Анна"],
        "the value in column 'Имя' is the error #N/A of a spreadsheet",
    ]


PASSWORD = XLS.replace(
    "Workbook".encode("utf-16-le") + b"\0" * 32, "EncryptedPackage".encode("utf-16-le") + b"\0" * 16
)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (PASSWORD, {}, "a spreadsheet with a password"),
        (XLS[:600], {}, "a damaged spreadsheet"),
        (xlsx_of([["phone"], [1]])[:-200], {}, "a damaged spreadsheet"),
        (xlsx_of([["Анна", 79031234567]]), {}, "pass --no-header"),
        (xlsx_of([["Анна", 7.9031234567891e15]]), {}, "pass --no-header"),
        (xlsx_of([]), {}, "the empty sheet 'Sheet1'"),
        (xlsx_of([["phone"]]), {"delimiter": ";"}, "--delimiter"),
        (xlsx_of([["phone"]]), {"encoding": "utf-8"}, "--encoding"),
    ],
)
def test_refused_spreadsheets(tmp_path: Path, content: bytes, options: dict[str, Any], words: str) -> None:
    """A spreadsheet that cannot be read is refused, with the cause."""
    assert words in refusal(tmp_path, content, **options)


def piped(content: bytes, options: TableOptions = DETECTED) -> Read:
    """Read a table from a pipe."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return Read(f"/dev/fd/{reading}", options)
    finally:
        os.close(reading)
        thread.join()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "cp1251", "cp866", "koi8-r", "utf-16", "utf-16-le", "utf-32-be"]
)
def test_encodings_of_a_pipe(encoding: str) -> None:
    """From a pipe, the encoding is detected in the bytes that have arrived."""
    found = piped(RUSSIAN.encode(encoding))
    assert [found.columns, *found.values] == [line.split(";") for line in RUSSIAN.splitlines()]
    assert found.total is None


def test_a_spreadsheet_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spreadsheet is read from a pipe, unless it is too large for the memory."""
    content = xlsx_of([["phone", "x"], [79031234567, "a"]])
    found = piped(content)
    assert (found.values, found.total) == ([["79031234567", "a"]], 1)
    monkeypatch.setattr(spreadsheets, "PIPE_LIMIT", 1000)
    with pytest.raises(ValidationError, match="pass a file"):
        piped(content)


def _slow(chunks: Sequence[tuple[bytes, list[list[str] | str]]], header: bytes) -> list[str]:
    """Write chunks to a pipe one by one, check the rows of each chunk, and return the notes."""
    reading, writing = os.pipe()
    os.write(writing, header + chunks[0][0])
    table = open_table(f"/dev/fd/{reading}")
    try:
        for index, (chunk, expected) in enumerate(chunks):
            if index:
                os.write(writing, chunk)
            rows: list[Row | BadRow] = []
            while len(rows) < len(expected):
                rows += table.block(500)
            assert [
                list(row.values.values()) if isinstance(row, Row) else row.reason for row in rows
            ] == expected
    finally:
        os.close(writing)
        table.close()
        os.close(reading)
    return table.notes


def test_rows_of_a_slow_pipe() -> None:
    """Rows that have arrived are returned at once, also in UTF-16 and with old line ends."""
    for encoding, end in (("utf-8", "\n"), ("utf-16", "\r\n"), ("utf-8", "\r")):
        header = f"phone,name{end}".encode(encoding)
        later = "utf-16-le" if encoding == "utf-16" else encoding
        _slow(
            [
                (f"1,a{end}".encode(later), [["1", "a"]]),
                (f"2,Анна{end}3,b{end}".encode(later), [["2", "Анна"], ["3", "b"]]),
            ],
            header,
        )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("count", [20, 200])
def test_rows_that_have_arrived_come_together(encoding: str, count: int) -> None:
    """All rows of a pipe that have arrived come in one block, so that few requests are made."""
    reading, writing = os.pipe()
    os.write(writing, ("phone,name\n" + "1,Анна\n" * count).encode(encoding))
    table = open_table(f"/dev/fd/{reading}")
    try:
        assert len(table.block(500)) == count
    finally:
        os.close(writing)
        table.close()
        os.close(reading)


def test_the_encoding_of_a_slow_pipe() -> None:
    """A line costs itself as long as the encoding of the pipe is not certain; nothing is guessed."""
    uncertain = "the encoding of the line is not certain; pass --encoding"
    notes = _slow(
        [
            (b"1,a\n", [["1", "a"]]),
            ("2,ИП\n".encode("koi8-r"), [uncertain]),
            ("3,Анна Иванова\n".encode("koi8-r"), [["3", "Анна Иванова"]]),
            ("4,ИП\n".encode("koi8-r"), [["4", "ИП"]]),
        ],
        b"phone,name\n",
    )
    assert notes == ["encoding: koi8-r"]


@given(
    cells=st.lists(
        st.sampled_from([NUMBER, SPACED, "", "#N/A", '"', " ", "a\0", "\x96", "x" * 9, "a,b", "1;2"]),
        min_size=1,
        max_size=5,
    )
)
def test_no_reason_shows_a_number(tmp_path: Path, cells: list[str]) -> None:
    """Neither an error nor the reason of a bad row shows a phone number."""
    row = ",".join(cells)
    for content in (
        f"phone,x\n{row}\n",
        f"{row}\n{row}\n",
        f"phone;x\n{row}",
        f'{{"phone":"{row}"}}\n[{row}',
    ):
        try:
            reasons = [value for value in read(tmp_path, content).values if isinstance(value, str)]
        except ValidationError as error:
            reasons = [error.summary()]
        assert not any("903" in reason for reason in reasons)
