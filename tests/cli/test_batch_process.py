"""Tests of `batch` with signals, a terminal and standard input; most tests start a separate process."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from smsapi_async.cli.batch import batch_run
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_options import LedgerOptions, PaceOptions
from smsapi_async.cli.batch.batch_run import BatchPlan, run_batch
from smsapi_async.cli.batch.row_converter import SharedFields
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.client import AsyncSmsClient
from smsapi_async.outcomes import Accepted, Unknown
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.cli.test_batch import TEXT, read_report, sent, table
from tests.cli.test_process import read_until, started

ROWS = 60
# With these options, each request has five recipients. The rows have three different texts, because `table`
# uses three names.
OPTIONS = ["--recipients-per-request", "5", "--concurrency", "2", "--text", TEXT]


def interrupted(process: subprocess.Popen[str]) -> None:
    """Send SIGINT to the process, and wait until the process prints that it is stopping."""
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    while "stopping" not in process.stderr.readline():
        assert process.poll() is None


@pytest.mark.usefixtures("environment")
def test_interrupted_and_taken_up(gateway: Sandbox, tmp_path: Path) -> None:
    """After Ctrl-C, `batch` waits for the requests in flight, and later runs send each remaining row once."""
    recipients, out = str(table(tmp_path, ROWS)), tmp_path / "out.csv"
    command = ["batch", recipients, *OPTIONS, "--ledger", str(tmp_path / "run.db"), "--json"]
    for accepted in (10, 20):
        with gateway.hold("Sms/SendBulk") as gate:
            process = started(*command, "--report", str(out))
            anyio.run(gate.arrived, 2)
            interrupted(process)
        stdout, stderr = process.communicate()
        document = json.loads(stdout)
        assert (process.returncode, document["ending"]) == (ExitCode.INTERRUPTED, "interrupted")
        assert len(gateway.account.messages) == accepted
        assert (document["accepted"], document["pending"]) == (accepted, ROWS - accepted)
        assert f"interrupted: {accepted} accepted, {ROWS - accepted} not sent; run the same comm" in stderr
        outcomes = [row["outcome"] for row in read_report(out)]
        assert (outcomes.count("accepted"), set(outcomes)) == (accepted, {"accepted", "pending"})
    process = started(*command)
    document = json.loads(process.communicate()[0])
    assert (process.returncode, document["accepted"], document["segments"]) == (0, ROWS, ROWS - 20)
    assert len(set(sent(gateway))) == len(sent(gateway)) == ROWS


@pytest.mark.usefixtures("environment")
def test_killed_and_taken_up(gateway: Sandbox, tmp_path: Path) -> None:
    """After SIGKILL, a second run continues the batch.

    The rows that were in flight at the SIGKILL have unknown outcomes, and no row is sent twice.
    """
    command = ["batch", str(table(tmp_path, ROWS)), *OPTIONS, "--ledger", str(tmp_path / "run.db"), "--json"]
    with gateway.hold("Sms/SendBulk") as gate:
        process = started(*command)
        anyio.run(gate.arrived, 2)
        process.kill()
        process.communicate()
    process = started(*command)
    document = json.loads(process.communicate()[0])
    assert process.returncode == ExitCode.OUTCOME_UNKNOWN
    assert (document["accepted"], document["unknown"]) == (ROWS - 10, 10)
    assert len(set(sent(gateway))) == len(sent(gateway)) == ROWS


@pytest.mark.usefixtures("environment")
def test_standard_input_that_never_ends(gateway: Sandbox) -> None:
    """`batch -` sends each row as soon as the row arrives.

    Ctrl-C ends the command even if the pipe is still open.
    """
    process = started("batch", "-", "--text", TEXT, "--json", stdin=subprocess.PIPE)
    assert process.stdin is not None
    with gateway.hold("Sms/Send") as gate:
        for count, row in enumerate(["phone,name\n79031230001,a\n", "79031230002,b\n"], start=1):
            process.stdin.write(row)
            process.stdin.flush()
            anyio.run(gate.arrived, count)
    interrupted(process)
    assert process.stdout is not None
    document = json.loads(process.stdout.read())
    assert process.wait() == ExitCode.INTERRUPTED
    assert (document["accepted"], document["rows"]) == (2, None)
    process.communicate()


@pytest.mark.usefixtures("environment")
def test_the_bar_on_a_terminal(gateway: Sandbox, tmp_path: Path) -> None:
    """On a terminal, a progress bar appears on standard error, and standard output contains only JSON."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with gateway.hold("Sms/SendBulk"):
        process = started("batch", str(table(tmp_path, 9)), *OPTIONS, "--json", stderr=theirs)
        os.close(theirs)
        shown = read_until(ours, "0/9")
        process.send_signal(signal.SIGTERM)
        shown += read_until(ours, "in flight")
    assert process.stdout is not None
    document = json.loads(process.stdout.read())
    assert process.wait() == ExitCode.INTERRUPTED
    os.close(ours)
    process.communicate()
    assert "sending" in shown
    assert document["accepted"] + document["pending"] == 9


def plan_of(folder: Path) -> BatchPlan:
    """Return the plan of a batch with sixty rows and five recipients per request."""
    return BatchPlan(
        recipients=str(table(folder, ROWS)),
        template=Template.parse("Hi"),
        common=SharedFields(source_address="ACME"),
        record=LedgerOptions(ledger=str(folder / "run.db")),
        pace=PaceOptions(recipients_per_request=5),
    )


async def run_and_stop(sandbox: Sandbox, plan: BatchPlan, stop: Callable[[], None]) -> BatchCounts:
    """Run a batch, wait until the sandbox holds two requests, call `stop`, and return the counts."""
    client = AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url, concurrency=2)
    tallies = []

    async def run() -> None:
        tallies.append(await run_batch(plan, client))

    with sandbox.hold("Sms/SendBulk") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await gate.arrived(2)
            stop()
    return tallies[0]


@pytest.mark.anyio
async def test_what_is_in_flight_for_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After Ctrl-C, `batch` waits a limited time for the requests in flight.

    If a request gets no response before the end of the wait, the outcomes of its messages are unknown.
    """
    monkeypatch.setattr(batch_run, "_GRACE", 0.1)

    def stop() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    plan = plan_of(tmp_path)
    async with run_sandbox() as sandbox:
        tally = await run_and_stop(sandbox, plan, stop)
        assert (tally.is_interrupted, tally.counts[Unknown], tally.pending) == (True, 10, ROWS - 10)
        failure = tally.failure()
        assert failure is not None
        assert failure.code == ExitCode.INTERRUPTED
        assert "10 OUTCOME UNKNOWN, 50 not sent" in failure.line
        assert len(re.findall("stopping", capsys.readouterr().err)) == 1
        client = AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url)
        again = await run_batch(plan, client)
        assert (again.counts[Accepted], again.counts[Unknown]) == (ROWS - 10, 10)
        numbers = sent(sandbox)
        assert len(set(numbers)) == len(numbers) == ROWS


def test_without_signals(tmp_path: Path) -> None:
    """`batch` also works outside the main thread, where no signals are received."""

    async def run() -> BatchCounts:
        async with run_sandbox() as sandbox:
            client = AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url)
            return await run_batch(plan_of(tmp_path), client)

    with ThreadPoolExecutor() as pool:
        assert pool.submit(anyio.run, run).result().counts[Accepted] == ROWS
