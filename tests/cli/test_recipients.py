"""Recipients as people have them: for each file, what the gateway received, or the exact reason.

The rule: to guess would be to send. What is not certain costs the row or the file.
"""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
import xlsxwriter

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli

A, B, GERMAN = "79031234561", "79031234562", "491701234567"
EXAMPLE = "+79031234567"


@attrs.frozen
class Case:
    """A file, and what becomes of it.

    Attributes:
        name: the name of the case.
        content: the file; text is written in UTF-8.
        sent: the numbers and texts that the gateway received.
        reason: a part of the reason for the row or the file that is not sent, or of a note.
        options: the options of the command besides the file.
        suffix: the suffix of the file.
    """

    name: str
    content: str | bytes
    sent: dict[str, str] = attrs.field(factory=dict)
    reason: str = ""
    options: Sequence[str] = ("--text", "Hi")
    suffix: str = ".csv"


def cell(name: str, number: str, sent: str = "", reason: str = "", **more: str) -> Case:
    """Return the case of a file with a single number."""
    quoted = '"' + number.replace('"', '""') + '"'
    return Case(name, f"phone\n{quoted}\n", {sent: "Hi"} if sent else {}, reason, **more)


def workbook(*rows: Sequence[object], sheets: Sequence[str] = ("Sheet1",), at: int = 0) -> bytes:
    """Return a workbook (xlsx) with the rows on the sheet `at`."""
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        for index, name in enumerate(sheets):
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows if index == at else [["x"], ["y"]]):
                sheet.write_row(number, 0, row)
    return stream.getvalue()


SHORTENED = "the spreadsheet shortened this number: format the column as text"
NAMED = ("--text", "Dear {name}")
NUMBERS = [
    cell("a German number with (0)", "+49 (0)170 1234567", GERMAN),
    cell("+7 8", "+7 8 903 123-45-61", A),
    cell("+7 (0)", "+7 (0) 903 123-45-61", reason="does not exist"),
    cell("an extension in brackets", "+7 903 123-45-61 (123)", reason="an extension"),
    cell("an extension of a digit", "8-903-123-45-61-1", reason="an extension"),
    cell("two landlines", "123-45-67 765-43-21", reason="14 digits does not exist"),
    cell("a date", "2026-03-01", reason="holds a date"),
    cell("a digit short", "7903123456", reason="10 digits does not exist"),
    cell("ten digits", "9031234561", A),
    cell("the trunk prefix", "8-903-123-45-61", A),
    cell("an exponent", "7.90312E+10", reason=SHORTENED),
    cell("an exponent with a comma", "7,90312E+10", reason=SHORTENED),
    cell("a float", "79031234561.0", A),
    cell("an apostrophe", "'79031234561", A),
    cell("a formula", '="79031234561"', A),
    cell("00", "00 7 903 123 45 61", A),
    cell("tel:", "tel:+7-903-123-45-61", A),
    cell("two numbers", "79031234561, 79031234562", reason="may separate two numbers"),
    cell("odd dashes and spaces", "+7\u00a0903\u2009123\u201145\u221261", A),
    Case("a region", "phone\n0170 1234567\n", {GERMAN: "Hi"}, options=("--text", "Hi", "--region", "DE")),
]
NO_HEADER = "pass --no-header"
FILES = [
    Case("no header, one column", "+7\u00a0903\u00a0123-45-61\n+7 903 123-45-62\n", reason=NO_HEADER),
    Case("no header, two columns", f"{A},Anna\n{B},Boris\n", reason=NO_HEADER),
    Case("no header, an exponent", f"7.90312E+10;Anna\n{B};Boris\n", reason=NO_HEADER),
    Case("no header, tel:", f"tel:+7-903-123-45-61\n{B}\n", reason=NO_HEADER),
    Case(
        "--no-header",
        f"Anna;{A}\nBoris;{B}\n",
        {A: "Anna", B: "Boris"},
        options=("--text", "{1}", "--no-header", "--column", "2"),
    ),
    Case("number and mobile", f"number,mobile\n74951234567,{A}\n", reason="'number', 'mobile'"),
    Case(
        "a contract number", f"Номер;Дата;Сумма;Моб. телефон\n74951234567;x;y;{A}\n", reason="'Моб. телефон'"
    ),
    Case("a landline", f"Phone,Mobile\n74951234567,{A}\n", reason="'Phone', 'Mobile'"),
    Case(
        "--column",
        f"Phone,Mobile\n74951234567,{A}\n",
        {A: "Hi"},
        options=("--text", "Hi", "--column", "mobile"),
    ),
    *(
        Case(f"the heading {heading}", f"Name,{heading}\nAnna,{A}\n", {A: "Hi"})
        for heading in (
            "Phone Number",
            "Phone #",
            "Номер телефона",
            "Mobile Phone",
            "Phone 1 - Value",
            "ТЕЛЕФОН",
        )
    ),
    Case("a bare number alone", f"number\n{A}\n", {A: "Hi"}),
    Case("a bare number beside", f"number,name\n{A},Anna\n", reason="--column"),
    Case("a space before quotes", f'phone, text\n{A}, "Hello"\n', {A: "Hello"}, options=()),
    Case("short rows", f"phone,name,note\n{A}\n{B},Boris\n", {A: "Hi", B: "Hi"}),
    Case("a heading with a colon", f"phone: mobile\n{A}\n", {A: "Hi"}),
    Case(
        "a heading with &",
        f"phone;name & title;^a~\n{A};Anna;b\n",
        {A: "Anna"},
        options=("--text", "{name & title}"),
    ),
    Case("headings of digits", f"phone;2025;2026\n{A};a;b\n", {A: "b"}, options=("--text", "{2026}")),
    Case("sep=", f"sep=;\nphone;name\n{A};Anna\n", {A: "Dear Anna"}, options=NAMED),
    Case("#TYPE", f'#TYPE System.Object\n"phone","name"\n"{A}","Anna"\n', {A: "Dear Anna"}, options=NAMED),
    Case("a title", f"Список клиентов\n\nТелефон;Имя\n{A};Анна\n", {A: "Hi"}, "the lines above are left out"),
    Case("an empty line of delimiters", f",,\nphone,name,\n{A},Anna,\n", {A: "Dear Anna"}, options=NAMED),
    Case("CR alone", f"phone;name\r{A};Anna\r{B};Boris\r", {A: "Dear Anna", B: "Dear Boris"}, options=NAMED),
    Case("a double BOM", f"\ufeff\ufeffphone;name\n{A};Anna\n", {A: "Dear Anna"}, options=NAMED),
    Case(
        "a JSON array",
        json.dumps([{"phone": A, "name": "Anna"}]),
        {A: "Dear Anna"},
        options=NAMED,
        suffix=".json",
    ),
    Case(
        "; against ,",
        f"phone;name,first\n{A};Smith,Anna\n",
        {A: "Hi"},
        options=("--text", "Hi", "--delimiter", ";"),
    ),
    *(
        Case(
            f"the encoding {name}",
            f"phone;имя\n{A};Екатерина Михайловна\n".encode(name),
            {A: "Dear Екатерина Михайловна"},
            f"encoding: {name}",
            ("--text", "Dear {имя}"),
        )
        for name in ("cp1251", "cp866", "koi8-r", "utf-16-le", "utf-16-be")
    ),
    Case(
        "cp1252",
        f"phone;name\n{A};José Muñoz Peña\n{B};Zoë Gonçalves\n".encode("cp1252"),
        {A: "Dear José Muñoz Peña", B: "Dear Zoë Gonçalves"},
        "encoding: cp1252",
        NAMED,
    ),
    Case(
        "--encoding",
        f"phone;name\n{A};Ж\n".encode("cp1251"),
        {A: "Dear Ж"},
        options=(*NAMED, "--encoding", "cp1251"),
    ),
    Case("an uncertain encoding", f"phone;name\n{A};Й\n".encode("cp866"), reason="pass --encoding"),
    Case(
        "UTF-16 with a BOM",
        f"phone;имя\n{A};Анна\n".encode("utf-16"),
        {A: "Dear Анна"},
        options=("--text", "Dear {имя}"),
    ),
    Case(
        "xlsx",
        workbook(["phone", "name"], [79031234561.0, "Anna"]),
        {A: "Dear Anna"},
        options=NAMED,
        suffix=".xlsx",
    ),
    Case("xlsx, the first sheet", workbook(["phone"], [A], sheets=["one", "two"]), {A: "Hi"}, suffix=".xlsx"),
    Case(
        "xlsx, --sheet",
        workbook(["phone"], [A], sheets=["one", "two"], at=1),
        {A: "Hi"},
        options=("--text", "Hi", "--sheet", "two"),
        suffix=".xlsx",
    ),
    Case(
        "xlsx, an unknown sheet",
        workbook(["phone"], [A]),
        reason="'Sheet1'",
        options=("--text", "Hi", "--sheet", "two"),
        suffix=".xlsx",
    ),
]
VALUES = [
    Case("an empty name", f"phone;name\n{A};\n{B};Boris\n", {B: "Dear Boris"}, "name: an empty value", NAMED),
    Case("a default", f"phone;name\n{A};\n", {A: "Dear client"}, options=("--text", "Dear {name|client}")),
    Case("a text of spaces", f"phone;text\n{A};\u00a0 \n", reason="an empty text", options=()),
    Case("a no-break space", f"phone;name\n{A};\u00a0Anna\u00a0\n", {A: "Dear Anna"}, options=NAMED),
    Case(
        "a heading with marks",
        f"phone;Сумма, руб.\n{A};12,50\n",
        {A: "12,50"},
        options=("--text", "{Сумма, руб.}"),
    ),
    Case("a heading of a digit", f"phone;1\n{A};one\n", {A: "one"}, options=("--text", "{1}")),
    Case("a wrong send date", f"phone;send_date\n{A};soon\n", reason="send_date: "),
    Case("a wrong validity", f"phone;validity\n{A};soon\n", reason="validity: "),
    Case(
        "a past date",
        f"phone\n{A}\n",
        reason="--send-date",
        options=("--text", "Hi", "--send-date", "2011-01-28T16:00:00+03:00"),
    ),
]
CASES = NUMBERS + FILES + VALUES


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_the_gateway_receives(cli: Cli, gateway: Sandbox, tmp_path: Path, case: Case) -> None:
    """Exactly the certain rows of the file are sent, and the reason for all others names what is wrong."""
    content = case.content.encode() if isinstance(case.content, str) else case.content
    path = tmp_path / f"recipients{case.suffix}"
    path.write_bytes(content)
    outcome = cli("batch", str(path), *case.options, "--json")
    assert {m.destination_address: m.text for m in gateway.account.messages} == case.sent
    assert len(gateway.account.messages) == len(case.sent)
    document = outcome.document if outcome.out else {}
    words = outcome.err + json.dumps(document, ensure_ascii=False)
    assert case.reason in words
    is_complete = not case.reason or case.reason in " ".join(document.get("notes", []))
    assert (outcome.code == ExitCode.DONE) is (bool(case.sent) and is_complete)
    if not case.sent:
        # No reason shows a number. The example in a hint is no number of the file.
        assert not re.search(r"\d{7}", words.replace(EXAMPLE, "").replace(str(path), ""))
