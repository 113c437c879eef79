"""Tests of whole files in the formats of real programs, from the bytes of the file to the sandbox.

The headings and the dialects are those of the programs; names, numbers and sums are made up.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.spreadsheet_files import ods_of, xlsx, xlsx_of
from tests.cli.xls_file import XLS


@attrs.frozen(kw_only=True)
class RealFile:
    """A file as a program writes it, and what becomes of it.

    Attributes:
        name: the name of the file.
        content: the bytes of the file.
        text: the template of the texts.
        options: the options of `batch`.
        received: the numbers and texts that the account has received.
        bad: the lines of the bad rows with their reasons.
        without: a part of the error without `options`, or None if the text alone is enough.
    """

    name: str
    content: bytes = attrs.field(repr=False)
    text: str = "{Имя}"
    options: Sequence[str] = ()
    received: dict[str, str]
    bad: dict[int, str] = attrs.field(factory=dict)
    without: str | None = None


def csv_of(rows: Sequence[Sequence[str]], end: str = "\r\n", **dialect: Any) -> str:
    """Return rows as CSV."""
    target = io.StringIO()
    csv.writer(target, lineterminator=end, **dialect).writerows(rows)
    return target.getvalue()


def _headings(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


GOOGLE = _headings("""
    First Name, Middle Name, Last Name, Phonetic First Name, Phonetic Middle Name,
    Phonetic Last Name, Name Prefix, Name Suffix, Nickname, File As, Organization Name,
    Organization Title, Organization Department, Birthday, Notes, Photo, Labels,
    E-mail 1 - Label, E-mail 1 - Value, Phone 1 - Label, Phone 1 - Value, Phone 2 - Label,
    Phone 2 - Value, Address 1 - Label, Address 1 - Formatted, Website 1 - Label,
    Website 1 - Value
""")
OUTLOOK = _headings("""
    First Name, Middle Name, Last Name, Title, Suffix, Nickname, Given Yomi, Surname Yomi,
    E-mail Address, E-mail 2 Address, E-mail 3 Address, Home Phone, Home Phone 2,
    Business Phone, Business Phone 2, Mobile Phone, Car Phone, Other Phone, Primary Phone,
    Pager, Business Fax, Home Fax, Other Fax, Company Main Phone, Callback, Radio Phone, Telex,
    TTY/TDD Phone, IMAddress, Job Title, Department, Company, Office Location, Manager's Name,
    Assistant's Name, Assistant's Phone, Company Yomi, Business Street, Business City,
    Business State, Business Postal Code, Business Country/Region, Home Street, Home City,
    Home State, Home Postal Code, Home Country/Region, Other Street, Other City, Other State,
    Other Postal Code, Other Country/Region, Personal Web Page, Spouse, Schools, Hobby,
    Location, Web Page, Birthday, Anniversary, Notes
""")


def _row(headings: Sequence[str], **values: str) -> list[str]:
    """Return a row with values by heading; the underscores of a name stand for spaces."""
    by_heading = {name.replace("_", " "): value for name, value in values.items()}
    return [by_heading.get(name, "") for name in headings]


def _google() -> bytes:
    rows = [
        GOOGLE,
        [*_row(GOOGLE, First_Name="Анна"), "", ""],
        _row(GOOGLE, First_Name="Пётр", Notes="два\nтелефона"),
    ]
    rows[1][20], rows[2][20], rows[2][22] = "+7 903 123-45-01", "+7 903 123-45-02", "+7 495 123-45-02"
    # The program leaves out the empty values at the end of the row.
    rows.append(["Вера", *[""] * 19, "+7 903 123-45-03"])
    return csv_of(rows, end="\n").encode()


def _outlook() -> bytes:
    rows = [
        OUTLOOK,
        _row(OUTLOOK, First_Name="José", Mobile_Phone="+7 (903) 123-45-01", Home_Phone="+7 495 1234501"),
        _row(OUTLOOK, First_Name="Hélène", Mobile_Phone="+7 (903) 123-45-02", Notes='a "short" note, two'),
        _row(OUTLOOK, First_Name="François", Mobile_Phone="+7 (903) 123-45-03")[:16],
    ]
    return csv_of(rows, quoting=csv.QUOTE_ALL).encode("cp1252")


BANK = """\
Реестр начислений за март 2026

№;ФИО;Лицевой счёт;Моб. телефон;Сумма, руб.;Дата
1;ИВАНОВ ИВАН ИВАНОВИЧ;40817810000000000001;+7 903 123-45-01;1 200,50;01.03.2026
2;ПЕТРОВА МАРИЯ СЕРГЕЕВНА;40817810000000000002;+7 903 123-45-02;340,00;01.03.2026
;;;;;
3;СИДОРОВ ОЛЕГ;40817810000000000003;+7 903 123-45-03;5,00;01.03.2026;лишнее
"""

ACCOUNTING = (
    "Номер\tДата\tКонтрагент\tТелефон\tСумма\n"
    "000000123\t01.03.2026\tООО «Ромашка»\t+7\u00a0903\u00a01234501\t1\u00a0200,00\n"
    "000000124\t01.03.2026\tИП Жукова\t+7\u00a0903\u00a01234502\t50,00\n"
)

MESSENGER = json.dumps(
    [
        {"id": 1, "first_name": "Анна", "phone_number": "+79031234501", "username": None},
        {"id": 2, "first_name": "Олег", "phone_number": 79031234502, "username": "oleg"},
        {"id": 3, "first_name": "Вера", "phone_number": ["+79031234503"]},
    ],
    ensure_ascii=False,
    indent=1,
)

POWERSHELL = (
    '#TYPE Selected.System.Management.Automation.PSCustomObject\r\n"mobile","DisplayName"\r\n'
    '"+79031234501","Anna"\r\n"+79031234502","Oleg"\r\n'
)


def _exponents() -> bytes:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet("Клиенты")
        scientific = book.add_format({"num_format": "0.00E+00"})
        day = book.add_format({"num_format": "dd.mm.yyyy"})
        sheet.merge_range("A1:C1", "Клиенты, март")
        sheet.write_row(2, 0, ["Телефон", "Имя", "Дата"])
        for index, name in enumerate(("Анна", "Олег"), 1):
            sheet.write_number(2 + index, 0, 79031234500 + index, scientific)
            sheet.write(2 + index, 1, name)
            sheet.write_number(2 + index, 2, 46082, day)
        sheet.write_number(5, 0, 79031234503)
        sheet.write_formula(5, 1, "=NA()", None, "#N/A")

    return xlsx(fill)


FILES = [
    RealFile(
        name="contacts.csv",
        text="{First Name}",
        content=_google(),
        options=["--column", "Phone 1 - Value"],
        received={"79031234501": "Анна", "79031234502": "Пётр", "79031234503": "Вера"},
        without="pass one of 'Phone 1 - Value', 'Phone 2 - Value'",
    ),
    RealFile(
        name="outlook.csv",
        text="{First Name}",
        content=_outlook(),
        options=["--column", "Mobile Phone"],
        received={"79031234501": "José", "79031234502": "Hélène", "79031234503": "François"},
        without="several columns may have the phone numbers",
    ),
    RealFile(
        name="bank.csv",
        text="{ФИО}: {Сумма, руб.}",
        content=BANK.replace("\n", "\r\n").encode("cp1251"),
        received={
            "79031234501": "ИВАНОВ ИВАН ИВАНОВИЧ: 1 200,50",
            "79031234502": "ПЕТРОВА МАРИЯ СЕРГЕЕВНА: 340,00",
        },
        bad={7: "the row has 7 fields, but the table has 6 columns"},
    ),
    RealFile(
        name="accounting.txt",
        text="{Контрагент}",
        content=ACCOUNTING.encode("utf-16"),
        options=["--column", "Телефон"],
        received={"79031234501": "ООО «Ромашка»", "79031234502": "ИП Жукова"},
        without="pass one of 'Номер', 'Телефон'",
    ),
    RealFile(
        name="messenger.json",
        text="{first_name}",
        content=MESSENGER.encode(),
        received={"79031234501": "Анна", "79031234502": "Олег"},
        bad={14: "the value in column 'phone_number' is neither a text nor a number"},
    ),
    RealFile(
        name="excel.csv",
        content="Имя;Телефон\r\nАнна Иванова;79031234501\r\nОлег Жуков;79031234502\r\n".encode("cp1251"),
        received={"79031234501": "Анна Иванова", "79031234502": "Олег Жуков"},
    ),
    RealFile(
        name="dos.csv",
        content="Имя;Телефон\r\nАнна;79031234501\r\n#Н/Д;79031234502\r\n".encode("cp866"),
        received={"79031234501": "Анна"},
        bad={3: "the value in column 'Имя' is the error #Н/Д of a spreadsheet"},
    ),
    RealFile(
        name="no-header.csv",
        text="{2}",
        content="+7\u00a0903\u00a0123\u00a045\u00a001;Анна\n+7\u00a0903\u00a0123\u00a045\u00a002;Олег\n".encode(),
        options=["--no-header", "--column", "1"],
        received={"79031234501": "Анна", "79031234502": "Олег"},
        without="pass --no-header",
    ),
    RealFile(
        name="exponents.xlsx",
        text="{Имя} {Дата}",
        content=_exponents(),
        received={"79031234501": "Анна 01.03.2026", "79031234502": "Олег 01.03.2026"},
        bad={6: "a cell of the row has an error, such as #N/A"},
    ),
    RealFile(
        name="old.xls",
        text="{Имя} {Дата|-}",
        content=XLS,
        received={"79031234567": "Анна 2026-03-01", "79031234568": "Пётр -"},
    ),
    RealFile(
        name="libre.ods",
        content=ods_of([["Телефон", "Имя"], [79031234501, "Анна"], [], ["+7 903 123-45-02", "Олег"]]),
        received={"79031234501": "Анна", "79031234502": "Олег"},
    ),
    RealFile(
        name="sheets.xlsx",
        content=xlsx_of([["Phone #", "Имя"], ["+7 903 1234501", "Анна"]], "Лист1"),
        options=["--sheet", "лист1"],
        received={"79031234501": "Анна"},
    ),
    RealFile(
        name="powershell.csv",
        text="{DisplayName}",
        content=POWERSHELL.encode("utf-8-sig"),
        received={"79031234501": "Anna", "79031234502": "Oleg"},
    ),
    RealFile(
        name="mac.csv",
        text="{name}",
        content="sep=;\rname;phone\rJosé Núñez;79031234501\rFrançois;79031234502".encode("mac-roman"),
        received={"79031234501": "José Núñez", "79031234502": "François"},
    ),
]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_real_file(cli: Cli, gateway: Sandbox, tmp_path: Path, file: RealFile) -> None:
    """The account receives exactly the messages of the good rows; each other row has its reason."""
    path = tmp_path / file.name
    path.write_bytes(file.content)
    outcome = cli("batch", str(path), "--text", file.text, *file.options, "--json")
    received = {message.destination_address: message.text for message in gateway.account.messages}
    assert received == file.received
    assert len(gateway.account.messages) == len(file.received)
    assert {row["line"]: row["reason"] for row in outcome.document["first_bad_rows"]} == file.bad
    assert outcome.document["rows"] == len(file.received) + len(file.bad)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("file", [file for file in FILES if file.without], ids=lambda file: file.name)
def test_a_real_file_that_is_not_certain(cli: Cli, gateway: Sandbox, tmp_path: Path, file: RealFile) -> None:
    """Without its options, the file is refused, nothing is sent, and the error shows no number."""
    path = tmp_path / file.name
    path.write_bytes(file.content)
    outcome = cli("batch", str(path), "--text", "Hello")
    assert outcome.code == ExitCode.BAD_INPUT
    assert file.without is not None
    assert file.without in outcome.err
    assert "903" not in outcome.err
    assert gateway.account.messages == []
