"""Tests of `batch --dry-run`, which counts messages and money, and of the money that `batch` itself shows."""

import io
import json
import re
import signal
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_view import batch_document
from smsapi_async.cli.batch.costs import amount
from smsapi_async.cli.batch.countries import Countries
from smsapi_async.cli.batch.dry_run import DryRun
from smsapi_async.cli.batch.dry_run_view import dry_run_document, dry_run_view
from smsapi_async.cli.batch.text_counts import characters_over, text_facts
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.protocol.segments import LIMITS, segment, text_units
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_failures import Terminal
from tests.cli.test_process import started

WIDTHS = [40, 80, 120]
NUMBER = "79031230001"


def written(folder: Path, *lines: str) -> str:
    """Write a CSV file with a header and `lines`, and return its path."""
    path = folder / "rows.csv"
    path.write_text("\n".join(["phone;name", *lines]), "utf-8")
    return str(path)


def counted(cli: Cli, folder: Path, texts: Sequence[str], *options: str) -> Any:
    """Return the JSON document of a dry run with one row for each text."""
    rows = [f"7903{index:07d};{text}" for index, text in enumerate(texts)]
    return cli("batch", written(folder, *rows), "--text", "{name}", "--dry-run", "--json", *options).document


def test_counts_for_programs(cli: Cli, tmp_path: Path) -> None:
    """`--dry-run --json` needs no account and counts segments, encodings, duplicates and bad rows."""
    long = "x" * 200
    rows = [f"{NUMBER};a", "+7 903 123 00 01;a", "79031230002;a—", "79031230003;" + long, "12;a"]
    outcome = cli("batch", written(tmp_path, *rows), "--text", "Hi {name}", "--dry-run", "--json")
    assert outcome.code == ExitCode.REJECTED
    assert outcome.err == "smsapi-async: 1 bad rows would not be sent\n"
    document = outcome.document
    assert (document["messages"], document["segments"], document["duplicates"]) == (3, 4, 1)
    assert document["messages_by_segments"] == {"1": 2, "2": 1}
    assert document["encodings"] == {"GSM 03.38": 2, "UCS-2": 1}
    assert document["forcing_ucs2"] == [{"character": "—", "code_point": "U+2014", "messages": 1}]
    assert document["skipped"] == {"excluded": 0, "duplicate": 1}
    assert (document["bad_rows"], document["first_bad_rows"][0]["line"]) == (1, 6)
    assert set(document["costs"].values()) == {None}
    assert "ledger" not in document


def test_counts_for_people(cli: Cli, tmp_path: Path) -> None:
    """The output says what repeats, what is excluded, and that nothing was sent."""
    rows = [f"{NUMBER};a", f"{NUMBER};a", "79031230002;ж", "79031230003;c"]
    stop = tmp_path / "stop.csv"
    stop.write_text("phone\n79031230003\n", "utf-8")
    path = written(tmp_path, *rows)
    outcome = cli("batch", path, "--text", "Hi {name}", "--dry-run", "--exclude", str(stop))
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    assert "GSM 03.38: 1, UCS-2: 1 messages" in outcome.out
    assert "rows that repeat an earlier row: 1 (not sent)" in outcome.out
    assert "rows with a number of --exclude: 1 (not sent)" in outcome.out
    assert outcome.out.endswith("\nnothing was sent\n")
    assert "balance" not in outcome.out


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["a\u00a0b", "ab"], "1 message needs UCS-2 only because of the character U+00A0 (no-break space)\n"),
        (["“a” —", "“b”"], "2 messages need UCS-2 only because of the characters “ ” —\n"),
        (["x" * 100 + "😀"], "1 message needs UCS-2 only because of the character 😀 (1 segment more)\n"),
        (["€łóźćńąĄ"], "because of the characters ł ó ź ć ń and 2 more\n"),
        (["a—ж", "Ω—ж", "漢—"], None),  # Letters of other scripts need UCS-2 in any case.
        (["plain", "[Ωé€]"], None),
    ],
)
def test_what_forces_ucs2(cli: Cli, tmp_path: Path, texts: list[str], shown: str | None) -> None:
    """A line names the few characters that make a Latin text longer, and never lists an alphabet."""
    rows = [f"7903{index:07d};{text}" for index, text in enumerate(texts)]
    out = cli("batch", written(tmp_path, *rows), "--text", "{name}", "--dry-run").out
    assert ("because of" in out) == (shown is not None)
    assert shown is None or shown in out


@pytest.mark.parametrize(
    ("text", "spill"),
    [
        ("x" * 160, None),
        ("x" * 161, ("2", "spills into a second segment by five characters or fewer")),
        ("x" * 165, ("2", "spills into a second segment by five characters or fewer")),
        ("x" * 166, None),
        ("x" * 158 + "€€€", ("2", "spills into a second segment")),
        ("€" * 85, ("2", "spills into a second segment")),
        ("€" * 86, None),
        ("ж" * 70, None),
        ("ж" * 75, ("2", "spills into a second segment")),
        ("ж" * 76, None),
        ("😀" * 40, ("2", "spills into a second segment")),
        ("😀" * 41, None),
        ("x" * 307, ("3", "spills into a third segment")),
        ("x" * 312, None),
        ("ж" * (67 * 5 + 5), ("6", "spills into segment 6")),
    ],
)
def test_a_little_too_long(cli: Cli, tmp_path: Path, text: str, spill: tuple[str, str] | None) -> None:
    """Messages that have their last segment for five characters or fewer are counted and said."""
    assert counted(cli, tmp_path, [text])["spills"] == ({} if spill is None else {spill[0]: 1})
    out = cli("batch", str(tmp_path / "rows.csv"), "--text", "{name}", "--dry-run").out
    assert ("spill" in out) == (spill is not None)
    assert spill is None or f"1 message {spill[1]}" in out


@given(st.text(alphabet="ab€[ж😀", min_size=60, max_size=400))
def test_how_many_characters_too_long(text: str) -> None:
    """The text without these characters needs one segment less, and with one of them it does not."""
    segmentation = segment(text)
    count = characters_over(text, segmentation)
    if count is None:
        assert segmentation.count < 2
        return
    assert 0 < count <= len(text)
    assert needed(text[:-count], text) == segmentation.count - 1
    assert needed(text[: len(text) - count + 1], text) == segmentation.count


def needed(shorter: str, text: str) -> int:
    """Return the number of segments of a text in the encoding of another text."""
    encoding = segment(text).encoding
    single, multiple = LIMITS[encoding]
    if text_units(shorter, encoding) <= single:
        return 1
    count, used = 1, 0
    for character in shorter:
        units = text_units(character, encoding)
        if used + units > multiple:
            count, used = count + 1, 0
        used += units
    return count


@given(st.text(alphabet="ab€[—“ łж😀", max_size=400))
def test_needless_segments(text: str) -> None:
    """Only characters without which the text fits GSM 03.38 are blamed, and no text gets longer without."""
    facts = text_facts(text)
    assert facts.needless >= 0
    replaced = "".join("-" if character in facts.forcing else character for character in text)
    assert not facts.forcing or not segment(replaced).forcing_ucs2
    assert facts.segments - segment(replaced).count == facts.needless
    assert ("ж" in text) <= (facts.forcing == ())


COUNTRIES = {
    "79031234567": "RU",
    "74951234567": "RU",
    "77011234567": "KZ",
    "491701234567": "DE",
    "12025550123": "US",
    "14165550123": "CA",
    "18765550123": "JM",
    "447400123456": "GB",
    "447781123456": "GG",
    "375291234567": "BY",
    "393123456789": "IT",
    "8821612345678": "international",
    "70000000000": "unknown",
    "2101234567": "unknown",
}


@pytest.mark.parametrize("order", [1, -1])
def test_countries(order: int) -> None:
    """A number is counted for its country, also if several countries share the country code."""
    numbers = list(COUNTRIES)[::order] * 2
    countries = Countries()
    assert [countries.country(number) for number in numbers] == [COUNTRIES[number] for number in numbers]


def test_counts_by_country(cli: Cli, tmp_path: Path) -> None:
    """The most frequent countries come first, and many countries do not fill the screen."""
    many = ["+49 170 1234567", "+375291234567", "+33612345678", "+34612345678", "+393123456789"]
    more = ["+48512345678", "+380501234567", "+436641234567", "+31612345678", "+46701234567", "+32470123456"]
    rows = [f"{number};a" for number in [*many, *more, NUMBER, "89031230002"]]
    path = written(tmp_path, *rows)
    document = cli("batch", path, "--text", "Hi", "--dry-run", "--json").document
    assert next(iter(document["countries"].items())) == ("RU", 2)
    assert (sum(document["countries"].values()), len(document["countries"])) == (13, 12)
    out = cli("batch", path, "--text", "Hi", "--dry-run").out
    assert "countries: RU 2, DE 1, " in out
    assert "2 more countries 2" in " ".join(out.split())


def test_duplicates_far_apart(cli: Cli, tmp_path: Path) -> None:
    """A row that repeats a row thousands of lines above is counted as a duplicate."""
    rows = [f"7903{index:07d};a" for index in range(5000)]
    path = written(tmp_path, *rows, *rows[:100], *rows[-3:])
    document = cli("batch", path, "--text", "Hi", "--dry-run", "--json").document
    assert (document["messages"], document["duplicates"]) == (5000, 103)
    sent = cli("batch", path, "--text", "Hi", "--dry-run", "--json", "--duplicates", "send").document
    assert (sent["messages"], sent["duplicates"]) == (5103, 0)


@pytest.mark.parametrize(
    ("price", "balance", "cost", "shown"),
    [
        ("3.20", "100", "9.60", "balance after the batch 90.40"),
        ("3.20", "9.60", "9.60", "balance after the batch 0.00"),
        ("50000", "10000", "150000", "short by 140,000.00"),
        ("0.0005", "1", "0.0015", "balance after the batch 0.9985"),
        (None, "1234567.5", None, "balance 1,234,567.50"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_money(
    cli: Cli, gateway: Sandbox, tmp_path: Path, price: str | None, balance: str, cost: str | None, shown: str
) -> None:
    """With an account, the output compares the cost with the balance, after one request for the balance."""
    gateway.balance = balance
    rows = [f"{NUMBER};a", "79031230002;" + "x" * 161]
    options = ["--text", "{name}", "--dry-run", *(["--price", price] if price else [])]
    document = cli("batch", written(tmp_path, *rows), *options, "--json").document["costs"]
    assert (document["to_send"], document["balance"]) == (cost, balance)
    assert (document["short_by"] is not None) == shown.startswith("short")
    requests = [arrival.resource for arrival in gateway.account.arrivals]
    assert sorted(map(str, requests)) == ["User/Balance", "User/SessionId"]
    out = cli("batch", written(tmp_path, *rows), *options).out
    assert shown in re.sub(" +", " ", out)
    assert gateway.account.messages == []


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"SMSAPI_PASSWORD": "a-wrong-password"}, "the balance is not known: the gateway refused"),
        ({"SMSAPI_BASE_URL": "http://gateway.example"}, "the balance is not known: --base-url"),
        ({"SMSAPI_PASSWORD": ""}, None),
        ({"SMSAPI_LOGIN": ""}, None),
    ],
)
@pytest.mark.usefixtures("environment", "once")
def test_no_balance(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, str], shown: str | None
) -> None:
    """Without a balance the dry run still counts. If a setting is wrong the output says so."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    path = written(tmp_path, f"{NUMBER};a")
    outcome = cli("batch", path, "--text", "Hi", "--dry-run", "--price", "3.20")
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    assert re.search("all messages +3.20\n", outcome.out)
    assert ("balance" in outcome.out) == (shown is not None)
    assert shown is None or shown in outcome.out
    document = cli("batch", path, "--text", "Hi", "--dry-run", "--json").document["costs"]
    assert document["balance"] is None
    assert (document["balance_problem"] is None) == (shown is None)


@pytest.mark.parametrize("price", ["0", "-1", "3,20", "NaN", "Infinity", "1E+999999", "3.20 RUB"])
def test_a_wrong_price(cli: Cli, tmp_path: Path, price: str) -> None:
    """A price that is no positive amount ends the command before it reads the table."""
    options = ["--text", "Hi", "--dry-run", f"--price={price}"]
    outcome = cli("batch", written(tmp_path, f"{NUMBER};a"), *options)
    assert (outcome.code, outcome.out) == (ExitCode.BAD_INPUT, "")
    assert "--price" in outcome.err


@given(st.decimals(0, 10**12, allow_nan=False, places=4))
def test_amounts(value: Decimal) -> None:
    """An amount keeps its exact value, and has at least two decimals."""
    shown = amount(value)
    assert Decimal(shown.replace(",", "")) == value
    assert re.fullmatch(r"\d{1,3}(,\d{3})*\.\d{2,}", shown)
    assert amount(Decimal("-0.5")) == "-0.50"


@pytest.mark.usefixtures("environment")
def test_with_a_ledger(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """`--dry-run --ledger` counts what the ledger already has, and what the batch would still send."""
    ledger = tmp_path / "run.db"
    options = ["--text", "Hi {name}", "--ledger", str(ledger)]
    numbers = [NUMBER, "79031230806", "79031230002"]
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
    document = cli("batch", path, *options, "--dry-run", "--json", "--price", "2").document
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
    assert (document["costs"]["all_messages"], document["costs"]["to_send"]) == ("12", "6")
    out = cli("batch", path, *options, "--dry-run", "--price", "2").out
    assert "2 of 5 messages remain to send: 3 segments" in out
    assert re.search("messages that remain +6.00\n", out)
    assert "already sent another text: 1" in out
    assert len(gateway.account.messages) == sends


def test_with_a_ledger_and_without_a_source_address(cli: Cli, tmp_path: Path) -> None:
    """Without its source address no message is found in the ledger, so `--dry-run --ledger` needs it."""
    path = written(tmp_path, f"{NUMBER};a")
    outcome = cli("batch", path, "--text", "Hi", "--dry-run", "--ledger", str(tmp_path / "run.db"))
    assert outcome.code == ExitCode.BAD_INPUT
    assert "--source-address" in outcome.err


def test_a_preview(cli: Cli, tmp_path: Path) -> None:
    """`--preview 2` shows the texts of the first two messages, and neither numbers nor control characters."""
    rows = ["12;bad", f"{NUMBER};\x1b[31mred", "79031230002;" + "ж" * 80, "79031230003;third"]
    rows += [f"7904{index:07d};fourth" for index in range(1000)]
    path = written(tmp_path, *rows)
    options = ["--text", "Dear\n{name}", "--dry-run", "--preview", "2"]
    out = cli("batch", path, *options).out
    lines = [line.rstrip() for line in out.splitlines()]
    first = lines.index("line 3 to ***01: 1 segment, UCS-2")
    assert lines[first + 1 : first + 3] == ["  Dear", "  \\x1b[31mred"]
    assert "line 4 to ***02: 2 segments, UCS-2" in lines
    assert ("\x1b" in out, NUMBER in out, "third" in out) == (False, False, False)
    preview = cli("batch", path, *options, "--json").document["preview"]
    assert [(each["line"], each["segments"]) for each in preview] == [(3, 1), (4, 2)]
    assert preview[1]["text"] == "Dear\n" + "ж" * 80


@pytest.mark.parametrize(
    ("options", "shown"), [(["--dry-run", "--preview=-1"], "-1"), (["--preview=1"], "--dry-run")]
)
def test_a_wrong_preview(cli: Cli, tmp_path: Path, options: list[str], shown: str) -> None:
    """A preview of fewer than no messages, or without a dry run, is refused before anything is sent."""
    path = written(tmp_path, f"{NUMBER};a")
    outcome = cli("batch", path, "--text", "Hi", "--source-address", "ACME", *options)
    assert outcome.code == ExitCode.BAD_INPUT
    assert "--preview" in outcome.err
    assert shown in outcome.err


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.usefixtures("environment")
def test_width(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, width: int) -> None:
    """No line is wider than the terminal, and no word is broken."""
    monkeypatch.setenv("COLUMNS", str(width))
    words = "several words " * 12 + "“end”"
    rows = ["12;bad", f"{NUMBER};short", f"79031230002;{words}", "+491701234567;" + "x" * 162]
    options = ["--text", "{name}", "--dry-run", "--preview", "2", "--price", "3200.50"]
    out = cli("batch", written(tmp_path, *rows), *options, "--ledger", str(tmp_path / "run.db")).out
    assert max(map(len, out.splitlines())) <= width
    expected = "Segments Messages countries: spills characters balance several “end” number 19,203.00 short"
    assert set(expected.split()) <= set(out.split())


def test_progress(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a terminal, a progress bar on standard error shows that the table is being read."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    path = written(tmp_path, *(f"7903{index:07d};a" for index in range(3000)))
    assert cli("batch", path, "--text", "Hi {name}", "--dry-run").code == ExitCode.DONE
    assert "reading" in terminal.getvalue()


@pytest.mark.usefixtures("environment")
def test_money_after_a_batch(cli: Cli, tmp_path: Path) -> None:
    """After a batch, the output says what this run has spent, and the balance of the account."""
    path = written(tmp_path, f"{NUMBER};a", f"{NUMBER};a", "79031230002;" + "x" * 161)
    options = ["--text", "{name}", "--ledger", str(tmp_path / "run.db"), "--price", "1.50"]
    outcome = cli("batch", path, *options)
    assert outcome.code == ExitCode.DONE
    assert "duplicates     1\n" in outcome.out
    assert "spent in this run: 4.50\nbalance after this run: 95.50\n" in outcome.out
    again = cli("batch", path, *options, "--json").document
    assert (again["spent"], again["balance"], again["skipped"]["duplicate"]) == ("0.00", None, 1)


@pytest.mark.usefixtures("environment")
def test_an_interrupted_request_for_the_balance(gateway: Sandbox, tmp_path: Path) -> None:
    """Ctrl-C during the request for the balance ends only this request, and the counts are still printed."""
    with gateway.hold("User/Balance") as gate:
        process = started("batch", written(tmp_path, f"{NUMBER};a"), "--text", "Hi", "--json")
        anyio.run(gate.arrived, 1)
        process.send_signal(signal.SIGINT)
        document = json.loads(process.communicate(timeout=30)[0])
    assert (process.returncode, document["accepted"], document["balance"]) == (ExitCode.DONE, 1, None)
    # After ten seconds without an answer, the balance would have a problem.
    assert document["balance_problem"] is None


def test_how_the_table_was_read() -> None:
    """The notes about the table are the first lines of a dry run, and are in the documents for programs."""
    note = "the values are separated by ;"
    counted = DryRun(notes=[note])
    console = Console(file=io.StringIO(), width=40)
    console.print(dry_run_view(counted))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith(f"{note}\n\nSegments")
    assert dry_run_document(counted)["notes"] == batch_document(BatchCounts(notes=[note]))["notes"] == [note]


@pytest.mark.parametrize("status", [500, 401])
@pytest.mark.usefixtures("environment", "once")
def test_no_balance_after_a_batch(cli: Cli, gateway: Sandbox, tmp_path: Path, status: int) -> None:
    """If the balance cannot be asked for after a batch, the batch is as successful as before."""
    for _ in range(3):
        gateway.answer_next("User/Balance", status=status, body=b'{"Code":9,"Desc":"Internal error"}')
    outcome = cli("batch", written(tmp_path, f"{NUMBER};a"), "--text", "Hi", "--json")
    assert outcome.code == ExitCode.DONE
    document = outcome.document
    assert (document["accepted"], document["balance"], document["spent"]) == (1, None, None)
    assert document["balance_problem"]
    assert len(gateway.account.messages) == 1
