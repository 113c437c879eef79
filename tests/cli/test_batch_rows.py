"""Tests of reading a recipients file: formats, encodings, damaged lines, columns and text templates."""

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapi_async.cli.batch.row_converter import RowConverter, RowMessage, SharedFields, strip_separators
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.tables import inputs
from smsapi_async.cli.tables.rows import BadRow, Row, open_table
from smsapi_async.errors import ValidationError

COMMON = SharedFields(source_address="ACME")
CP1251 = bytes(range(256)).decode("cp1251", "ignore")


def rows_of(path: Path) -> tuple[list[str], list[Row | BadRow], int | None]:
    """Return the columns of a recipients file, all its rows, and the total number of rows.

    The total number of rows is None if it is not known before the last row is read.
    """
    table = open_table(str(path))
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


CELL = st.text(
    st.sampled_from([*CP1251.replace("\r", "").replace("\0", ""), "\n", '"', ",", ";"]), max_size=8
)


@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL).filter(any), max_size=6),
    delimiter=st.sampled_from(",;\t|:^~#&!"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1251"]),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@example(
    rows=[("a,b", "c,d", "e,f")] * 5, delimiter=";", encoding="utf-8", end="\n", quoting=csv.QUOTE_MINIMAL
)
def test_csv_round_trip(
    tmp_path: Path, rows: list[tuple[str, ...]], delimiter: str, encoding: str, end: str, quoting: int
) -> None:
    """Every cell of a CSV file is read unchanged, for all usual delimiters, line ends and encodings."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["phone", "имя", "text"])
    writer.writerows(rows)
    path = written(tmp_path / "rows.csv", text.getvalue().encode(encoding))
    columns, found, total = rows_of(path)
    assert columns == ["phone", "имя", "text"]
    assert values(found) == [dict(zip(columns, row, strict=True)) for row in rows]
    assert total == len(rows)


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.integers(), max_size=4), min_size=1
    )
)
def test_json_lines_round_trip(tmp_path: Path, rows: list[dict[str, str | int]]) -> None:
    """Every string of a JSON lines file is read unchanged, and a number becomes a string of its digits."""
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = written(tmp_path / "rows.jsonl", text.encode("utf-8", "surrogatepass"))
    columns, found, total = rows_of(path)
    assert values(found) == [{name: str(value) for name, value in row.items()} for row in rows]
    assert (columns, total) == (list(rows[0]), len(rows))


def test_json_lines_without_a_suffix(tmp_path: Path) -> None:
    """A file that begins with a brace is read as JSON lines, and a null counts as a missing value."""
    path = written(
        tmp_path / "rows.txt", '\n{"phone": 79031234567, "sum": 12.50, "name": null}\n\n{"phone": "1"}'
    )
    columns, found, _ = rows_of(path)
    assert columns == ["phone", "sum"]
    assert values(found) == [{"phone": "79031234567", "sum": "12.50"}, {"phone": "1"}]
    assert lines(found) == [2, 4]


def test_bad_json_lines_cost_themselves(tmp_path: Path) -> None:
    """A JSON line that is not an object of strings and numbers is a bad row, and all other lines are read."""
    bad = ["[1]", "{", '{"phone": true}', '{"phone": {"a": 1}}', "[" * 100_000]
    path = written(tmp_path / "rows.jsonl", "\n".join(['{"phone": "1"}', *bad, '{"phone": "2"}']))
    _, found, _ = rows_of(path)
    assert [isinstance(row, BadRow) for row in found] == [False, *[True] * 5, False]
    assert "object" in str(values(found)[1])
    assert "JSON" in str(values(found)[2])


def test_bad_csv_rows_cost_themselves(tmp_path: Path) -> None:
    """A CSV row with missing fields, extra fields or broken quotes is bad, and all other rows are read."""
    content = 'phone;name\n1;a\n2\n;\n\n3;b;c\n4;d;;\n5;"e"f\n6;"g\nh"\n7;i\n'
    _, found, total = rows_of(written(tmp_path / "rows.csv", content))
    assert lines(found) == [2, 3, 6, 7, 8, 9, 11]
    assert [row.values["phone"] for row in found if isinstance(row, Row)] == ["1", "4", "6", "7"]
    assert [row.line for row in found if isinstance(row, BadRow)] == [3, 6, 8]
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
    monkeypatch.setattr(inputs, "LINE_LIMIT", 100)
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
    """If the header contains two delimiters, the more frequent delimiter is used.

    If two delimiters are equally frequent in the header, the rows determine which delimiter is used.
    """
    content = "phone;sum, RUB;name\n" + "1;2,50;a\n" * 9
    assert rows_of(written(tmp_path / "rows.csv", content))[0] == ["phone", "sum, RUB", "name"]
    content = "phone;name, first\n" + "".join(f"{index};n{index}\n" for index in range(9))
    assert rows_of(written(tmp_path / "tie.csv", content))[0] == ["phone", "name, first"]
    assert rows_of(written(tmp_path / "bare.csv", "a;b,c"))[0] in (["a", "b,c"], ["a;b", "c"])


def test_one_column(tmp_path: Path) -> None:
    """A recipients file with only one column needs no delimiter."""
    assert values(rows_of(written(tmp_path / "rows.csv", "phone\n1\n2"))[1]) == [
        {"phone": "1"},
        {"phone": "2"},
    ]


REFUSED = [
    (b"", "an empty file"),
    (b"\n \n", "an empty file"),
    ("phone\n1".encode("utf-16"), "UTF-16"),
    (b"\xfe\xff\0p", "UTF-16"),
    (b"PK\x03\x04...", "save it as CSV"),
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


NUMBERS = [
    ("+7 (903) 123-45-67", "+79031234567"),
    ("8 903 123 45 67", "89031234567"),
    ("7\u00a0903\u2011123\u201345\u221267", "79031234567"),
    ("\u202a+7 903 123 45 67\u202c\ufeff", "+79031234567"),
    ("7903123456o", "7903123456o"),
]


@pytest.mark.parametrize(("written_as", "bare"), NUMBERS)
def test_bare_number(written_as: str, bare: str) -> None:
    """`strip_separators` removes only spaces, brackets, dashes and invisible characters from a number."""
    assert strip_separators(written_as) == bare


COLUMNS = [
    (["name", "Phone"], None, "Phone"),
    (["number", "msisdn", "destination_address"], None, "destination_address"),
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
    ({"phone": "7 905 777 66 5", "name": "a"}, "phone: '\\*\\*\\*65' cannot be used.*11 digits"),
    ({"phone": "", "name": "a"}, "phone: "),
    ({"phone": "79031234567"}, "name: a missing value"),
    ({"phone": "79031234567", "name": "я" * 2001}, "text of 2\\d+ UTF-16 units"),
]


@pytest.mark.parametrize(("row", "reason"), BAD, ids=["short", "empty", "missing", "long"])
def test_a_bad_row_shows_no_secrets(row: dict[str, str], reason: str) -> None:
    """The reason of a bad row contains neither the full phone number nor the text of the row."""
    bad = composed(row)
    assert isinstance(bad, BadRow)
    assert bad.line == 7
    assert re.search(reason, bad.reason)
    assert "577766" not in bad.reason
    assert "яя" not in bad.reason


TEMPLATES = [
    ("Здравствуйте, {имя}!", "Здравствуйте, Анна!"),
    ("{{{имя}}} }}", "{Анна} }"),
    ("100% \\n", "100% \\n"),
    ("{first name}{имя}{имя}", "BАннаАнна"),
]


@pytest.mark.parametrize(("text", "filled"), TEMPLATES)
def test_template(text: str, filled: str) -> None:
    """`fill` replaces a column name in braces with the value in the row.

    `fill` replaces a doubled brace in the template with one brace.
    """
    assert Template.parse(text).fill({"имя": "Анна", "first name": "B"}) == filled


@pytest.mark.parametrize(
    "text", ["{a.b}", "{a[0]}", "{0}", "{}", "{ }", "{a!r}", "{a:>9}", "{a", "a}", "{a{b}}", "{a:{b}}"]
)
def test_a_template_is_data(text: str) -> None:
    """`Template.parse` refuses a template with an attribute, an index, a format or a single brace."""
    with pytest.raises(ValidationError, match="--text"):
        Template.parse(text)


@given(st.text(alphabet="{}a.[]!:0 ", max_size=12), st.text(max_size=5))
def test_a_template_never_fails_otherwise(text: str, value: str) -> None:
    """For any template, `Template.parse` raises `ValidationError`, or `fill` works without an exception."""
    try:
        template = Template.parse(text)
    except ValidationError:
        return
    assert all(name in text for name in template.columns)
    assert template.fill(dict.fromkeys(template.columns, value)).count("{{") <= text.count(
        "{{"
    ) + value.count("{")


UNUSABLE: list[tuple[list[str], str | None, str | None, str]] = [
    (["phone", "name"], None, "{nam}", r"the column 'nam' cannot be used; the columns are 'phone', 'name'"),
    (["phone", *map(str, range(40))], None, "{nam}", "and 11 more"),
    (["phone", "name"], None, None, "--text: an unset value"),
    (["phone", "name"], "cell", "a", "--column: the column 'cell'.*'phone', 'name'"),
    (["id", "cell"], None, "a", "--column: an unset value cannot be used; pass one of 'id', 'cell'"),
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
