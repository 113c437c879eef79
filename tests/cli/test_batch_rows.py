"""Tests of reading a recipients file: formats, encodings, damaged lines, columns and text templates."""

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from smsapi_async.cli.batch.row_converter import RowConverter, RowMessage, SharedFields
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.tables import lines as line_module
from smsapi_async.cli.tables.encodings import is_utf_8
from smsapi_async.cli.tables.rows import BadRow, Row, open_table
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.errors import ValidationError

COMMON = SharedFields(source_address="ACME")
CP1251 = bytes(range(256)).decode("cp1251", "ignore")


def rows_of(path: Path, options: TableOptions = DETECTED) -> tuple[list[str], list[Row | BadRow], int | None]:
    """Return the columns of a recipients file, all its rows, and the total number of rows.

    The total number of rows is None if it is not known before the last row is read.
    """
    table = open_table(str(path), options)
    try:
        found: list[Row | BadRow] = []
        while block := table.block(3):
            found.extend(block)
    finally:
        table.close()
    return table.columns, found, table.total


def written(path: Path, content: bytes | str) -> Path:
    """Write `content` to the file `path`, and return `path`."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(rows: list[Row | BadRow]) -> list[dict[str, str] | str]:
    """Return the cells of each good row, and the reason why each bad row is bad."""
    return [dict(row.values) if isinstance(row, Row) else row.reason for row in rows]


def lines(rows: list[Row | BadRow]) -> list[int]:
    """Return, for each row, the number of the line in which the row begins."""
    return [row.line for row in rows]


# A value that begins with spaces and a quotation mark is refused: most such values are quoted wrongly.
CELL = st.text(
    st.sampled_from([*CP1251.replace("\r", "").replace("\0", ""), "\n", '"', ",", ";"]), max_size=8
).filter(lambda cell: cell[:1] == '"' or not cell.lstrip().startswith('"'))


CSV_FILES = given(
    rows=st.lists(st.tuples(CELL, CELL, CELL).filter(lambda row: any(map(str.strip, row))), max_size=6),
    delimiter=st.sampled_from(",;\t|:^~#&!"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1251", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
WITH_DELIMITERS = example(
    rows=[("a,b", "c,d", "e,f")] * 5, delimiter=";", encoding="utf-8", end="\n", quoting=csv.QUOTE_MINIMAL
)


def csv_file(path: Path, rows: list[tuple[str, ...]], encoding: str, **dialect: Any) -> Path:
    """Write a CSV file with a header and `rows`, and return its path."""
    text = io.StringIO()
    writer = csv.writer(text, **dialect)
    writer.writerow(["phone", "имя", "text"])
    writer.writerows(rows)
    return written(path, text.getvalue().encode(encoding))


@CSV_FILES
@WITH_DELIMITERS
def test_csv_round_trip(
    tmp_path: Path, rows: list[tuple[str, ...]], delimiter: str, encoding: str, end: str, quoting: int
) -> None:
    """Every cell of a CSV file is read unchanged, with the delimiter and the encoding that the user names.

    Only spaces at the beginning of a cell are not kept.
    """
    path = csv_file(
        tmp_path / "rows.csv", rows, encoding, delimiter=delimiter, lineterminator=end, quoting=quoting
    )
    if encoding == "cp1251":
        # Random characters in cp1251 may be valid UTF-8, too.
        assume(not any(is_utf_8(line) for line in path.read_bytes().split(b"\n") if not line.isascii()))
    columns, found, total = rows_of(path, TableOptions(delimiter=delimiter, encoding=encoding))
    assert columns == ["phone", "имя", "text"]
    assert stripped(found) == [dict(zip(columns, map(str.strip, row), strict=True)) for row in rows]
    assert total == len(rows)


@CSV_FILES
@WITH_DELIMITERS
def test_a_detected_file_is_right_or_refused(
    tmp_path: Path, rows: list[tuple[str, ...]], delimiter: str, encoding: str, end: str, quoting: int
) -> None:
    """If a delimiter and an encoding are taken without options, each row has its number or is bad."""
    rows = [(f"7903{index:07}", *row[1:]) for index, row in enumerate(rows)]
    path = csv_file(
        tmp_path / "rows.csv", rows, encoding, delimiter=delimiter, lineterminator=end, quoting=quoting
    )
    try:
        columns, found, _ = rows_of(path)
    except ValidationError:
        return
    if "phone" in columns:
        numbers = [row.values["phone"] for row in found if isinstance(row, Row)]
        assert numbers == [row[0] for row in rows][: len(numbers)] or len(numbers) < len(rows)
        assert set(numbers) <= {row[0] for row in rows}


def stripped(rows: list[Row | BadRow]) -> list[dict[str, str] | str]:
    """Return the cells of each good row without spaces around them."""
    return [
        {name: value.strip() for name, value in row.values.items()} if isinstance(row, Row) else row.reason
        for row in rows
    ]


@given(
    st.lists(
        st.dictionaries(
            st.text("abcж", max_size=5).map(lambda name: f" {name} "),
            CELL.map(lambda cell: cell.replace('"', "")) | st.integers(),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
    )
)
def test_json_lines_round_trip(tmp_path: Path, rows: list[dict[str, str | int]]) -> None:
    """Every string of a JSON lines file is read unchanged, and a number becomes a string of its digits."""
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = written(tmp_path / "rows.jsonl", text.encode("utf-8", "surrogatepass"))
    columns, found, total = rows_of(path, TableOptions(column=next(iter(rows[0]))))
    assert values(found) == [{name.strip(): str(value) for name, value in row.items()} for row in rows]
    assert (columns, total) == ([name.strip() for name in rows[0]], len(rows))


def test_json_lines_without_a_suffix(tmp_path: Path) -> None:
    """A file that begins with a brace is read as JSON lines, and a null counts as a missing value."""
    path = written(
        tmp_path / "rows.txt", '\n{"phone": 79031234567, "sum": 12.50, "name": null}\n\n{"phone": "1"}'
    )
    columns, found, _ = rows_of(path)
    assert columns == ["phone", "sum"]
    assert values(found) == [{"phone": "79031234567", "sum": "12.50"}, {"phone": "1"}]
    assert lines(found) == [2, 4]


@pytest.mark.usefixtures("without_garbage_collection")
def test_bad_json_lines_cost_themselves(tmp_path: Path) -> None:
    """A JSON line that is not an object of strings and numbers is a bad row, and all other lines are read."""
    bad = ["[1]", "{", '{"phone": true}', '{"phone": {"a": 1}}', "[" * 100_000]
    path = written(tmp_path / "rows.jsonl", "\n".join(['{"phone": "1"}', *bad, '{"phone": "2"}']))
    _, found, _ = rows_of(path)
    assert [isinstance(row, BadRow) for row in found] == [False, *[True] * 5, False]
    assert "object" in str(values(found)[1])
    assert "JSON" in str(values(found)[2])


def test_bad_csv_rows_cost_themselves(tmp_path: Path) -> None:
    """A CSV row with extra fields or broken quotes is bad; missing fields at the end of a row are empty."""
    content = 'phone;name\n1;a\n2\n;\n\n3;b;c\n4;d;;\n5;"e"f\n6;"g\nh"\n7;i\n'
    _, found, total = rows_of(written(tmp_path / "rows.csv", content))
    assert lines(found) == [2, 3, 6, 7, 8, 9, 11]
    assert [row.values["phone"] for row in found if isinstance(row, Row)] == ["1", "2", "4", "6", "7"]
    assert [row.line for row in found if isinstance(row, BadRow)] == [6, 8]
    assert total == 7


def test_an_open_quote_is_told_with_its_lines(tmp_path: Path) -> None:
    """If a quote is never closed, the reason of the bad row names the last line inside the quote."""
    _, found, _ = rows_of(written(tmp_path / "rows.csv", 'phone,name\n1,a\n2,"b\n3,c\n4,d\n'))
    assert lines(found) == [2, 3]
    assert "to line 5" in str(values(found)[1])


def test_a_damaged_line_does_not_change_the_encoding(tmp_path: Path) -> None:
    """If one line is not UTF-8, only this line is bad, and the other lines are decoded as UTF-8."""
    content = "phone,name\n1,Анна\n".encode() + b"2,\xc0\xed\xed\xe0\n" + "3,Вера\n".encode()
    _, found, _ = rows_of(written(tmp_path / "rows.csv", content))
    assert values(found) == [
        {"phone": "1", "name": "Анна"},
        "the line is not in UTF-8, the encoding of the other lines",
        {"phone": "3", "name": "Вера"},
    ]


def test_a_long_line_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long is a bad row, and the next line is read."""
    monkeypatch.setattr(line_module, "LINE_LIMIT", 100)
    content = "phone,name\n1,a\n2," + "x" * 1000 + "\n3,b\n4," + "y" * 1000
    _, found, _ = rows_of(written(tmp_path / "rows.csv", content))
    assert lines(found) == [2, 3, 4, 5]
    assert "longer than 100 bytes" in str(values(found)[1])


def test_commas_in_texts_do_not_mislead(tmp_path: Path) -> None:
    """The header alone determines the delimiter, even if the texts contain many commas."""
    content = "phone;text\n" + "1;Hello, you, and you, and you\n" * 3
    _, found, _ = rows_of(written(tmp_path / "rows.csv", content))
    assert values(found) == [{"phone": "1", "text": "Hello, you, and you, and you"}] * 3
    _, found, _ = rows_of(written(tmp_path / "spaced.csv", "phone; text\n1; Hello, you\n"))
    assert values(found) == [{"phone": "1", "text": "Hello, you"}]


def test_two_delimiters_in_the_header(tmp_path: Path) -> None:
    """If the header has two delimiters, a usual heading decides; without one, the file is refused."""
    content = "phone;sum, RUB;name\n" + "1;2,50;a\n" * 9
    assert rows_of(written(tmp_path / "rows.csv", content))[0] == ["phone", "sum, RUB", "name"]
    content = "phone;name, first\n" + "".join(f"{index};n{index}\n" for index in range(9))
    assert rows_of(written(tmp_path / "tie.csv", content))[0] == ["phone", "name, first"]
    with pytest.raises(ValidationError, match="pass --delimiter ',' or ';'"):
        rows_of(written(tmp_path / "bare.csv", "a;b,c\n1;2,3"))


def test_one_column(tmp_path: Path) -> None:
    """A recipients file with only one column needs no delimiter."""
    assert values(rows_of(written(tmp_path / "rows.csv", "phone\n1\n2"))[1]) == [
        {"phone": "1"},
        {"phone": "2"},
    ]


REFUSED = [
    (b"", "an empty file"),
    (b"\n \n", "an empty file"),
    (b"PK\x03\x04...", "save it as xlsx or CSV"),
    (b"79031234567,a\n79031234568,b", "without a header"),
    (b"+7 (903) 123-45-67;a\n", "without a header"),
    (b'"phone"x,name\n1,a', "the header in line 1"),
    (b'phone,"na\n', "the header in line 1"),
    ("phone,имя".encode() + b"\xff\n1,a\n" + "2,имя\n".encode(), "the header in line 1"),
    (b"{\n", "begin with a JSON object"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=lambda value: str(value)[:20])
def test_what_cannot_be_read_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """`open_table` refuses a file that cannot be read as a table of recipients, with the reason."""
    with pytest.raises(ValidationError, match=words):
        open_table(str(written(tmp_path / "rows.csv", content)))


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    """`open_table` refuses a path that does not exist or is a directory, and the error contains the path."""
    with pytest.raises(ValidationError, match=r"RECIPIENTS: '.*'"):
        open_table(str(tmp_path / name))


def test_a_fifo_is_read_as_it_comes(tmp_path: Path) -> None:
    """For a pipe, the total of rows is unknown, and the first non-ASCII line determines the encoding."""
    for encoding in ("utf-8", "cp1251"):
        reading, writing = os.pipe()
        os.write(writing, "phone,name\n1,a\n2,Анна\n".encode(encoding))
        os.close(writing)
        columns, found, total = rows_of(Path(f"/dev/fd/{reading}"))
        os.close(reading)
        assert (columns, total) == (["phone", "name"], None)
        assert values(found) == [{"phone": "1", "name": "a"}, {"phone": "2", "name": "Анна"}]


def test_a_block_does_not_wait() -> None:
    """A row from a pipe is available before the next row arrives."""
    reading, writing = os.pipe()
    os.write(writing, b"phone\n1\n")
    table = open_table(f"/dev/fd/{reading}")
    assert values(table.block(500)) == [{"phone": "1"}]
    os.write(writing, b"2\n3\n")
    assert values(table.block(500)) == [{"phone": "2"}, {"phone": "3"}]
    table.close()
    assert table.block(500) == []
    os.close(reading)
    os.close(writing)


def test_a_read_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If reading a recipients file fails, the error names the last line that was read."""
    table = open_table(str(written(tmp_path / "rows.csv", "phone\n" + "79031234567\n" * 10_000)))

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "readv", fail)
    with pytest.raises(ValidationError, match=r"failed after line \d+ \(Input/output error\)"):
        table.block(20_000)
    table.close()


COLUMNS = [
    (["name", "Phone"], None, "Phone"),
    (["name", "destination_address"], None, "destination_address"),
    (["имя", "Телефон"], None, "Телефон"),
    (["who"], None, "who"),
    (["phone", "mobile"], "mobile", "mobile"),
]


@pytest.mark.parametrize(("columns", "given_name", "expected"), COLUMNS)
def test_the_column_of_numbers(columns: list[str], given_name: str | None, expected: str) -> None:
    """The phone numbers come from the column that the option `--column` names.

    Without `--column`, the phone numbers come from a column with a usual name, or from the only column.
    """
    converter = RowConverter.for_table(columns, given_name, Template.parse("Hello"), COMMON)
    assert converter.number_column == expected


def composed(row: dict[str, str], text: str | None = "Hello, {name}!") -> RowMessage | BadRow:
    """Return the message of a row in a table that has the columns of the row and the column ``name``."""
    template = None if text is None else Template.parse(text)
    columns = list(dict.fromkeys([*row, "name"]))
    return RowConverter.for_table(columns, None, template, COMMON).convert(Row(7, row))


def test_a_message_of_a_row() -> None:
    """A row becomes a message with the digits of its number, the filled template, its key and its line."""
    message = composed({"phone": "+7 (903) 123-45-67", "name": "Анна {x}", "key": " k1 "})
    assert isinstance(message, RowMessage)
    assert message.destination_address == "79031234567"
    assert (message.text, message.key, message.line) == ("Hello, Анна {x}!", "k1", 7)


def test_the_column_text_stands_in(tmp_path: Path) -> None:
    """Without `--text`, the text comes unchanged from the column `text`; an empty key counts as no key."""
    message = composed({"phone": "79031234567", "text": "{name} {{", "key": " "}, None)
    assert isinstance(message, RowMessage)
    assert (message.text, message.key) == ("{name} {{", None)


BAD = [
    ({"phone": "7 905 777 66 5", "name": "a"}, "phone: '.* cannot be used"),
    ({"phone": "", "name": "a"}, "phone: "),
    ({"phone": "79031234567"}, "name: an empty value"),
    ({"phone": "79031234567", "name": " \u00a0\u200b "}, "name: an empty value.*{name|client}"),
    ({"phone": "79031234567", "name": "я" * 2001}, "text of 2\\d+ UTF-16 units"),
]


@pytest.mark.parametrize(("row", "reason"), BAD, ids=["short", "empty", "missing", "blank", "long"])
def test_a_bad_row_shows_no_secrets(row: dict[str, str], reason: str) -> None:
    """The reason of a bad row contains neither the full phone number nor the text of the row."""
    bad = composed(row)
    assert isinstance(bad, BadRow)
    assert bad.line == 7
    assert re.search(reason, bad.reason)
    assert "577766" not in bad.reason
    assert "яя" not in bad.reason


VALUES = {"имя": "Анна", "first name": "B", "Сумма, руб.": "1 200", "1": "one", "a|b": "bar", "пусто": ""}
TEMPLATES = [
    ("Здравствуйте, {имя}!", "Здравствуйте, Анна!"),
    ("{{{имя}}} }}", "{Анна} }"),
    ("100% \\n", "100% \\n"),
    ("{first name}{имя}{имя}", "BАннаАнна"),
    ("К оплате {Сумма, руб.}", "К оплате 1 200"),
    ("{1}, {a|b}", "one, bar"),
    ("{ имя }, {First Name}", "Анна, B"),
    ("Dear {пусто|client}!", "Dear client!"),
    ("Dear {имя|client}!", "Dear Анна!"),
    ("Dear{пусто|}!", "Dear!"),
    ("{пусто|a|b}", "a|b"),
]


@pytest.mark.parametrize(("text", "filled"), TEMPLATES)
def test_template(text: str, filled: str) -> None:
    """A column name in braces is replaced with the value in the row, or with the default after the bar.

    A doubled brace in the template is one brace in the text.
    """
    assert Template.parse(text).for_columns(VALUES).fill(VALUES) == filled


@pytest.mark.parametrize("text", ["{}", "{ }", "{|client}", "{a", "a}", "{a{b}}", "{a:{b}}"])
def test_single_and_empty_braces(text: str) -> None:
    """`Template.parse` refuses a template with a single brace or with braces without a column name."""
    with pytest.raises(ValidationError, match="--text"):
        Template.parse(text)


@pytest.mark.parametrize("text", ["{имя.__class__}", "{имя[0]}", "{0}", "{имя!r}", "{имя:>9}", "{И М Я}"])
def test_a_template_is_data(text: str) -> None:
    """An attribute, an index or a format in braces is no column name, and no expression is evaluated."""
    with pytest.raises(ValidationError, match=r"--text: the column .* cannot be used; the columns are 'имя'"):
        Template.parse(text).for_columns(VALUES)


@given(st.text(alphabet="{}a.[]!:0| ", max_size=12), st.text(min_size=1, max_size=5))
def test_a_template_never_fails_otherwise(text: str, value: str) -> None:
    """For any template, `Template.parse` raises `ValidationError`, or `fill` works without an exception."""
    try:
        template = Template.parse(text)
    except ValidationError:
        return
    columns = [content.partition("|")[0].strip() for _, content in template.parts if isinstance(content, str)]
    template = template.for_columns(columns)
    assert all(name in text for name in template.columns)
    filled = template.fill(dict.fromkeys(template.columns, value))
    assert filled.count("{{") <= text.count("{{") + value.count("{") * len(columns)


UNUSABLE: list[tuple[list[str], str | None, str | None, str]] = [
    (["phone", "name"], None, "{nam}", r"the column 'nam' cannot be used; the columns are 'phone', 'name'"),
    (["phone", *map(str, range(40))], None, "{nam}", "and 11 more"),
    (["phone", "name"], None, None, "--text: an unset value"),
    (["phone", "name"], "cell", "a", "--column: the column 'cell'.*'phone', 'name'"),
    (["id", "who"], None, "a", "--column: an unset value cannot be used; pass one of 'id', 'who'"),
    (
        ["phone", "mobile"],
        None,
        "a",
        "several columns may have the phone numbers; pass one of 'phone', 'mobile'",
    ),
    (["phone", "phone"], None, "a", "the repeated column 'phone'"),
    (["phone"], None, "", "text: an empty text"),
]


@pytest.mark.parametrize(("columns", "column", "text", "words"), UNUSABLE)
def test_what_the_columns_do_not_allow(
    columns: list[str], column: str | None, text: str | None, words: str
) -> None:
    """A missing, repeated or ambiguous column and a missing text are refused before any row is read."""
    with pytest.raises(ValidationError, match=words):
        RowConverter.for_table(columns, column, None if text is None else Template.parse(text), COMMON)


def test_a_quotation_mark_eats_no_rows(tmp_path: Path) -> None:
    """If quotation marks join lines with numbers, the joined lines are one bad row."""
    content = 'phone,text\n79031234561,"Sale\n79031234562,Cheap\n79031234563,Come"\n79031234564,ok\n'
    _, found, _ = rows_of(written(tmp_path / "rows.csv", content))
    assert [isinstance(row, BadRow) for row in found] == [True, False]
    assert "quotation mark" in str(values(found)[0])
    _, found, _ = rows_of(written(tmp_path / "text.csv", 'phone,text\n79031234561,"Call\n+7 495 1234567"\n'))
    assert [isinstance(row, BadRow) for row in found] == [False]


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("a.jsonl", '{"order":"89031234567"}\n{"phone":"79031234568"}', DETECTED, "--column"),
        ("a.csv", "phone\n79031234567\n", TableOptions(encoding="utf-16-le"), "not in utf-16-le"),
        ("b.csv", "123456\n79031234567\n", DETECTED, "--no-header"),
    ],
)
def test_a_guess_is_refused(
    tmp_path: Path, name: str, content: str, options: TableOptions, words: str
) -> None:
    """A single unknown name in JSON, a wide encoding for narrow text and a header of digits are refused."""
    with pytest.raises(ValidationError, match=words):
        open_table(str(written(tmp_path / name, content)), options)
