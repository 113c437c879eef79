"""Tests of the commands under `ledger`."""

import csv
import io
import json
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_batch import read_report
from tests.postgres.server import PASSWORD, shared_server, skip_without_server

KEYS = ("first", "second")


@pytest.fixture(params=["file", "postgres"])
def ledger(
    request: pytest.FixtureRequest,
    cli: Cli,
    environment: dict[str, str],
    gateway: Sandbox,
    tmp_path: Path,
) -> str:
    """Return the path or the URL of a ledger with one accepted, one rejected and two unknown messages."""
    rows = tmp_path / "rows.csv"
    path = str(tmp_path / "run.db") if request.param == "file" else new_database()
    gateway.answer_next("Sms/SendBulk", status=500, body=b'{"Code":9,"Desc":"Internal error"}', accept=True)
    rows.write_text("phone,key\n79031230001,first\n79031230002,second\n", "utf-8")
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", path).code == ExitCode.OUTCOME_UNKNOWN
    rows.write_text("phone,key\n79031230003,third\n79031230806,=fourth\n", "utf-8")
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", path).code == ExitCode.REJECTED
    return path


@pytest.fixture
def dead_ledger(environment: dict[str, str], gateway: Sandbox, tmp_path: Path) -> str:
    """Return the path of a ledger whose process was killed during a request with three messages."""
    return killed_batch(gateway, tmp_path)


def new_database() -> str:
    """Return the URL of a ledger in a new account of the PostgreSQL server of this process."""
    skip_without_server()
    return f"{shared_server().dsn()}&account={secrets.token_hex(8)}"


def killed_batch(gateway: Sandbox, folder: Path) -> str:
    """Kill the process of a batch during a request with three messages, and return the path of its ledger."""
    rows, path = folder / "dead.csv", str(folder / "dead.db")
    rows.write_text("phone\n79031230001\n79031230002\n79031230003\n", "utf-8")
    command = ["-m", "smsapi_async", "batch", str(rows), "--text", "Hi", "--ledger", path]
    with gateway.hold("Sms/SendBulk") as gate:
        process = subprocess.Popen([sys.executable, *command])
        anyio.run(gate.arrived)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    return path


def counts(cli: Cli, ledger: str) -> dict[str, int]:
    """Return the counts of `ledger summary --json`, without the counts that are zero."""
    return {
        state: count for state, count in cli("ledger", "summary", ledger, "--json").document.items() if count
    }


def test_summary(cli: Cli, ledger: str) -> None:
    """`ledger summary` prints the number of messages in each state, as JSON and as a table."""
    document = cli("ledger", "summary", ledger, "--json").document
    assert document == {"pending": 0, "sending": 0, "accepted": 1, "rejected": 1, "unknown": 2, "segments": 1}
    out = cli("ledger", "summary", ledger).out
    assert "unknown          2  may have been sent" in out
    assert "segments: 1" in out


def test_unknown(cli: Cli, ledger: str) -> None:
    """`ledger unknown` prints for each unknown message what the vendor needs to find the message."""
    document = cli("ledger", "unknown", ledger, "--json").document
    assert [(each["key"], each["destination_address"], each["code"]) for each in document["unknown"]] == [
        ("first", "79031230001", 9),
        ("second", "79031230002", 9),
    ]
    assert len({each["request"] for each in document["unknown"]}) == 1
    assert document["unknown"][0]["sent_at"].endswith("+00:00")
    lines = cli("ledger", "unknown", ledger).out.splitlines()
    assert (lines[0], lines[2]) == KEYS
    assert lines[1].startswith("    79031230001, 20")
    assert re.search(r" UTC, request \d+, code 9, ", lines[1])


def test_a_dead_run(cli: Cli, dead_ledger: str) -> None:
    """After the death of a batch, its messages in flight are unknown in all commands that read the ledger."""
    assert counts(cli, dead_ledger) == {"unknown": 3}
    unknown = cli("ledger", "unknown", dead_ledger, "--json").document["unknown"]
    assert [each["destination_address"][-1] for each in unknown] == ["1", "2", "3"]
    assert unknown[0]["reason"] == "the process ended before the outcome was recorded"
    assert cli("ledger", "report", dead_ledger).out.count(",unknown,") == 3
    tracked = cli("track", dead_ledger, "--json")
    assert (tracked.code, tracked.document["unknown_sends"]) == (ExitCode.OUTCOME_UNKNOWN, 3)
    assert "3 OUTCOME UNKNOWN (not followed); `smsapi-async ledger unknown` lists" in tracked.err
    assert "OUTCOME UNKNOWN, not followed         3" in cli("track", dead_ledger).out


def test_resolve_by_key(cli: Cli, ledger: str) -> None:
    """`ledger resolve --sent` makes an unknown message accepted; with `--not-sent`, it becomes pending."""
    options = ["--segment-id", "11", "--segment-id", "12", "--json"]
    sent = cli("ledger", "resolve", ledger, "first", "--sent", *options)
    assert sent.document == {"accepted": 1, "pending": 0, "left": 0}
    assert "the next run sends" in cli("ledger", "resolve", ledger, "second", "--not-sent").out
    assert counts(cli, ledger) == {"accepted": 2, "rejected": 1, "pending": 1, "segments": 3}
    assert cli("ledger", "unknown", ledger).out == "no message has an unknown outcome\n"
    assert cli("ledger", "unknown", ledger, "--json").document == {"unknown": []}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["first", "second", "--sent"], {"accepted": 3}),
        (["--all", "--sent"], {"accepted": 3}),
        (["--all", "--not-sent"], {"accepted": 1, "pending": 2}),
    ],
)
def test_resolve_many(cli: Cli, ledger: str, options: list[str], expected: dict[str, int]) -> None:
    """One command resolves several messages, or all."""
    assert cli("ledger", "resolve", ledger, *options).code == 0
    assert counts(cli, ledger) == {**expected, "rejected": 1, "segments": 1}


def test_resolve_from_a_file(cli: Cli, dead_ledger: str, tmp_path: Path) -> None:
    """`ledger report` gives the keys, and the same file with a column `sent` resolves the messages."""
    rows = list(csv.DictReader(io.StringIO(cli("ledger", "report", dead_ledger).out)))
    lines = ["state,Note,key,sent,segment_ids"]
    for row, sent, ids in zip(rows, ["YES", "0", "true"], ["11 12", "", ""], strict=True):
        lines.append(f"{row['state']},x,{row['key']},{sent},{ids}")
    path = tmp_path / "answers.csv"
    path.write_text("\n".join(lines), "utf-8")
    outcome = cli("ledger", "resolve", dead_ledger, "--from", str(path))
    assert outcome.out.splitlines() == [
        "recorded as accepted: 2; these messages are not sent again",
        "recorded as pending: 1; the next run sends these messages",
    ]
    assert counts(cli, dead_ledger) == {"accepted": 2, "pending": 1, "segments": 2}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["key;sent", "first;yes", "second;maybe"], "line 3, column sent "),
        (["key;sent", "first;yes", ";yes"], "line 3, column key "),
        (["key;sent", "first;yes", "79031230003;yes"], "line 3, column key "),
        (["key;sent", "first;yes", "first;yes"], "line 3, column key "),
        (["key;sent;segment_ids", "second;yes;1 2", "first;no;1"], "line 3, column segment_ids "),
        (["key;sent", "first;yes", "second;yes;more"], "line 3 "),
        (["key", "first"], "without the column sent"),
        (["sent", "yes"], "without the column key"),
        ([""], "an empty file"),
    ],
)
def test_a_wrong_row(cli: Cli, ledger: str, tmp_path: Path, rows: list[str], words: str) -> None:
    """If one row of a file is wrong, nothing is recorded. The error names line and column, and no key."""
    path = tmp_path / "answers.csv"
    path.write_text("\n".join(rows), "utf-8")
    outcome = cli("ledger", "resolve", ledger, "--from", str(path))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, "", 1)
    assert outcome.err.startswith("smsapi-async: --from: ")
    assert words in outcome.err
    assert not any(value in outcome.err for value in ("79031230003", "maybe"))
    assert counts(cli, ledger)["unknown"] == 2


ANSWERS = [
    ("yes", "no"),
    ("ДА", " Нет "),
    ("Sent", "not sent"),
    ("1", "0"),
    ("TRUE", "False"),
    ("not_sent", "Отправлено"),
]


def filled_in(path: Path, answers: list[str], form: str) -> Path:
    """Fill in the column `sent` of a file as a spreadsheet program does, and return the path of the new file.

    Args:
        path: the file that `ledger unknown --output` has written.
        answers: the values of the column `sent`, in the order of the rows.
        form: the form of the new file.
    """
    if path.suffix == ".xlsx":
        rows = [
            [str(cell) for cell in row]
            for row in CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()
        ]
    else:
        content = path.read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(content, ""), delimiter=";" if "--excel" in form else ","))
    place = rows[0].index("sent")
    for row, answer in zip(rows[1:], answers, strict=True):
        assert row[place] == ""
        row[place] = answer
    saved = path.with_name("settled.xlsx" if "workbook" in form else "settled.csv")
    if "workbook" in form:
        with xlsxwriter.Workbook(saved) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
        return saved
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows(rows)
    encoding = "cp1251" if "cp1251" in form else "utf-8-sig"
    saved.write_bytes(text.getvalue().encode(encoding))
    return saved


FORMS = {
    "csv": ["out.csv"],
    "csv, saved in cp1251": ["out.csv"],
    "--excel": ["out.csv", "--excel"],
    "csv, saved as a workbook": ["out.csv"],
    "xlsx, saved as csv": ["out.xlsx"],
    "xlsx, saved as a workbook": ["out.xlsx"],
}


@pytest.mark.parametrize("form", FORMS)
def test_unknown_messages_go_back_and_forth(cli: Cli, ledger: str, tmp_path: Path, form: str) -> None:
    """The file of `ledger unknown --output`, filled in and saved again, is the file of `resolve --from`.

    A row without a value in the column `sent` stays unknown.
    """
    name, *options = FORMS[form]
    out = tmp_path / name
    shown = cli("ledger", "unknown", ledger, "--output", str(out), *options)
    assert shown.code == 0
    assert "unknown messages in the file: 2" in shown.out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    for answers, expected in (
        (["", ""], {"accepted": 0, "pending": 0, "left": 2}),
        (["yes", ""], {"accepted": 1, "pending": 0, "left": 1}),
        (["Нет"], {"accepted": 0, "pending": 1, "left": 0}),
    ):
        cli("ledger", "unknown", ledger, "--output", str(out), *options)
        saved = filled_in(out, answers, form)
        assert cli("ledger", "resolve", ledger, "--from", str(saved), "--json").document == expected
    assert counts(cli, ledger) == {"accepted": 2, "rejected": 1, "pending": 1, "segments": 1}
    assert cli("ledger", "unknown", ledger, "--output", str(out), *options).code == 0


def test_the_file_of_unknown_messages(cli: Cli, ledger: str, tmp_path: Path) -> None:
    """The file has full numbers, keys, times, request, code, reason, and empty columns to fill in."""
    out = tmp_path / "out.csv"
    document = cli("ledger", "unknown", ledger, "--output", str(out), "--json").document
    assert document == {"output": str(out), "written": 2}
    first, second = read_report(out)
    assert list(first) == [
        *["number", "key", "sent_at", "request", "code", "reason", "request_segment_ids"],
        *["sent", "segment_ids"],
    ]
    assert [first["number"], second["number"]] == ["79031230001", "79031230002"]
    assert (first["key"], first["code"], first["sent"]) == ("first", "9", "")
    assert first["request"] == second["request"] != ""
    assert first["reason"]
    assert first["sent_at"].endswith("+00:00")


@pytest.mark.parametrize(("first", "second"), ANSWERS)
def test_answers_in_words(cli: Cli, ledger: str, tmp_path: Path, first: str, second: str) -> None:
    """The column `sent` may have English or Russian words, or digits; case does not matter."""
    path = tmp_path / "answers.csv"
    path.write_text(f"Key;Sent\nfirst;{first}\nsecond;{second}\n", "utf-8")
    outcome = cli("ledger", "resolve", ledger, "--from", str(path))
    assert outcome.code == 0, outcome.err
    assert counts(cli, ledger) == {"accepted": 2, "rejected": 1, "pending": 1, "segments": 1}


def test_rows_without_an_answer(cli: Cli, ledger: str, tmp_path: Path) -> None:
    """`ledger resolve --from` says how many rows have no value in the column `sent`."""
    path = tmp_path / "answers.csv"
    path.write_text("key;sent\nfirst;\nsecond;да\n", "utf-8")
    outcome = cli("ledger", "resolve", ledger, "--from", str(path))
    assert outcome.out.splitlines() == [
        "recorded as accepted: 1; these messages are not sent again",
        "still unknown: 1; these rows have no value in the column sent",
    ]


def test_odd_keys_go_back_and_forth(
    cli: Cli, environment: dict[str, str], gateway: Sandbox, tmp_path: Path
) -> None:
    """Keys that a spreadsheet would execute or shorten are found again, whatever the form of the file."""
    keys = ["=1+1", "'=1+1", "12345678901234567890", "0012", "a,b;c", '="x"']
    rows, out, path = tmp_path / "rows.jsonl", tmp_path / "out.csv", str(tmp_path / "run.db")
    lines = [{"phone": f"7903123000{place}", "key": key} for place, key in enumerate(keys)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    gateway.answer_next("Sms/SendBulk", status=500, body=b'{"Code":9,"Desc":"Internal error"}', accept=True)
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", path).code == ExitCode.OUTCOME_UNKNOWN
    for options in ([], ["--excel"]):
        cli("ledger", "unknown", path, "--output", str(out), *options)
        delimiter = ";" if options else ","
        content = list(csv.reader(io.StringIO(out.read_bytes().decode("utf-8-sig"), ""), delimiter=delimiter))
        content[1 if not options else 4][7] = "no"
        with out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows(content)
        document = cli("ledger", "resolve", path, "--from", str(out), "--json").document
        assert document["pending"] == 1
    unknown = cli("ledger", "unknown", path, "--json").document["unknown"]
    assert [each["key"] for each in unknown] == [keys[1], keys[2], keys[3], keys[5]]


def test_rejected(cli: Cli, ledger: str, tmp_path: Path) -> None:
    """`ledger rejected` counts the rejected messages by code; a file has their full numbers and keys."""
    document = cli("ledger", "rejected", ledger, "--json").document
    (by_code,) = document["by_code"]
    assert (document["rejected"], by_code["code"], by_code["messages"]) == (1, 6, 1)
    assert by_code["reason"]
    shown = cli("ledger", "rejected", ledger).out
    assert re.search(r"6 +1 +Invalid", shown)
    assert "retry LEDGER --code 6" in shown
    out = tmp_path / "out.csv"
    assert "messages in the file: 1" in cli("ledger", "rejected", ledger, "--output", str(out)).out
    (row,) = read_report(out)
    assert (row["number"], row["key"], row["code"]) == ("79031230806", "'=fourth", "6")
    assert row["sent_at"].endswith("+00:00")
    cli("ledger", "retry", ledger)
    assert cli("ledger", "rejected", ledger).out == "no message was rejected\n"
    assert cli("ledger", "rejected", ledger, "--json").document == {"rejected": 0, "by_code": []}


@pytest.mark.parametrize("columns", ["40", "80"])
def test_tables_do_not_break_words(
    cli: Cli, ledger: str, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """In a narrow terminal, the words of `ledger rejected` stay whole."""
    monkeypatch.setenv("COLUMNS", columns)
    shown = cli("ledger", "rejected", ledger).out
    assert max(map(len, shown.splitlines())) <= int(columns)
    words = set(shown.split())
    assert {"Code", "Messages", "Reason", "Invalid", "operation", "`smsapi-async"} <= words


@pytest.mark.parametrize(
    ("options", "pending"), [([], 2), (["--code", "6"], 1), (["--code", "2"], 1), (["--code", "9"], 0)]
)
def test_retry_by_code(
    cli: Cli, gateway: Sandbox, ledger: str, tmp_path: Path, options: list[str], pending: int
) -> None:
    """`ledger retry --code` makes only messages pending that were rejected with this code."""
    rows = tmp_path / "more.csv"
    rows.write_text("phone,key\n79031230005,fifth\n", "utf-8")
    gateway.answer_next("Sms/Send", status=400, body=b'{"Code":2,"Desc":"Invalid argument"}')
    cli("batch", str(rows), "--text", "Hi", "--ledger", ledger)
    assert counts(cli, ledger)["rejected"] == 2
    assert cli("ledger", "retry", ledger, *options, "--json").document == {"pending": pending}
    assert counts(cli, ledger).get("pending", 0) == pending
    both = cli("ledger", "retry", ledger, "--code", "6", "--code", "2", "--json").document["pending"]
    assert both + pending == 2
    assert "`ledger rejected` lists the codes" in cli("ledger", "retry", ledger, *options).out


def test_files_of_a_redacted_ledger(
    cli: Cli, environment: dict[str, str], gateway: Sandbox, tmp_path: Path
) -> None:
    """The files of a redacted ledger have keys and no numbers, and go back to `resolve`."""
    rows, path, out = tmp_path / "rows.csv", str(tmp_path / "run.db"), tmp_path / "out.csv"
    gateway.answer_next("Sms/Send", body=b"<html>", accept=True)
    rows.write_text("phone\n79031230001\n", "utf-8")
    cli("batch", str(rows), "--text", "Hi", "--ledger", path, "--redact")
    shown = cli("ledger", "unknown", path, "--output", str(out))
    assert "the ledger is redacted, so the file has no numbers" in " ".join(shown.out.split())
    assert "79031230001" not in out.read_text("utf-8")
    saved = filled_in(out, ["yes"], "csv")
    assert cli("ledger", "resolve", path, "--from", str(saved), "--json").document["accepted"] == 1
    found = cli("ledger", "report", path, "--rows", str(rows), "--text", "Hi", "--json").document["rows"]
    assert (found[0]["outcome"], found[0]["number"]) == ("accepted", "79031230001")


def test_retry(cli: Cli, ledger: str, gateway: Sandbox, tmp_path: Path) -> None:
    """After `ledger retry`, a second run of `batch` sends the rejected message and no other message."""
    assert cli("ledger", "retry", ledger).out == "1 rejected message is pending now; the next run sends it\n"
    gateway.answer_next("Sms/Send", body=b'["1"]')
    batch = ["batch", str(tmp_path / "rows.csv"), "--text", "Hi", "--ledger", ledger]
    sends = gateway.account.count("Sms/Send")
    assert cli(*batch).code == ExitCode.DONE
    assert gateway.account.count("Sms/Send") == sends + 1
    assert cli("ledger", "retry", ledger, "--json").document == {"pending": 0}


BAD = [
    (["resolve", "LEDGER", "first"], "--sent"),
    (["resolve", "LEDGER", "third", "--sent"], "no unknown message"),
    (["resolve", "LEDGER", "first", "third", "--sent"], "key 2 of 2"),
    (["resolve", "LEDGER", "first", "first", "--sent"], "key 2 of 2"),
    (["resolve", "LEDGER", "first", "--not-sent", "--segment-id", "1"], "no segment ids"),
    (["resolve", "LEDGER", "first", "second", "--sent", "--segment-id", "1"], "exactly one key"),
    (["resolve", "LEDGER", "--all", "--sent", "--segment-id", "1"], "exactly one key"),
    (["resolve", "LEDGER", "--from", "x.csv", "--segment-id", "1"], "exactly one key"),
    (["resolve", "LEDGER", "--sent"], "pass keys, --all, or --from"),
    (["resolve", "LEDGER", "--all"], "--sent"),
    (["resolve", "LEDGER", "first", "--all", "--sent"], "only one of the three"),
    (["resolve", "LEDGER", "--all", "--from", "x.csv"], "only one of the three"),
    (["resolve", "LEDGER", "--from", "x.csv", "--sent"], "the column sent"),
    (["resolve", "LEDGER", "--from", "nowhere.csv"], "--from: 'nowhere.csv'"),
    (["resolve", "nowhere.db", "first", "--sent"], "LEDGER"),
    (["retry", "nowhere.db"], "LEDGER"),
    (["summary", "nowhere.db"], "LEDGER"),
    (["report", "nowhere.db"], "LEDGER"),
    (["accept-copy", "nowhere.db"], "LEDGER"),
    (["accept-copy", "TABLE"], "not a ledger"),
    (["report", "LEDGER", "--output", "/nowhere/out.csv"], "--output"),
    (["report", "LEDGER", "--output", "LEDGER"], "--output"),
    (["unknown", "TABLE"], "not a ledger"),
    (["rejected", "nowhere.db"], "LEDGER"),
    (["unknown", "LEDGER", "--output", "/nowhere/out.xlsx"], "--output"),
    (["rejected", "LEDGER", "--output", "out.ods"], ".csv or .xlsx"),
    (["unknown", "LEDGER", "--excel"], "--output"),
    (["rejected", "LEDGER", "--excel"], "--output"),
    (["report", "LEDGER", "--text", "Hi"], "--rows"),
    (["report", "LEDGER", "--redact"], "--rows"),
    (["report", "LEDGER", "--rows", "nowhere.csv", "--text", "Hi"], "RECIPIENTS"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=lambda value: " ".join(value)[:40])
def test_bad_input(cli: Cli, ledger: str, command: list[str], words: str, tmp_path: Path) -> None:
    """If an argument is invalid, a `ledger` command returns exit code 2 and does not change the ledger."""
    names = {"LEDGER": ledger, "TABLE": str(tmp_path / "rows.csv")}
    outcome = cli("ledger", *[names.get(each, each) for each in command])
    assert (outcome.code, outcome.out) == (ExitCode.BAD_INPUT, "")
    assert words in outcome.err
    assert counts(cli, ledger)["unknown"] == 2


def test_redacted(cli: Cli, environment: dict[str, str], gateway: Sandbox, tmp_path: Path) -> None:
    """For a redacted ledger, `ledger unknown` prints no phone number; the report of `batch` has its keys."""
    rows, path, report = tmp_path / "rows.csv", str(tmp_path / "run.db"), tmp_path / "out.csv"
    gateway.answer_next("Sms/Send", body=b"<html>", accept=True)
    rows.write_text("phone\n79031230001\n", "utf-8")
    command = ["batch", str(rows), "--text", "Hi", "--ledger", path, "--redact", "--report", str(report)]
    assert cli(*command).code == ExitCode.OUTCOME_UNKNOWN
    shown = cli("ledger", "unknown", path).out
    assert "79031230001" not in shown
    assert cli("ledger", "unknown", path, "--json").document["unknown"][0]["destination_address"] == ""
    key = read_report(report)[0]["key"]
    assert shown.splitlines()[0] == key
    assert cli("ledger", "resolve", path, key, "--sent").code == 0


@pytest.mark.parametrize("ledger", ["file"], indirect=True)
def test_accept_copy(cli: Cli, ledger: str, tmp_path: Path) -> None:
    """A copy of a ledger is refused by `batch`, until `ledger accept-copy` has accepted the copy."""
    copy, rows = str(tmp_path / "copy.db"), str(tmp_path / "rows.csv")
    shutil.copy(ledger, copy)
    batch = ["batch", rows, "--text", "Hi", "--ledger", copy]
    refused = cli(*batch)
    assert refused.code == ExitCode.BAD_INPUT
    assert "run `smsapi-async ledger accept-copy`" in refused.err
    accepted = cli("ledger", "accept-copy", copy, "--json").document
    assert (accepted["was_refused"], accepted["unknown"]) == (True, 2)
    assert cli(*batch).code == ExitCode.REJECTED
    assert "changed nothing" in cli("ledger", "accept-copy", copy).out


def test_a_database_is_no_copy(cli: Cli) -> None:
    """`ledger accept-copy` refuses the URL of a database, which is never a copy of a file."""
    outcome = cli("ledger", "accept-copy", new_database())
    assert outcome.code == ExitCode.BAD_INPUT
    assert "pass the file of a ledger" in outcome.err


@pytest.mark.parametrize(
    "place",
    ["postgresql:/user:{}@host/x", "POSTGRES://user:{}@host/x", "host=nohost.invalid password={}",
     "postgresql://user:{}@127.0.0.1:1/x?account=shop", "password={} nothing"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["summary", "unknown", "rejected", "retry", "report", "resolve"])
def test_a_database_that_cannot_be_used(cli: Cli, place: str, command: str) -> None:
    """A wrong URL of a database is never taken for a file, and no error shows its password."""
    skip_without_server()
    rest = ["--all", "--sent"] if command == "resolve" else []
    outcome = cli("ledger", command, place.format(PASSWORD), *rest)
    assert outcome.code == ExitCode.BAD_INPUT
    assert "dsn: " in outcome.err or "cannot be used" in outcome.err
    assert "pass the file" not in outcome.err


def test_each_account_of_a_database_is_a_ledger(
    cli: Cli, environment: dict[str, str], gateway: Sandbox, tmp_path: Path
) -> None:
    """`batch` and `track` use the account in the URL. A dry run of a new account changes nothing."""
    rows, first, second = tmp_path / "rows.csv", new_database(), new_database()
    rows.write_text("phone\n79031230001\n79031230003\n", "utf-8")
    batch = ["batch", str(rows), "--text", "Hi", "--json", "--ledger"]
    for _ in range(2):
        assert cli(*batch, first, "--dry-run").document["ledger"]["to_send"] == 2
    for _ in range(2):
        assert cli(*batch, first).code == ExitCode.DONE
    assert cli(*batch, first, "--dry-run").document["ledger"]["accepted"] == 2
    assert len(gateway.account.messages) == 2
    assert cli("ledger", "summary", second, "--json").code == ExitCode.BAD_INPUT
    assert cli(*batch, second).code == ExitCode.DONE
    assert len(gateway.account.messages) == 4
    assert cli("track", first, "--for", "0.1", "--json").document["enroute"] == 2


@pytest.mark.parametrize(
    "command",
    [["ledger", "summary"], ["ledger", "unknown"], ["ledger", "report"], ["ledger", "retry"],
     ["ledger", "resolve", "--all", "--sent"], ["track"]],
)  # fmt: skip
def test_a_misspelt_account(cli: Cli, environment: dict[str, str], command: list[str]) -> None:
    """A command for an account that does not exist is refused, also when it is repeated."""
    place = new_database()
    for _ in range(2):
        outcome = cli(*command, place)
        assert outcome.code == ExitCode.BAD_INPUT
        assert "there is no account" in outcome.err


def test_report(cli: Cli, ledger: str, tmp_path: Path) -> None:
    """`ledger report` writes each message with its outcome; a spreadsheet executes no cell of the file."""
    out = tmp_path / "report.csv"
    out.write_text("old\n" * 1000, "utf-8")
    assert cli("ledger", "report", ledger, "--output", str(out)).out == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    printed = cli("ledger", "report", ledger).out
    assert printed == out.read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [(row["key"], row["destination_address"], row["state"]) for row in rows] == [
        ("first", "79031230001", "unknown"),
        ("second", "79031230002", "unknown"),
        ("third", "79031230003", "accepted"),
        ("'=fourth", "79031230806", "rejected"),
    ]
    assert rows[2]["sent_at"] <= rows[2]["accepted_at"]
    assert rows[2]["segment_ids"]
    assert rows[3]["reason"]


@pytest.mark.parametrize("command", [["unknown"], ["report"], ["report", "--output", "/dev/full"]])
def test_a_listing_that_cannot_be_written(ledger: str, command: list[str]) -> None:
    """If the disk is full, a listing of the ledger is not reported as complete."""
    argv = [sys.executable, "-m", "smsapi_async", "ledger", *command, ledger]
    with open(os.devnull if "--output" in command else "/dev/full", "w", encoding="utf-8") as stdout:
        process = subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    if "--output" in command:
        assert process.returncode == ExitCode.BAD_INPUT
        assert "pass a file that can be written (No space left on device)" in process.stderr
    else:
        assert process.returncode == ExitCode.UNEXPECTED
        assert process.stderr.endswith("its result could not be written (OSError)\n")
