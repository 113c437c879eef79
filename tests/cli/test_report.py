"""Tests of `batch --report` and `ledger report --rows`: the rows of a table with their outcomes."""

import csv
import io
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from smsapi_async.cli import workbook_output
from smsapi_async.cli.batch import report
from smsapi_async.cli.batch.report_rows import ADDED, added_columns
from smsapi_async.cli.csv_output import original, write_csv
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.track_run import track_open_ledger
from smsapi_async.cli.workbook_output import WorkbookOutput
from smsapi_async.ledger import Ledger, RequestAnswer
from smsapi_async.models import Message
from smsapi_async.sandbox import Sandbox
from smsapi_async.settings import RetryPolicy
from tests.cli.conftest import Cli
from tests.cli.test_batch_process import interrupted
from tests.cli.test_process import PROGRAM, started
from tests.cli.test_track import Dense

# A table as people have it: own columns, odd values, a bad row, a refused number, a number that fails.
OWN = ["Имя", "Phone", "Сумма, руб.", "key", "Код"]
ROWS = [
    ["=Анна", "79031230001", "12,50", "a1", "0012"],
    ["Иван\n Петров", "+7 (903) 123-09-46", "100", "a2", "12345678901234567890"],
    ['Мария "М"', "12", "-5", "a3", "1/2"],
    ["@x", "79031230806", "1;2", "a4", "1E5"],
    ["Ян", "8 903 123 00 02", "", "", ""],
]
TEXT = ["--text", "Hi {Имя}"]
OUTCOMES = ["accepted", "accepted", "bad row", "rejected", "accepted"]


def own_table(folder: Path, rows: Sequence[Sequence[str]] = ROWS, name: str = "rows.csv") -> str:
    """Write a table with a semicolon between the values, and return its path."""
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([OWN, *rows])
    return str(path)


def numbered(folder: Path, count: int) -> str:
    """Write a table with `count` rows and seven different names, and return its path."""
    path = folder / "numbered.csv"
    lines = [f"{79031230000 + place},n{place % 7},x{place}" for place in range(count)]
    path.write_text("\n".join(["phone,name,note", *lines]) + "\n", "utf-8")
    return str(path)


def read(path: Path) -> list[list[str]]:
    """Return the header and the rows of a CSV report. A value is as it was before it was written."""
    content = path.read_bytes().decode("utf-8-sig")
    delimiter = ";" if content.split("\n")[0].count(";") else ","
    return [list(map(original, row)) for row in csv.reader(io.StringIO(content, ""), delimiter=delimiter)]


def column(rows: list[list[str]], name: str) -> list[str]:
    """Return the values of a column."""
    return [row[rows[0].index(name)] for row in rows[1:]]


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> list[str]:
    """Return a batch with a ledger. The table has the rows `ROWS`."""
    return ["batch", own_table(tmp_path), *TEXT, "--ledger", str(tmp_path / "run.db")]


@pytest.fixture
def tracked(
    cli: Cli, command: list[str], gateway: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[str]:
    """Send the rows `ROWS` and follow them to their final states. Return the command of the batch."""
    monkeypatch.setattr("smsapi_async.client.Schedule", Dense)
    assert cli(*command).code == ExitCode.REJECTED
    gateway.advance(hours=1)
    cli("track", str(tmp_path / "run.db"))
    return command


@pytest.mark.parametrize("options", [[], ["--ledger", "run.db"]], ids=["no ledger", "a ledger"])
@pytest.mark.usefixtures("environment")
def test_the_columns_and_the_order_of_the_table(
    cli: Cli, gateway: Sandbox, tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report begins with the table's own columns in its order, whatever the order of the requests was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "ROWS_AT_ONCE", 3)
    gateway.balance = "1000"
    path = numbered(tmp_path, 100)
    more = ["--recipients-per-request", "2", "--concurrency", "10", "--report", "out.csv"]
    assert cli("batch", path, "--text", "Hi {name}", *options, *more).code == 0
    rows = read(tmp_path / "out.csv")
    assert b"\r" not in (tmp_path / "out.csv").read_bytes()
    assert rows[0] == ["phone", "name", "note", *ADDED]
    assert [",".join(row[:3]) for row in rows] == Path(path).read_text("utf-8").splitlines()
    assert column(rows, "line") == [str(line) for line in range(2, 102)]
    assert set(column(rows, "outcome")) == {"accepted"}
    times = [datetime.fromisoformat(each) for each in column(rows, "accepted_at")]
    assert all(each.utcoffset() is not None for each in times)
    assert all(column(rows, "sent_at")) == bool(options)
    assert sorted(tmp_path.glob("*.tmp")) == []


def test_a_report_has_all_that_the_ledger_knows(
    cli: Cli, tracked: list[str], gateway: Sandbox, tmp_path: Path
) -> None:
    """A later run that sends nothing writes delivery, time, reason and price of each row from the ledger."""
    out = tmp_path / "out.csv"
    messages = len(gateway.account.messages)
    assert cli(*tracked, "--report", str(out)).code == ExitCode.REJECTED
    assert len(gateway.account.messages) == messages
    rows = read(out)
    assert [row[:5] for row in rows] == [OWN, *ROWS]
    assert rows[0][5:8] == ["line", "number", "report_key"]
    assert column(rows, "outcome") == OUTCOMES
    assert column(rows, "number") == ["79031230001", "79031230946", "", "79031230806", "79031230002"]
    assert column(rows, "report_key")[:4] == ["a1", "a2", "", "a4"]
    assert column(rows, "report_key")[4].startswith("sha256:")
    assert column(rows, "delivery") == ["delivered", "failed", "", "", "delivered"]
    assert column(rows, "price")[:3] == ["1.50", "1.50", ""]
    why = column(rows, "why")
    assert (why[0], why[1]) == ("", "expired: validity ran out")
    assert why[2].startswith("Phone: ")
    assert column(rows, "code") == ["", "", "", "6", ""]
    for moment in ("sent_at", "accepted_at", "delivered_at"):
        is_there = column(rows, moment)[0]
        assert datetime.fromisoformat(is_there).utcoffset() is not None
    [message] = gateway.account.sent_to("79031230001")
    assert column(rows, "segment_ids")[0] == message.segment_ids[0]
    assert "Hi " not in out.read_text("utf-8")


@pytest.mark.parametrize("options", [[], ["--excel"], ["--redact"]], ids=" ".join)
def test_ledger_report_writes_the_same_report_later(
    cli: Cli, tracked: list[str], tmp_path: Path, options: list[str]
) -> None:
    """`ledger report --rows` writes what `batch --report` writes: to a file, and to standard output."""
    first, later = tmp_path / "first.csv", tmp_path / "later.csv"
    ledger = str(tmp_path / "run.db")
    if options != ["--redact"]:
        cli(*tracked, "--report", str(first), *options)
    rows = ["ledger", "report", ledger, "--rows", tracked[1], *TEXT, *options]
    assert cli(*rows, "--output", str(later)).out == ""
    assert later.read_bytes().decode() == cli(*rows).out
    if options != ["--redact"]:
        assert later.read_bytes() == first.read_bytes()
    else:
        assert read(later)[0] == list(ADDED)
        assert column(read(later), "number")[0] == "***01"
        assert "Анна" not in later.read_text("utf-8")


@pytest.mark.usefixtures("environment")
def test_wait_completes_the_report(
    cli: Cli, gateway: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--wait`, the report has the final deliveries; a workbook is there before the wait begins."""
    monkeypatch.setattr("smsapi_async.client.Schedule", Dense)
    out, seen = tmp_path / "out.xlsx", []

    async def track(*arguments: Any) -> Any:
        seen.append(CalamineWorkbook.from_path(str(out)).get_sheet_by_index(0).to_python())
        gateway.advance(hours=1)
        return await track_open_ledger(*arguments)

    monkeypatch.setattr("smsapi_async.cli.batch.batch_run.track_open_ledger", track)
    path = numbered(tmp_path, 3)
    ledger = ["--ledger", str(tmp_path / "run.db"), "--wait", "--report", str(out)]
    assert cli("batch", path, "--text", "Hi {name}", *ledger).code == 0
    rows = CalamineWorkbook.from_path(str(out)).get_sheet_by_index(0).to_python()
    place = rows[0].index("delivery")
    assert [row[place] for row in seen[0][1:]] == ["", "", ""]
    assert [row[place] for row in rows[1:]] == ["delivered"] * 3


@pytest.mark.parametrize("content", ["csv", "json"])
@pytest.mark.usefixtures("environment")
def test_a_pipe(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """The report of a pipe also has the own columns and what the ledger knows.

    JSON rows can have columns that the first row lacks, and many rows on one line.
    """
    table = {
        "csv": "phone,note\n79031230001,a\n12,b\n79031230002,c\n",
        "json": json.dumps(
            [
                {"phone": "79031230001", "note": "a"},
                {"phone": "12", "note": "b", "extra": "y"},
                {"phone": "79031230002", "more": "z", "note": "c"},
            ]
        ),
    }
    for ledger in ([], ["--ledger", str(tmp_path / "run.db")]):
        reading, writing = os.pipe()
        os.write(writing, table[content].encode())
        os.close(writing)
        with open(reading, encoding="utf-8") as stream:
            monkeypatch.setattr("sys.stdin", stream)
            out = tmp_path / "out.csv"
            cli("batch", "-", "--text", "Hi", "--report", str(out), *ledger)
        rows = read(out)
        assert column(rows, "note") == ["a", "b", "c"]
        assert column(rows, "outcome") == ["accepted", "bad row", "accepted"]
        assert all(column(rows, "sent_at")[::2]) == bool(ledger)
        if content == "json":
            assert rows[0][:4] == ["phone", "note", "extra", "more"]
            assert [row[2:4] for row in rows[1:]] == [["", ""], ["y", ""], ["", "z"]]


@pytest.mark.usefixtures("environment")
def test_columns_with_one_name_are_not_lost(cli: Cli, tmp_path: Path) -> None:
    """Columns with the same name each keep their values, and so do values beyond the last column."""
    path = tmp_path / "rows.csv"
    path.write_text("note,phone,note\na,79031230001,b\nc,12,d,,e\n", "utf-8")
    out = tmp_path / "out.csv"
    cli("batch", str(path), "--text", "Hi", "--column", "phone", "--report", str(out))
    assert [row[:5] for row in read(out)] == [
        ["note", "phone", "note", "(column 4)", "(column 5)"],
        ["a", "79031230001", "b", "", ""],
        ["c", "12", "d", "", "e"],
    ]


def test_excel(cli: Cli, tracked: list[str], tmp_path: Path) -> None:
    """With `--excel`, Excel opens the report with columns, letters, and all digits of numbers and ids."""
    out = tmp_path / "out.csv"
    cli(*tracked, "--report", str(out), "--excel")
    content = out.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == len(ROWS) + 1
    raw = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), ""), delimiter=";"))
    assert [row[:5] for row in read(out)] == [OWN, *ROWS]
    assert raw[1][:5] == ["'=Анна", '="79031230001"', "12,50", "a1", '="0012"']
    assert raw[2][4] == '="12345678901234567890"'
    assert [raw[3][4], raw[4][4]] == ['="1/2"', '="1E5"']
    names = raw[0]
    assert raw[1][names.index("number")] == '="79031230001"'
    assert raw[1][names.index("segment_ids")].startswith('="')
    assert raw[1][names.index("price")] == "1,50"
    assert raw[1][names.index("line")] == "2"


def test_a_workbook(cli: Cli, tracked: list[str], tmp_path: Path) -> None:
    """A workbook has texts as texts with all digits, and prices and lines as numbers."""
    out = tmp_path / "out.XLSX"
    cli(*tracked, "--report", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = CalamineWorkbook.from_path(str(out)).get_sheet_by_index(0).to_python()
    assert [row[:5] for row in rows] == [OWN, *ROWS]
    named = dict(zip(rows[0], rows[1], strict=True))
    assert (named["line"], named["number"], named["price"]) == (2, "79031230001", 1.5)
    assert isinstance(named["segment_ids"], str)
    assert sorted(each.name for each in tmp_path.iterdir() if "out" in each.name) == ["out.XLSX"]


def test_a_workbook_with_odd_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Formulas, tags and control characters are stored as texts; after a full sheet, another one begins."""
    monkeypatch.setattr(workbook_output, "_MOST_ROWS", 4)
    values = ["=1+1", "<r><t>x</t></r>", "a\x01b", "\ud800", " x ", "http://x.y", "1e5"]
    with (tmp_path / "x.xlsx").open("wb") as file:
        made = WorkbookOutput(file, ["v"])
        made.write([[each] for each in values])
        made.finish()
    book = CalamineWorkbook.from_path(str(tmp_path / "x.xlsx"))
    sheets = [book.get_sheet_by_index(place).to_python() for place in range(len(book.sheet_names))]
    assert [sheet[0] for sheet in sheets] == [["v"]] * 3
    found = [row[0] for sheet in sheets for row in sheet[1:]]
    assert found[0] == "=1+1"
    assert str(found[1]).strip() == "<r><t>x</t></r>"
    assert (found[3], found[5], found[6]) == ("\\ud800", "http://x.y", "1e5")


REFUSED = [
    "rows.csv",
    "stop.csv",
    "text.txt",
    "run.db",
    "run.db-wal",
    "run.db-shm",
    "run.db-lock",
    "link.xlsx",
]


@pytest.mark.parametrize("name", REFUSED)
def test_no_report_over_an_input(cli: Cli, command: list[str], tmp_path: Path, name: str) -> None:
    """A report never overwrites the table, the text, the stop list, or a file of the ledger."""
    (tmp_path / "stop.csv").write_text("phone\n79031230009\n", "utf-8")
    (tmp_path / "text.txt").write_text("Hi", "utf-8")
    ledger = str(tmp_path / "run.db")
    options = ["--text-file", str(tmp_path / "text.txt"), "--exclude", str(tmp_path / "stop.csv")]
    batch = [*command[:2], *options, "--ledger", ledger]
    cli(*batch)
    (tmp_path / "link.xlsx").symlink_to(ledger)
    out = str(tmp_path / name)
    before = {each: (tmp_path / each).read_bytes() for each in REFUSED[:3]}
    commands = [
        [*batch, "--report", out],
        ["ledger", "report", ledger, "--rows", *batch[1:6], "--output", out],
    ]
    if name.startswith(("run.db", "link")):
        commands += [["ledger", each, ledger, "--output", out] for each in ("report", "unknown", "rejected")]
    for each in commands:
        outcome = cli(*each)
        assert (outcome.code, "a file that the command does not read" in outcome.err) == (2, True), each
    assert {each: (tmp_path / each).read_bytes() for each in before} == before
    assert cli("ledger", "summary", ledger, "--json").document["rejected"] == 1


@pytest.mark.usefixtures("environment")
def test_an_interrupted_run_has_each_row_once(gateway: Sandbox, tmp_path: Path) -> None:
    """After Ctrl-C, the report has each row that was read exactly once, in the order of the table."""
    out = tmp_path / "out.csv"
    path = Path(numbered(tmp_path, 60))
    path.write_text(path.read_text("utf-8").replace("79031230007", "12"), "utf-8")
    options = ["--text", "Hi {name}", "--recipients-per-request", "3", "--concurrency", "2"]
    with gateway.hold("Sms/SendBulk") as gate:
        process = started("batch", str(path), *options, "--report", str(out))
        anyio.run(gate.arrived, 2)
        interrupted(process)
    process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    rows = read(out)
    assert column(rows, "line") == [str(line) for line in range(2, 62)]
    outcomes = column(rows, "outcome")
    assert (outcomes.count("accepted"), outcomes.count("bad row")) == (6, 1)
    assert outcomes.count("pending") == 53


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
def test_a_killed_run_has_the_first_rows(gateway: Sandbox, tmp_path: Path, name: str) -> None:
    """After SIGKILL, a CSV report has the rows up to the first without an outcome; a workbook is missing."""
    out = tmp_path / name
    out.write_text("the report of an earlier run", "utf-8")
    path = tmp_path / "rows.csv"
    path.write_text("phone\n" + "12\n" * 700 + "79031230001\n" + "12\n" * 700, "utf-8")
    with gateway.hold("Sms/Send") as gate:
        process = started("batch", str(path), "--text", "Hi", "--report", str(out))
        anyio.run(gate.arrived, 1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    if name == "out.xlsx":
        assert not out.exists()
        return
    rows = read(out)
    assert column(rows, "line") == [str(line) for line in range(2, len(rows) + 1)]
    assert 500 <= len(rows) - 1 <= 700


def test_a_changed_row_is_not_the_row_that_was_sent(cli: Cli, tracked: list[str], tmp_path: Path) -> None:
    """If a text was changed, its row is not reported as sent: neither by its key nor without a key."""
    rows = ["ledger", "report", str(tmp_path / "run.db"), "--rows", tracked[1], "--text", "Changed {Имя}"]
    outcome = cli(*rows)
    assert "1 of 4 messages of the table are not in the ledger" in outcome.err
    found = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [row["outcome"] for row in found] == ["rejected", "rejected", "bad row", "rejected", "pending"]
    assert all("a different message with the same key" in found[place]["why"] for place in (0, 1, 3))
    assert found[4]["why"] == "the ledger does not have this message"
    assert not any(row["delivery"] + row["sent_at"] + row["accepted_at"] for row in found)


def test_an_interrupted_change_is_not_reported_as_sent(
    cli: Cli, tracked: list[str], gateway: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pending row with the key of another text that was sent stays unsent in the report of the batch."""
    monkeypatch.setenv("SMSAPI_BASE_URL", "http://127.0.0.1:1/rest")
    monkeypatch.setattr("smsapi_async.client.RetryPolicy", lambda: RetryPolicy(attempts=1))
    out = tmp_path / "out.csv"
    changed = [*tracked[:3], "Changed {Имя}", *tracked[4:], "--again", "--report", str(out)]
    cli(*changed)
    rows = read(out)
    assert not any(column(rows, "delivery") + column(rows, "accepted_at"))
    assert "accepted" not in column(rows, "outcome")


@pytest.mark.usefixtures("environment")
def test_an_excluded_number_that_was_sent_before(cli: Cli, tmp_path: Path) -> None:
    """A stop list that grew after the sending does not hide what was sent."""
    stop, ledger = tmp_path / "stop.csv", str(tmp_path / "run.db")
    stop.write_text("phone\n79031230001\n", "utf-8")
    path = numbered(tmp_path, 3)
    options = ["--text", "Hi", "--exclude", str(stop)]
    cli("batch", path, *options, "--ledger", ledger)
    stop.write_text("phone\n79031230001\n79031230002\n", "utf-8")
    found = list(csv.DictReader(io.StringIO(cli("ledger", "report", ledger, "--rows", path, *options).out)))
    assert [row["outcome"] for row in found] == ["accepted", "excluded", "accepted"]
    assert found[1]["why"] == "the number is in a table of --exclude"
    assert found[2]["segment_ids"]
    out = tmp_path / "out.csv"
    cli("batch", path, *options, "--ledger", ledger, "--report", str(out))
    rows = read(out)
    assert column(rows, "outcome") == ["accepted", "excluded", "accepted"]
    assert column(rows, "segment_ids")[2] == found[2]["segment_ids"]


@pytest.mark.usefixtures("environment")
def test_a_repeated_row(cli: Cli, tmp_path: Path) -> None:
    """A row that repeats an earlier row is a duplicate in the report, and has its own columns."""
    path, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("phone,note\n79031230001,a\n+7 903 123 00 01,b\n", "utf-8")
    cli("batch", str(path), "--text", "Hi", "--report", str(out))
    rows = read(out)
    assert column(rows, "outcome") == ["accepted", "duplicate"]
    assert column(rows, "note") == ["a", "b"]
    assert column(rows, "why")[1] == "an earlier row has the same number and text"


@pytest.mark.usefixtures("environment")
def test_dates_that_have_passed(cli: Cli, tmp_path: Path) -> None:
    """`ledger report --rows` finds messages whose send date has passed since the sending."""
    ledger, path = str(tmp_path / "run.db"), tmp_path / "rows.csv"
    path.write_text("phone,send_date\n79031230001,2025-01-01T10:00:00+03:00\n", "utf-8")
    found = cli("ledger", "report", _sent_long_ago(cli, ledger), "--rows", str(path), "--text", "Hi")
    (row,) = csv.DictReader(io.StringIO(found.out))
    assert (row["outcome"], row["send_date"]) == ("accepted", "2025-01-01T10:00:00+03:00")


def _sent_long_ago(cli: Cli, ledger: str) -> str:
    """Fill a ledger with a message whose send date has passed, and return its path."""
    date = datetime.fromisoformat("2025-01-01T10:00:00+03:00")
    message = Message("79031230001", "Hi", source_address="ACME", send_date=date)

    async def fill() -> None:
        async with Ledger.sqlite(ledger) as opened:
            await opened.claim("a", [(opened.key_of(message), message)])
            await opened.settle("a", RequestAnswer(state="accepted", at=date, segment_ids=("1",)))

    anyio.run(fill)
    return ledger


@pytest.mark.usefixtures("environment")
def test_json(cli: Cli, tracked: list[str], tmp_path: Path) -> None:
    """`ledger report --json` prints the messages, or the rows; with `--output`, it prints the counts."""
    ledger = str(tmp_path / "run.db")
    messages = cli("ledger", "report", ledger, "--json").document["messages"]
    assert [each["state"] for each in messages] == ["accepted", "accepted", "rejected", "accepted"]
    assert messages[1]["delivery"] == "failed"
    rows = ["ledger", "report", ledger, "--rows", tracked[1], *TEXT, "--json"]
    documents = cli(*rows).document["rows"]
    assert [list(each["values"].values()) for each in documents] == ROWS
    assert [each["outcome"] for each in documents] == OUTCOMES
    assert documents[0]["price"] == "1.50"
    counts = cli(*rows, "--output", str(tmp_path / "out.csv")).document
    assert counts == {"written": 5, "messages": 4, "not_found": 0}


@pytest.mark.parametrize("form", ["out.csv", "out.xlsx"])
def test_the_report_of_the_ledger_itself(cli: Cli, tracked: list[str], tmp_path: Path, form: str) -> None:
    """Without `--rows`, `ledger report` writes the messages of the ledger, also as a workbook."""
    out = tmp_path / form
    assert cli("ledger", "report", str(tmp_path / "run.db"), "--output", str(out)).out == ""
    rows: list[list[Any]]
    if form == "out.xlsx":
        rows = CalamineWorkbook.from_path(str(out)).get_sheet_by_index(0).to_python()
    else:
        rows = [list(row) for row in read(out)]
    assert [row[:4] for row in rows[:3]] == [
        ["key", "destination_address", "state", "delivery"],
        ["a1", "79031230001", "accepted", "delivered"],
        ["a2", "79031230946", "accepted", "failed"],
    ]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("options", [[], ["--ledger", "LEDGER"]], ids=["no ledger", "a ledger"])
def test_a_report_into_a_pipe(tmp_path: Path, options: list[str]) -> None:
    """A report can go into a pipe, and then has a header and each row once."""
    ledger = [str(tmp_path / "run.db") if each == "LEDGER" else each for each in options]
    path = numbered(tmp_path, 3)
    process = started("batch", path, "--text", "Hi", *ledger, "--json", "--report", "/dev/stderr")
    _, err = process.communicate()
    rows = list(csv.reader(io.StringIO(err[err.index("phone,") :])))
    assert [row[0] for row in rows[:4]] == ["phone", "79031230000", "79031230001", "79031230002"]


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_directory_that_cannot_be_written(
    cli: Cli, command: list[str], tmp_path: Path, is_readable: bool
) -> None:
    """In a closed directory, a report that exists can be written, and a new one is refused."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root can write everywhere")
    folder = tmp_path / "closed"
    folder.mkdir()
    out = folder / "out.csv"
    if is_readable:
        out.write_text("old", "utf-8")
    folder.chmod(0o555)
    # Without capabilities, the permissions of files apply to root, too. Another user may be unable to
    # read the interpreter.
    prefix = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    argv = [
        *prefix,
        *PROGRAM,
        "batch",
        numbered(tmp_path, 2),
        "--text",
        "Hi",
        "--ledger",
        str(tmp_path / "r.db"),
    ]
    process = subprocess.run(
        [*argv, "--report", str(out)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    folder.chmod(0o755)
    if is_readable:
        assert process.returncode == 0, process.stderr
        assert column(read(out), "outcome") == ["accepted", "accepted"]
    else:
        assert (process.returncode, "--report" in process.stderr) == (ExitCode.BAD_INPUT, True)


@given(st.lists(st.sampled_from([*ADDED, *map(str.upper, ADDED), "report_key", " Line ", "x"]), max_size=20))
def test_an_added_column_has_a_name_of_its_own(own: list[str]) -> None:
    """An added column never has the name of a column of the table, and the name shows what it is."""
    names = added_columns(own)
    assert len(set(names)) == len(ADDED)
    assert not {name.strip().casefold() for name in own} & set(names)
    assert [name.replace("report_", "") for name in names] == list(ADDED)


# Values with the marks of formulas and of `--excel`, so that they meet often.
VALUES = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    st.sampled_from("'=\"+-@1 a\t;,E."), max_size=9
)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), max_size=5), st.booleans())
def test_each_value_can_be_read_back(rows: list[list[str]], excel: bool) -> None:
    """No value of a table is lost in a CSV file, and no cell begins like a formula that does something."""
    file = io.StringIO(newline="")
    write_csv(file, rows, excel=excel)
    cells = list(csv.reader(io.StringIO(file.getvalue(), ""), delimiter=";" if excel else ","))
    assert [list(map(original, row)) for row in cells] == rows
    for cell in (cell for row in cells for cell in row):
        if cell.startswith('="'):
            assert excel
            assert '"' not in cell[2:-1]
        elif cell.startswith(("=", "+", "-", "@")):
            assert not any(mark.isalpha() or mark in "=!|'\"@" for mark in cell)
