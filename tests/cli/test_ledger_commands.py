"""Tests of the commands `ledger summary`, `ledger unknown`, `ledger resolve` and `ledger retry`."""

from pathlib import Path

import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli

KEYS = ("first", "second")


@pytest.fixture
def ledger(cli: Cli, environment: dict[str, str], gateway: Sandbox, tmp_path: Path) -> str:
    """Return the path of a ledger with one accepted, one rejected and two unknown messages."""
    rows = tmp_path / "rows.csv"
    path = tmp_path / "run.db"
    gateway.answer_next("Sms/SendBulk", status=500, body=b'{"Code":9,"Desc":"Internal error"}', accept=True)
    rows.write_text("phone,key\n79031230001,first\n79031230002,second\n", "utf-8")
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", str(path)).code == ExitCode.OUTCOME_UNKNOWN
    rows.write_text("phone,key\n79031230003,third\n79031230806,fourth\n", "utf-8")
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", str(path)).code == ExitCode.REJECTED
    return str(path)


def test_summary(cli: Cli, ledger: str) -> None:
    """`ledger summary` prints the number of messages in each state, as JSON and as a table."""
    counts = cli("ledger", "summary", ledger, "--json").document
    assert counts == {"pending": 0, "sending": 0, "accepted": 1, "rejected": 1, "unknown": 2, "segments": 1}
    out = cli("ledger", "summary", ledger).out
    assert "unknown          2  may have been sent" in out
    assert "segments: 1" in out


def test_unknown(cli: Cli, ledger: str) -> None:
    """`ledger unknown` prints the key of each message with an unknown outcome.

    The full phone number of an unknown message is only in the JSON output.
    """
    document = cli("ledger", "unknown", ledger, "--json").document
    assert [(each["key"], each["destination_address"], each["code"]) for each in document["unknown"]] == [
        ("first", "79031230001", 9),
        ("second", "79031230002", 9),
    ]
    lines = cli("ledger", "unknown", ledger).out.splitlines()
    assert (lines[0], lines[2]) == KEYS
    assert lines[1].startswith("    ***01, code 9, ")


def test_resolve(cli: Cli, ledger: str) -> None:
    """`ledger resolve --sent` makes an unknown message accepted; with `--not-sent`, it becomes pending."""
    options = ["--segment-id", "11", "--segment-id", "12", "--json"]
    sent = cli("ledger", "resolve", ledger, "first", "--sent", *options)
    assert sent.document == {"key": "first", "state": "accepted", "segment_ids": ["11", "12"]}
    assert "the next run sends it" in cli("ledger", "resolve", ledger, "second", "--not-sent").out
    counts = cli("ledger", "summary", ledger, "--json").document
    assert (counts["accepted"], counts["pending"], counts["unknown"], counts["segments"]) == (2, 1, 0, 3)
    assert cli("ledger", "unknown", ledger).out == "no message has an unknown outcome\n"


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
    (["resolve", "LEDGER", "third", "--sent"], "no unknown message with that key"),
    (["resolve", "LEDGER", "first", "--not-sent", "--segment-id", "1"], "no segment ids"),
    (["resolve", "nowhere.db", "first", "--sent"], "LEDGER"),
    (["retry", "nowhere.db"], "LEDGER"),
    (["summary", "nowhere.db"], "LEDGER"),
    (["unknown", __file__], "not a ledger"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=lambda value: " ".join(value)[:40])
def test_bad_input(cli: Cli, ledger: str, command: list[str], words: str) -> None:
    """If an argument is invalid, a `ledger` command returns exit code 2 and does not change the ledger."""
    outcome = cli("ledger", *[ledger if each == "LEDGER" else each for each in command])
    assert (outcome.code, outcome.out) == (ExitCode.BAD_INPUT, "")
    assert words in outcome.err
    assert cli("ledger", "summary", ledger, "--json").document["unknown"] == 2


def test_redacted(cli: Cli, environment: dict[str, str], gateway: Sandbox, tmp_path: Path) -> None:
    """For a redacted ledger, `ledger unknown` prints the key and the reason, but no phone number."""
    rows, path = tmp_path / "rows.csv", str(tmp_path / "run.db")
    gateway.answer_next("Sms/Send", body=b"<html>", accept=True)
    rows.write_text("phone,key\n79031230001,first\n", "utf-8")
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", path, "--redact").code == 5
    assert cli("ledger", "unknown", path).out.startswith("first\n    ")
    assert cli("ledger", "unknown", path, "--json").document["unknown"][0]["destination_address"] == ""
