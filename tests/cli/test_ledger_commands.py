"""Tests of the commands under `ledger`."""

import csv
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_batch import read_report

KEYS = ("first", "second")


@pytest.fixture
def ledger(cli: Cli, environment: dict[str, str], gateway: Sandbox, tmp_path: Path) -> str:
    """Return the path of a ledger with one accepted, one rejected and two unknown messages."""
    rows = tmp_path / "rows.csv"
    path = tmp_path / "run.db"
    gateway.answer_next("Sms/SendBulk", status=500, body=b'{"Code":9,"Desc":"Internal error"}', accept=True)
    rows.write_text("phone,key\n79031230001,first\n79031230002,second\n", "utf-8")
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", str(path)).code == ExitCode.OUTCOME_UNKNOWN
    rows.write_text("phone,key\n79031230003,third\n79031230806,=fourth\n", "utf-8")
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", str(path)).code == ExitCode.REJECTED
    return str(path)


@pytest.fixture
def dead_ledger(environment: dict[str, str], gateway: Sandbox, tmp_path: Path) -> str:
    """Return the path of a ledger whose process was killed during a request with three messages."""
    return killed_batch(gateway, tmp_path)


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
    assert " UTC, request 1, code 9, " in lines[1]


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
    assert sent.document == {"accepted": 1, "pending": 0}
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
        (["key;sent", "first;yes", "second"], "line 3 "),
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


def test_retry(cli: Cli, ledger: str, gateway: Sandbox, tmp_path: Path) -> None:
    """After `ledger retry`, a second run of `batch` sends the rejected message and no other message."""
    assert cli("ledger", "retry", ledger).out == "1 rejected messages are pending: the next run sends them\n"
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
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=lambda value: " ".join(value)[:40])
def test_bad_input(cli: Cli, ledger: str, command: list[str], words: str) -> None:
    """If an argument is invalid, a `ledger` command returns exit code 2 and does not change the ledger."""
    names = {"LEDGER": ledger, "TABLE": str(Path(ledger).with_name("rows.csv"))}
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
    assert process.returncode == ExitCode.UNEXPECTED
    assert process.stderr.endswith("its result could not be written (OSError)\n")
