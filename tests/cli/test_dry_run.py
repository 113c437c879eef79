"""Tests of `batch --dry-run`, which counts messages, segments, duplicates, bad rows and UCS-2 characters."""

from pathlib import Path

import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli


def written(folder: Path, *lines: str) -> str:
    """Write a CSV file with a header and `lines`, and return its path."""
    path = folder / "rows.csv"
    path.write_text("\n".join(["phone;name", *lines]), "utf-8")
    return str(path)


def test_counts_for_programs(cli: Cli, tmp_path: Path) -> None:
    """`--dry-run --json` needs no account and counts segments, encodings, duplicates and bad rows."""
    long = "x" * 200
    rows = ["79031230001;a", "+7 903 123 00 01;a", "79031230002;ж—", "79031230003;" + long, "12;a"]
    outcome = cli("batch", written(tmp_path, *rows), "--text", "Hi {name}", "--dry-run", "--json")
    assert outcome.code == ExitCode.REJECTED
    assert outcome.err == "smsapi-async: 1 bad rows would not be sent\n"
    document = outcome.document
    assert (document["messages"], document["segments"], document["duplicates"]) == (4, 5, 1)
    assert document["messages_by_segments"] == {"1": 3, "2": 1}
    assert document["encodings"] == {"GSM 03.38": 3, "UCS-2": 1}
    assert document["forcing_ucs2"] == [
        {"character": "ж", "code_point": "U+0436", "messages": 1},
        {"character": "—", "code_point": "U+2014", "messages": 1},
    ]
    assert (document["bad_rows"], document["first_bad_rows"][0]["line"]) == (1, 6)


def test_counts_for_people(cli: Cli, tmp_path: Path) -> None:
    """No line of the output of `--dry-run` has more than 80 characters.

    The output shows an invisible character as its code point.
    """
    rows = [f"7903123{index:04d};{name}" for index, name in enumerate(["a", "a\u00a0b", "\u200bж", "ж"])]
    outcome = cli("batch", written(tmp_path, *rows, rows[0]), "--text", "Hi {name}", "--dry-run")
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "GSM 03.38: 2, UCS-2: 3 messages" in outcome.out
    assert "rows that repeat an earlier row: 1" in outcome.out
    assert "nothing was sent" in outcome.out
    forcing = outcome.out.split("What forces UCS-2")[1].split()
    assert forcing[-5:] == ["2", "ж", "1", "U+00A0", "U+200B"]


def test_nothing_forces_ucs2(cli: Cli, tmp_path: Path) -> None:
    """If no message needs UCS-2, the table of UCS-2 characters is not printed."""
    outcome = cli("batch", written(tmp_path, "79031230001;a"), "--text", "Hi", "--dry-run")
    assert "UCS-2: 0" in outcome.out
    assert "forces" not in outcome.out


def test_duplicates_far_apart(cli: Cli, tmp_path: Path) -> None:
    """A row that repeats a row thousands of lines above is counted as a duplicate."""
    rows = [f"7903{index:07d};a" for index in range(5000)]
    path = written(tmp_path, *rows, *rows[:100], *rows[-3:])
    document = cli("batch", path, "--text", "Hi", "--dry-run", "--json").document
    assert (document["messages"], document["duplicates"]) == (5103, 103)


def test_very_many_characters(cli: Cli, tmp_path: Path) -> None:
    """If very many characters need UCS-2, only the most frequent characters are listed.

    The output contains only the number of the characters that are not listed.
    """
    names = ["".join(chr(0x4E00 + step) for step in range(count)) for count in range(1, 15)]
    rows = [f"7903123{index:04d};{name}" for index, name in enumerate(names)]
    rows.append("79031239999;" + "".join(chr(0x5E00 + step) for step in range(100)))
    outcome = cli("batch", written(tmp_path, *rows), "--text", "{name}", "--dry-run")
    assert "fewer  104 more characters" in outcome.out


@pytest.mark.usefixtures("environment")
def test_with_a_ledger(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """`--dry-run --ledger` counts what the ledger already has, and what the batch would still send."""
    ledger = tmp_path / "run.db"
    options = ["--text", "Hi {name}", "--ledger", str(ledger)]
    numbers = ["79031230001", "79031230806", "79031230002"]
    empty = cli("batch", written(tmp_path, f"{numbers[0]};a"), *options, "--dry-run", "--json")
    assert (empty.document["ledger"]["to_send"], ledger.exists()) == (1, False)
    gateway.answer_next("Sms/Send", status=500, body=b'{"Code":9,"Desc":"Internal error"}', accept=True)
    assert cli("batch", written(tmp_path, f"{numbers[2]};a"), *options).code == ExitCode.OUTCOME_UNKNOWN
    assert cli("batch", written(tmp_path, *(f"{each};a" for each in numbers[:2])), *options).code == 3
    sends = len(gateway.account.messages)
    rows = [
        *(f"{each};a" for each in numbers),
        f"{numbers[0]};a",
        f"{numbers[2]};b",
        f"79031230003;{'x' * 200}",
    ]
    path = written(tmp_path, *rows)
    document = cli("batch", path, *options, "--dry-run", "--json").document
    assert document["ledger"] == {
        "pending": 0,
        "sending": 0,
        "accepted": 1,
        "rejected": 1,
        "unknown": 1,
        "to_send": 2,
        "segments_to_send": 3,
        "other_texts": 1,
    }
    out = cli("batch", path, *options, "--dry-run").out
    assert "to send: 2 messages, 3 segments" in out
    assert "already sent another text: 1" in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(gateway.account.messages) == sends


def test_with_a_ledger_and_without_a_source_address(cli: Cli, tmp_path: Path) -> None:
    """Without its source address no message is found in the ledger, so `--dry-run --ledger` needs it."""
    path = written(tmp_path, "79031230001;a")
    outcome = cli("batch", path, "--text", "Hi", "--dry-run", "--ledger", str(tmp_path / "run.db"))
    assert outcome.code == ExitCode.BAD_INPUT
    assert "--source-address" in outcome.err
