"""Tests of the command `batch`, which runs in this process against a sandbox on a socket."""

import asyncio
import csv
import io
import json
import os
import re
import resource
import stat
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async.cli import invocations
from smsapi_async.cli.batch import batch_invocations, report
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_options import LedgerOptions, PaceOptions
from smsapi_async.cli.batch.batch_run import BatchPlan, run_batch
from smsapi_async.cli.batch.row_converter import SharedFields
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.tables import rows
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError
from smsapi_async.outcomes import Accepted, Unknown
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.cli.conftest import Cli, Outcome
from tests.cli.test_process import started

TEXT = "Hello, {name}!"
FIRST = 79031230000


@pytest.fixture
def recipients(tmp_path: Path) -> Path:
    """Return the path of a recipients file (CSV) with twelve rows and three different names."""
    return table(tmp_path, 12)


def table(folder: Path, count: int, ending: str = "") -> Path:
    """Write a CSV file with `count` rows, followed by `ending`, and return its path."""
    path = folder / "recipients.csv"
    made = [f"+{FIRST + index};n{index % 3}" for index in range(count)]
    path.write_text("\n".join(["phone;name", *made]) + "\n" + ending, "utf-8")
    return path


def read_report(path: Path) -> list[dict[str, str]]:
    """Return the rows of a report file that `batch` has written."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def sent(gateway: Sandbox) -> list[str]:
    """Return the sorted destination addresses of all messages that the sandbox has accepted."""
    return sorted(message.destination_address for message in gateway.account.messages)


def counts(outcome: Outcome) -> dict[str, int]:
    """Return the counts of messages in the JSON output of a command, without the counts that are zero."""
    names = ("accepted", "rejected", "unknown", "pending", "bad_rows")
    return {name: outcome.document[name] for name in names if outcome.document[name]}


@pytest.mark.usefixtures("environment")
def test_batch_for_people(cli: Cli, gateway: Sandbox, recipients: Path, tmp_path: Path) -> None:
    """`batch` sends one message for each row of the recipients file.

    The report of the batch contains the segment ids of each message, but no text.
    """
    out = cli("batch", str(recipients), "--text", TEXT, "--report", str(tmp_path / "out.csv"))
    assert out.code == ExitCode.DONE
    assert out.err == (
        "smsapi-async: delimiter: ;\nsmsapi-async: without --ledger, an interrupted run cannot be continued\n"
    )
    assert re.search(r"accepted +12\b", out.out)
    assert "segments of this run: 12" in out.out
    assert "Known before" not in out.out
    assert sent(gateway) == [str(FIRST + index) for index in range(12)]
    by_number = {message.destination_address: message for message in gateway.account.messages}
    reported = read_report(tmp_path / "out.csv")
    assert [int(row["line"]) for row in reported] == list(range(2, 14))
    for row in reported:
        message = by_number[row["number"]]
        assert message.text == f"Hello, n{(int(row['line']) - 2) % 3}!"
        assert row["segment_ids"].split() == list(message.segment_ids)
        assert row["outcome"] == "accepted"
    assert "Hello" not in (tmp_path / "out.csv").read_text("utf-8")


@pytest.mark.usefixtures("environment")
def test_the_report_is_for_its_owner(cli: Cli, recipients: Path, tmp_path: Path) -> None:
    """Only the owner can read a report, even if the report replaces a file that all users could read."""
    path = tmp_path / "out.csv"
    path.write_text("old\n" * 1000, "utf-8")
    path.chmod(0o644)
    assert cli("batch", str(recipients), "--text", TEXT, "--report", str(path)).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "old" not in path.read_text("utf-8")


@pytest.mark.usefixtures("environment")
def test_again_with_a_ledger(cli: Cli, gateway: Sandbox, recipients: Path, tmp_path: Path) -> None:
    """A second run with the ledger of the first run sends nothing.

    The output of the second run counts the messages that the first run has sent.
    """
    command = ["batch", str(recipients), "--text", TEXT, "--ledger", str(tmp_path / "run.db")]
    first = cli(*command, "--json")
    assert (first.code, first.err) == (0, "smsapi-async: delimiter: ;\n")
    assert (counts(first), first.document["segments"]) == ({"accepted": 12}, 12)
    again = cli(*command, "--json").document
    assert (again["accepted"], again["recorded"]["accepted"], again["segments"]) == (12, 12, 0)
    assert re.search(r"accepted +12 +12\b", cli(*command).out)
    assert len(sent(gateway)) == 12


@pytest.mark.usefixtures("environment")
def test_redacted(cli: Cli, tmp_path: Path, recipients: Path) -> None:
    """With `--redact`, neither the ledger nor the report contains a full number or a text."""
    ledger, out = tmp_path / "run.db", tmp_path / "out.csv"
    command = ["batch", str(recipients), "--text", TEXT, "--ledger", str(ledger), "--report", str(out)]
    assert cli(*command, "--redact").code == 0
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path != recipients)
    assert str(FIRST)[:9].encode() not in written
    assert b"Hello" not in written
    assert read_report(out)[0]["number"].startswith("***")


@pytest.mark.usefixtures("environment")
def test_bad_rows_and_refusals(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """A bad row or a phone number that the gateway refuses does not stop the batch.

    The report contains the line of each bad or refused row, and the reason.
    """
    path = table(tmp_path, 3, "12;a\n79031230806;n0\n79031239999\n")
    outcome = cli("batch", str(path), "--text", TEXT, "--report", str(tmp_path / "out.csv"), "--json")
    assert outcome.code == ExitCode.REJECTED
    assert counts(outcome) == {"accepted": 3, "rejected": 1, "bad_rows": 2}
    assert "3 accepted, 1 rejected, 2 bad rows" in outcome.err
    assert [row["line"] for row in outcome.document["first_bad_rows"]] == [5, 7]
    assert outcome.document["rows"] == 6
    by_line = {int(row["line"]): row for row in read_report(tmp_path / "out.csv")}
    assert (by_line[5]["outcome"], by_line[5]["why"].split(":")[0]) == ("bad row", "phone")
    assert (by_line[6]["outcome"], by_line[6]["code"]) == ("rejected", "6")
    assert len(sent(gateway)) == 3
    shown = cli("batch", str(path), "--text", TEXT).out
    assert "Bad rows" in shown
    assert "name: an empty value" in shown


@pytest.mark.usefixtures("environment")
def test_many_bad_rows(cli: Cli, tmp_path: Path) -> None:
    """If more than 20 rows are bad, `batch` prints only the first 20 bad rows.

    The report of the batch contains all bad rows, even if more than 20 rows are bad.
    """
    path = table(tmp_path, 1, "x;y\n" * 1200)
    outcome = cli("batch", str(path), "--text", TEXT, "--report", str(tmp_path / "out.csv"))
    assert "the first 20 of 1,200" in outcome.out
    assert len(read_report(tmp_path / "out.csv")) == 1201


@pytest.mark.usefixtures("environment")
def test_keys_name_the_rows(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """A row is rejected and not sent if the ledger contains its key with a different text."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"key": "a", "phone": "79031234567", "text": "One"}\n', "utf-8")
    ledger = ["--ledger", str(tmp_path / "run.db"), "--report", str(tmp_path / "out.csv")]
    assert cli("batch", str(path), *ledger).code == 0
    assert cli("batch", str(path), *ledger).code == 0
    assert cli("batch", str(path), "--text", "Two", *ledger).code == ExitCode.REJECTED
    assert [message.text for message in gateway.account.messages] == ["One"]
    (row,) = read_report(tmp_path / "out.csv")
    assert (row["key"], row["outcome"]) == ("a", "rejected")
    assert "a different message with the same key" in row["why"]


@pytest.mark.usefixtures("environment")
def test_a_report_executes_nothing(cli: Cli, tmp_path: Path) -> None:
    """A spreadsheet that opens a report executes no cell as a formula, and a phone number stays usable."""
    keys = ["=1+1", "+1+1", "-1+1", "@SUM(1)", "\uff1d1+1", "order-1", "+79031234599", "-5"]
    rows = [{"key": key, "phone": f"+7903123456{index}", "text": "One"} for index, key in enumerate(keys)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ledger = ["--ledger", str(tmp_path / "run.db"), "--report", str(tmp_path / "out.csv")]
    assert cli("batch", str(path), *ledger).code == 0
    report_rows = read_report(tmp_path / "out.csv")
    assert [row["key"] for row in report_rows] == ["'" + key for key in keys[:5]] + keys[5:]
    numbers = [row["phone"].removeprefix("+") for row in rows]
    assert [row["number"] for row in report_rows] == numbers


@pytest.mark.usefixtures("environment")
def test_standard_input(cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`batch -` reads CSV or JSON lines from standard input."""
    for content in (b"phone,name\n79031234567,a\n", b'{"phone": 79031234568, "name": "b"}\n'):
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        with open(reading, encoding="utf-8") as stream:
            monkeypatch.setattr("sys.stdin", stream)
            assert counts(cli("batch", "-", "--text", TEXT, "--json")) == {"accepted": 1}
    assert sent(gateway) == ["79031234567", "79031234568"]


@pytest.mark.usefixtures("environment")
def test_options_reach_the_gateway(cli: Cli, gateway: Sandbox, recipients: Path) -> None:
    """The requests of `batch` contain the source address, send date and validity that the options set.

    `--recipients-per-request` limits the number of recipients in a request.
    """
    options = ["--source-address", "OTHER", "--send-date", "2031-01-28T16:00:00+03:00", "--validity", "10"]
    size = ["--recipients-per-request", "5", "--concurrency", "1", "--requests-per-second", "500"]
    assert cli("batch", str(recipients), "--text", "Hi", "--column", "phone", *options, *size).code == 0
    message = gateway.account.messages[0]
    assert (message.source_address, message.validity) == ("OTHER", 10)
    assert f"{message.send_date:%Y-%m-%dT%H:%M}" == "2031-01-28T13:00"
    # Expect at least three requests, because on a busy machine a request may contain fewer recipients than
    # the option allows.
    assert gateway.account.count("Sms/SendBulk") >= 3


@pytest.mark.usefixtures("environment")
def test_messages_in_flight(gateway: Sandbox, recipients: Path, tmp_path: Path) -> None:
    """With `--max-in-flight 4`, the death of a batch leaves at most four messages with an unknown outcome."""
    ledger = str(tmp_path / "run.db")
    options = ["--text", "Hi", "--ledger", ledger, "--max-in-flight", "4", "--recipients-per-request", "2"]
    with gateway.hold("Sms/SendBulk") as gate:
        process = started("batch", str(recipients), *options, stdout=subprocess.DEVNULL)
        anyio.run(gate.arrived, 2)
        process.kill()
        process.communicate()
    process = started("ledger", "summary", ledger, "--json")
    assert json.loads(process.communicate()[0])["unknown"] == 4


@pytest.mark.usefixtures("environment")
def test_by_time_zone(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """With `--by-time-zone`, `batch` makes one request for each row."""
    options = ["--by-time-zone", "--send-date", "2031-01-28T09:00:00"]
    assert cli("batch", str(table(tmp_path, 2)), "--text", "Hi", *options).code == 0
    assert gateway.account.count("Sms/SendByTimeZone") == 2


REFUSED = [
    (["--text", "Hello, {nam}!"], "the columns are 'phone', 'name'"),
    (["--text", "Hello, {name.upper}!"], "--text"),
    ([], "--text"),
    (["--text", ""], "text"),
    (["--text", TEXT, "--column", "mobile"], "--column"),
    (["--text", TEXT, "--concurrency", "0"], "--concurrency"),
    (["--text", TEXT, "--requests-per-second", "-1"], "--requests-per-second"),
    (["--text", TEXT, "--recipients-per-request", "0"], "--recipients-per-request"),
    (["--text", TEXT, "--max-in-flight", "0"], "--max-in-flight"),
    (["--text", TEXT, "--send-date", "2031-01-28T09:00:00"], "--send-date"),
    (["--text", TEXT, "--by-time-zone"], "--send-date"),
    (["--text", TEXT, "--validity", "-1"], "--validity"),
    (["--text", TEXT, "--source-address", "Отправитель"], "--source-address"),
    (["--text", TEXT, "--report", "/"], "--report"),
    (["--text", TEXT, "--report", "/dev/full/x"], "--report"),
    (["--text", TEXT, "--report", "/dev/full"], "--report"),
    (["--text", TEXT, "--report", "out.xls"], ".csv or .xlsx"),
    (["--text", TEXT, "--report", "/nowhere/out.xlsx"], "--report"),
    (["--text", TEXT, "--excel"], "--report"),
    (["--text", TEXT, "--ledger", "/dev/null"], "/dev/null"),
]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda value: " ".join(value)[-40:])
def test_bad_input(cli: Cli, gateway: Sandbox, recipients: Path, options: list[str], words: str) -> None:
    """For an invalid option, `batch` prints an error line that explains the mistake, and makes no request."""
    outcome = cli("batch", str(recipients), *options)
    assert outcome.code in {ExitCode.BAD_INPUT, ExitCode.NOT_SENT}
    assert outcome.out == ""
    assert words in outcome.err.splitlines()[-1]
    assert gateway.account.arrivals == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("name", "words"),
    [("--txt", "option: --txt (did you mean --text?)"), ("nowhere.csv", "RECIPIENTS"), ("-", "RECIPIENTS")],
)
def test_no_recipients(cli: Cli, name: str, words: str) -> None:
    """If an option is unknown, or if the recipients cannot be read, `batch` returns exit code 2."""
    outcome = cli("batch", name, "--text", TEXT)
    assert outcome.code == ExitCode.BAD_INPUT
    assert words in outcome.err


@pytest.mark.usefixtures("environment")
def test_the_report_does_not_overwrite_the_input(cli: Cli, recipients: Path, tmp_path: Path) -> None:
    """`batch` refuses a report that would overwrite the recipients file.

    `batch` also refuses a report whose path is a symbolic link to the recipients file.
    """
    before = recipients.read_bytes()
    (tmp_path / "link.csv").symlink_to(recipients)
    for name in ("recipients.csv", "link.csv"):
        outcome = cli("batch", str(recipients), "--text", TEXT, "--report", str(tmp_path / name))
        assert (outcome.code, "--report" in outcome.err) == (ExitCode.BAD_INPUT, True)
    assert recipients.read_bytes() == before


@pytest.mark.usefixtures("environment")
def test_halted_and_taken_up(cli: Cli, gateway: Sandbox, recipients: Path, tmp_path: Path) -> None:
    """If the balance is too low, `batch` stops and prints the reason.

    A later run with the ledger of the stopped run sends the remaining rows.
    """
    gateway.balance = "6"
    options = ["--recipients-per-request", "4", "--concurrency", "1", "--ledger", str(tmp_path / "run.db")]
    command = ["batch", str(recipients), "--text", TEXT, *options]
    halted = cli(*command, "--report", str(tmp_path / "out.csv"), "--json")
    assert halted.code == ExitCode.REJECTED
    assert counts(halted) == {"accepted": 4, "pending": 8}
    assert halted.document["ending"] == "halted"
    assert "halted (the gateway refused (code 5" in halted.err
    assert "8 not sent; run the same command with the same ledger to continue" in halted.err
    assert [row["outcome"] for row in read_report(tmp_path / "out.csv")].count("pending") == 8
    gateway.balance = "100"
    assert counts(cli(*command, "--json")) == {"accepted": 12}
    assert sent(gateway) == [str(FIRST + index) for index in range(12)]


@pytest.mark.usefixtures("environment", "once")
def test_nobody_listens(cli: Cli, recipients: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no gateway listens at the base URL, all rows stay pending, and the exit code is 4 (not sent)."""
    monkeypatch.setenv("SMSAPI_BASE_URL", "http://127.0.0.1:1/rest")
    outcome = cli("batch", str(recipients), "--text", TEXT, "--json")
    assert outcome.code == ExitCode.NOT_SENT
    assert counts(outcome) == {"pending": 12}


@pytest.mark.usefixtures("environment")
def test_unknown(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """If the response to a bulk is invalid, the outcomes of its messages are unknown.

    A run with unknown outcomes and the next run with its ledger return exit code 5.
    """
    gateway.answer_next("Sms/SendBulk", body=b"<html>", accept=True)
    command = ["batch", str(table(tmp_path, 2)), "--text", "Hi", "--json"]
    outcome = cli(*command, "--ledger", str(tmp_path / "run.db"))
    assert (outcome.code, counts(outcome)) == (ExitCode.OUTCOME_UNKNOWN, {"unknown": 2})
    assert "2 OUTCOME UNKNOWN" in outcome.err
    assert "smsapi-async ledger unknown" in outcome.err
    assert cli(*command, "--ledger", str(tmp_path / "run.db")).code == ExitCode.OUTCOME_UNKNOWN
    assert gateway.account.count("Sms/SendBulk") == 1
    gateway.answer_next("Sms/SendBulk", body=b"<html>", accept=True)
    assert "do not send these messages again" in cli(*command).err


@pytest.mark.usefixtures("environment")
def test_ids_unattributed(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """If the gateway returns 3 segment ids for 2 messages, each row of the report contains all 3 ids.

    If segment ids cannot be divided among the messages, the exit code of `batch` is 7.
    """
    gateway.answer_next("Sms/SendBulk", body=b'["11","12","13"]')
    out = tmp_path / "out.csv"
    outcome = cli("batch", str(table(tmp_path, 2)), "--text", "Hi", "--report", str(out), "--json")
    assert outcome.code == ExitCode.IDS_UNATTRIBUTED
    assert (outcome.document["segments"], outcome.document["unattributed"]) == (3, 2)
    assert [(row["segment_ids"], row["why"]) for row in read_report(out)] == [
        ("11 12 13", "these segment ids belong to several messages")
    ] * 2


@pytest.mark.usefixtures("environment")
def test_the_report_cannot_be_written_any_more(
    cli: Cli, gateway: Sandbox, recipients: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the report cannot grow any more, `batch` stops, prints the reason, and returns exit code 1."""
    monkeypatch.setattr(report, "ROWS_AT_ONCE", 2)
    options = ["--recipients-per-request", "1", "--concurrency", "1", "--report", str(tmp_path / "out.csv")]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
    try:
        outcome = cli("batch", str(recipients), "--text", TEXT, *options, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert outcome.code == ExitCode.UNEXPECTED
    assert "the report could not be written (File too large)" in outcome.err
    assert counts(outcome)["accepted"] == len(sent(gateway))
    assert counts(outcome)["accepted"] + counts(outcome)["pending"] == 12
    assert counts(outcome)["accepted"] <= 8


@pytest.mark.usefixtures("environment")
def test_the_rest_cannot_be_read(
    cli: Cli, gateway: Sandbox, recipients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If reading the recipients file fails, `batch` sends the rows before the failure.

    The rows that `batch` could not read are pending.
    """
    real = rows.Table.block
    calls = iter(range(4))

    def block(table: Any, _: int) -> Any:
        if next(calls, None) is None:
            raise ValidationError("RECIPIENTS", "the rest", "reading it failed")
        return real(table, 1)

    monkeypatch.setattr(rows.Table, "block", block)
    outcome = cli("batch", str(recipients), "--text", TEXT, "--json")
    assert outcome.code == ExitCode.UNEXPECTED
    assert counts(outcome) == {"accepted": 4, "pending": 8}
    assert "reading it failed" in outcome.err
    assert len(sent(gateway)) == 4


def test_counts_of_what_was_not_counted() -> None:
    """If the total number of rows is not known, the number of unsent rows is only a minimum.

    If the total is not known, the error line says "at least 3 not sent".
    """
    tally = BatchCounts(left=3, is_interrupted=True)
    failure = tally.failure()
    assert failure is not None
    assert "at least 3 not sent" in failure.line
    assert tally.pending == 3


@pytest.mark.anyio
@pytest.mark.parametrize("with_ledger", [False, True])
async def test_faults(tmp_path: Path, *, with_ledger: bool) -> None:
    """If connections fail during a batch, each message is accepted or unknown, and none is sent twice."""
    faults = [Fault.PASS, Fault.RESET_AFTER_PASS, Fault.ERROR_502, Fault.PASS, Fault.ERROR_500_AFTER_PASS]
    plan = BatchPlan(
        recipients=str(table(tmp_path, 12)),
        template=Template.parse(TEXT),
        common=SharedFields(source_address="ACME"),
        record=LedgerOptions(ledger=str(tmp_path / "run.db") if with_ledger else None),
        pace=PaceOptions(recipients_per_request=2),
    )
    async with run_sandbox(faults=FaultPlan.script(faults, resource="Sms/SendBulk")) as sandbox:

        def client() -> AsyncSmsClient:
            return AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url)

        tally = await run_batch(plan, client())
        assert (tally.counts[Accepted], tally.counts[Unknown], tally.pending) == (6, 6, 0)
        assert sandbox.proxy is not None
        if with_ledger:
            again = await run_batch(plan, client())
            assert again.counts == again.recorded == tally.counts
        passed_on = [entry for entry in sandbox.proxy.history if entry.resource == "Sms/SendBulk"]
        assert len(passed_on) == 6
        numbers = [message.destination_address for message in sandbox.account.messages]
        assert len(set(numbers)) == len(numbers) == 10


@pytest.mark.usefixtures("environment", "gateway")
@pytest.mark.parametrize(("installed", "loop"), [(True, "uvloop"), (False, "asyncio.unix_events")])
def test_a_batch_takes_the_faster_loop_where_there_is_one(
    cli: Cli, recipients: Path, monkeypatch: pytest.MonkeyPatch, installed: bool, loop: str
) -> None:
    """`batch` runs on uvloop if uvloop is installed, and on the default event loop otherwise."""
    pytest.importorskip("uvloop")
    loops: list[str] = []

    async def watched(plan: BatchPlan, client: AsyncSmsClient) -> BatchCounts:
        loops.append(type(asyncio.get_running_loop()).__module__)
        return await run_batch(plan, client)

    monkeypatch.setattr(batch_invocations, "run_batch", watched)
    if not installed:
        monkeypatch.setattr(invocations, "find_spec", lambda _: None)
    out = cli("batch", str(recipients), "--text", TEXT, "--json")
    assert (out.code, out.document["accepted"], loops) == (ExitCode.DONE, 12, [loop])
