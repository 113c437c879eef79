"""Tests of `track` and `batch --wait`: counts, exit codes, Ctrl-C, a second run, and the live table."""

import io
import json
import os
import random
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from smsapi_async.cli.batch.batch_options import LedgerOptions, ResultOptions
from smsapi_async.cli.batch.batch_run import BatchPlan, run_batch
from smsapi_async.cli.batch.row_converter import SharedFields
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.track_run import open_and_track
from smsapi_async.cli.tracking_counts import TrackingCounts
from smsapi_async.client import AsyncSmsClient
from smsapi_async.clock import SystemClock
from smsapi_async.errors import LedgerError, LedgerUnwritable
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from smsapi_async.models import Message
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery, Schedule
from tests.cli.conftest import PASSWORD, Cli
from tests.cli.test_failures import Terminal
from tests.cli.test_process import read_until, started

# With this schedule, a state is requested every 20 milliseconds, so that the tests do not wait for the
# default intervals.


class Dense(Schedule):
    """A schedule with a request every 20 milliseconds. A test can use this class as the default schedule."""

    def wait(self, age: float, chance: random.Random) -> float:
        assert age >= 0
        return chance.uniform(0.018, 0.022)


DENSE = Dense()
FAST: Any = {"login": "somebody", "password": PASSWORD, "speed": 100}


class Earlier(SystemClock):
    """A clock that is one minute slow, so that the first state request for a new message is due at once."""

    def now(self) -> datetime:
        return super().now() - timedelta(minutes=1)


class Jumping(SystemClock):
    """A clock that jumps forward by half an hour, less than the validity, when `has_jumped` becomes true."""

    has_jumped = False

    def monotonic(self) -> float:
        return super().monotonic() + 1800 * self.has_jumped

    async def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while self.monotonic() < end:  # noqa: ASYNC110 - a jump ends the wait
            await anyio.sleep(0.005)


@pytest.fixture
def gateway() -> Iterator[Sandbox]:
    """Yield a sandbox with a fast clock, in which a message becomes final after 50 milliseconds."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(run_sandbox(**FAST)) as sandbox,
    ):
        yield sandbox


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the commands request the state of a message every 20 milliseconds."""
    monkeypatch.setattr("smsapi_async.client.Schedule", Dense)


async def fill(sandbox: Sandbox, path: Path, *endings: str, text: str = "Hello") -> None:
    """Send messages through a ledger, and advance the clock of the sandbox, so that states become final.

    Args:
        sandbox: the sandbox that accepts the messages.
        path: the path of the ledger file.
        endings: for each message, the last three digits of its phone number, which determine its final state.
        text: the text of all messages.
    """
    client = AsyncSmsClient(
        sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME", clock=Earlier()
    )
    messages = [Message("79031230" + ending, text, validity=60) for ending in endings]
    async with (
        Ledger.sqlite(path) as ledger,
        client as sms,
        sms.send_many(messages, ledger=ledger) as outcomes,
    ):
        async for _ in outcomes:
            pass
    sandbox.advance(seconds=10)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Return the path of a ledger file for the test. The file does not exist yet."""
    return tmp_path / "run.db"


def asked(gateway: Sandbox) -> int:
    """Return the number of state requests that the gateway has received."""
    return sum(arrival.resource == "Sms/State" for arrival in gateway.account.arrivals)


def sandbox_client(sandbox: Sandbox) -> AsyncSmsClient:
    """Return a client for the sandbox; the caller must enter it with ``async with``."""
    return AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url)


@pytest.mark.usefixtures("environment")
def test_all_delivered(cli: Cli, gateway: Sandbox, ledger: Path) -> None:
    """If all messages were delivered, `track` returns exit code 0, and a second run makes no request."""
    anyio.run(fill, gateway, ledger, "001", "002", "003")
    first = cli("track", str(ledger), "--json")
    assert (first.code, first.err, first.document["delivered"]) == (0, "", 3)
    assert first.document["requests"] == asked(gateway) == 3
    again = cli("track", str(ledger), "--json")
    assert (again.code, again.document["delivered"], again.document["requests"]) == (0, 3, 0)
    assert asked(gateway) == 3


@pytest.mark.usefixtures("environment")
def test_failures_for_people(cli: Cli, gateway: Sandbox, ledger: Path) -> None:
    """If messages failed, `track` prints their number for each reason and returns exit code 3.

    If standard output is not a terminal, the output of `track` has no control codes.
    """
    anyio.run(fill, gateway, ledger, "001", "946", "942", "846", "946")
    outcome = cli("track", str(ledger))
    assert outcome.code == ExitCode.REJECTED
    assert outcome.err == "smsapi-async: done, but not all messages were delivered: 2 delivered, 2 failed\n"
    rows = [" ".join(line.split()) for line in outcome.out.splitlines()]
    for row in ("delivered 2", "failed 2", "expired: validity ran out 1", "rejected by the SMS centre 1"):
        assert row in rows
    assert "requests of this run: 4" in rows
    assert "\x1b" not in outcome.out


@pytest.mark.usefixtures("environment")
def test_deadline(cli: Cli, gateway: Sandbox, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a message is not final at its deadline, `track` returns exit code 5.

    After the deadline of a message, a second run of `track` makes no request about the message.
    """
    clock, record = Jumping(), SqliteLedger.record
    phases: set[Phase] = set()

    async def recorded(self: SqliteLedger, deliveries: Sequence[Delivery]) -> None:
        await record(self, deliveries)
        # The clock jumps when the deadlines of both messages are known.
        phases.update(each.phase for each in deliveries)
        clock.has_jumped |= phases >= {Phase.DELIVERED, Phase.ENROUTE}

    anyio.run(fill, gateway, ledger, "001", "901")
    monkeypatch.setattr("smsapi_async.settings.SystemClock", lambda: clock)
    monkeypatch.setattr(SqliteLedger, "record", recorded)
    outcome = cli("track", str(ledger), "--deadline", "60", "--json")
    assert outcome.code == ExitCode.OUTCOME_UNKNOWN
    assert (outcome.document["delivered"], outcome.document["enroute"]) == (1, 1)
    assert "1 delivered, 1 enroute" in outcome.err
    assert cli("track", str(ledger), "--json").document["requests"] == 0


@pytest.mark.usefixtures("environment", "dense")
def test_for_some_seconds(cli: Cli, gateway: Sandbox, ledger: Path) -> None:
    """After the time of `--for`, `track` says so and returns exit code 5 if a message is not final."""
    anyio.run(fill, gateway, ledger, "001", "901")
    outcome = cli("track", str(ledger), "--for", "0.3", "--json")
    assert outcome.code == outcome.document["error"]["exit_code"] == ExitCode.OUTCOME_UNKNOWN
    assert (outcome.document["ending"], outcome.document["enroute"]) == ("time over", 1)
    assert "the time of --for is over: 1 delivered, 1 enroute; run `track`" in outcome.err


@pytest.mark.anyio
async def test_nobody_is_given_up(ledger: Path) -> None:
    """Each run of `track --for` asks for the messages that the run before has left enroute."""
    async with run_sandbox() as sandbox:
        await fill(sandbox, ledger, "901")
        for _ in range(2):
            tally = await open_and_track(str(ledger), sandbox_client(sandbox), longest=0.5, schedule=DENSE)
            assert tally.requests > 0
            assert (tally.ending, tally.counts[Phase.ENROUTE]) == ("time over", 1)


@pytest.mark.usefixtures("environment", "dense")
def test_done_before_the_time_is_over(cli: Cli, gateway: Sandbox, ledger: Path) -> None:
    """If all messages are final before the time of `--for` is over, `track` ends at once with code 0."""
    anyio.run(fill, gateway, ledger, "001", "002")
    outcome = cli("track", str(ledger), "--for", "3600", "--json")
    assert (outcome.code, outcome.err, outcome.document["ending"]) == (0, "", "done")


@pytest.mark.usefixtures("environment")
def test_interrupted_and_taken_up(gateway: Sandbox, ledger: Path) -> None:
    """After Ctrl-C, `track` returns exit code 130.

    The run of `track` after Ctrl-C requests only the states that are not final.
    """
    pty = pytest.importorskip("pty")
    anyio.run(fill, gateway, ledger, "001", "002", "003", "901")
    ours, theirs = pty.openpty()
    process = started("track", str(ledger), "--json", stderr=theirs)
    os.close(theirs)
    shown = read_until(ours, "requests of this run: 4")
    assert "final per second" in shown + read_until(ours, "final per second")
    process.send_signal(signal.SIGINT)
    last = read_until(ours, "to continue")
    document = json.loads(process.communicate()[0])
    os.close(ours)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "interrupted: 3 delivered, 1 enroute" in last
    assert (document["ending"], document["delivered"], document["enroute"]) == ("interrupted", 3, 1)
    gateway.advance(hours=2)
    process = started("track", str(ledger), "--json")
    document = json.loads(process.communicate()[0])
    assert process.returncode == ExitCode.REJECTED
    assert (document["delivered"], document["enroute"], document["requests"]) == (3, 0, 1)
    assert document["failed_by_state"] == [{"state": 46, "words": "expired: validity ran out", "messages": 1}]
    assert asked(gateway) == 5


@pytest.mark.usefixtures("environment")
def test_refused_credentials(
    cli: Cli, gateway: Sandbox, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the gateway refuses the credentials, `track` returns exit code 3 and still prints the counts."""
    anyio.run(fill, gateway, ledger, "001")
    monkeypatch.setenv("SMSAPI_PASSWORD", "another")
    outcome = cli("track", str(ledger), "--json")
    assert (outcome.code, outcome.document["ending"]) == (ExitCode.REJECTED, "halted")
    assert "0 delivered, 1 enroute; run `track`" in outcome.err


@pytest.mark.usefixtures("environment")
def test_a_ledger_that_cannot_be_written(
    cli: Cli, gateway: Sandbox, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk is full, `track` must not return exit code 4.

    Exit code 4 would mean that the messages were not sent and may be sent again.
    """
    anyio.run(fill, gateway, ledger, "001")

    async def full(*_: object) -> None:
        raise LedgerUnwritable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("smsapi_async.ledger.sqlite.sqlite_ledger.SqliteLedger.record", full)
        outcome = cli("track", str(ledger))
    assert outcome.code == ExitCode.UNEXPECTED
    assert "halted (" in outcome.err
    monkeypatch.setattr(Ledger, "__aenter__", full)
    assert cli("track", str(ledger)).code == ExitCode.BAD_INPUT


@pytest.mark.usefixtures("environment")
def test_what_cannot_be_followed(cli: Cli, gateway: Sandbox, ledger: Path, tmp_path: Path) -> None:
    """If the ledger has no segment ids for a message, `track` returns exit code 7."""
    rows = tmp_path / "rows.csv"
    rows.write_text("phone,key\n79031230001,first\n", "utf-8")
    gateway.answer_next("Sms/Send", status=500, body=b'{"Code":9,"Desc":"Internal error"}', accept=True)
    assert cli("batch", str(rows), "--text", "Hi", "--ledger", str(ledger)).code == ExitCode.OUTCOME_UNKNOWN
    assert cli("ledger", "resolve", str(ledger), "first", "--sent").code == 0
    outcome = cli("track", str(ledger))
    assert outcome.code == ExitCode.IDS_UNATTRIBUTED
    assert "cannot be followed         1" in outcome.out
    assert "0 delivered, 1 that cannot be followed" in outcome.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["track", "nowhere.db"], "LEDGER"),
        (["track", "NOT_A_LEDGER"], "not a ledger"),
        (["track", "NOT_A_LEDGER", "--deadline", "0"], "--deadline"),
        (["batch", __file__, "--text", "Hi", "--wait"], "pass --ledger"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_bad_input(cli: Cli, gateway: Sandbox, tmp_path: Path, command: list[str], words: str) -> None:
    """For invalid input, `track` and `batch --wait` print one line, return 2, and make no request."""
    text = tmp_path / "text.db"
    text.write_text("no ledger")
    outcome = cli(*[str(text) if each == "NOT_A_LEDGER" else each for each in command])
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, "", 1)
    assert words in outcome.err
    assert not gateway.account.arrivals


@pytest.mark.usefixtures("environment", "dense")
def test_batch_wait(cli: Cli, gateway: Sandbox, ledger: Path, tmp_path: Path) -> None:
    """`batch --wait` prints the outcomes and the final states.

    If the delivery of a message has failed, `batch --wait` returns exit code 3.
    """
    rows = tmp_path / "rows.csv"
    rows.write_text("phone\n79031230001\n79031230946\n", "utf-8")
    command = ["batch", str(rows), "--text", "Hi", "--ledger", str(ledger), "--wait"]
    outcome = cli(*command, "--json")
    assert (outcome.code, outcome.document["accepted"]) == (ExitCode.REJECTED, 2)
    following = outcome.document["following"]
    assert (following["delivered"], following["failed"], following["enroute"]) == (1, 1, 0)
    again = cli(*command).out
    assert "segments of this run: 0" in again
    assert "expired: validity ran out" in again
    assert len(gateway.account.messages) == 2


@pytest.mark.usefixtures("environment", "dense")
def test_batch_wait_with_unknown_messages(cli: Cli, gateway: Sandbox, ledger: Path, tmp_path: Path) -> None:
    """`batch --wait` also says how many messages of earlier runs may have been sent, and how to list them."""
    rows = tmp_path / "rows.csv"
    command = ["batch", str(rows), "--text", "Hi", "--ledger", str(ledger)]
    gateway.answer_next("Sms/Send", status=500, body=b'{"Code":9,"Desc":"Internal error"}', accept=True)
    rows.write_text("phone\n79031230001\n", "utf-8")
    assert cli(*command).code == ExitCode.OUTCOME_UNKNOWN
    rows.write_text("phone\n79031230002\n", "utf-8")
    outcome = cli(*command, "--wait", "--json")
    assert (outcome.code, outcome.document["unknown"]) == (ExitCode.OUTCOME_UNKNOWN, 0)
    following = outcome.document["following"]
    assert (following["delivered"], following["unknown_sends"]) == (1, 1)
    assert "1 OUTCOME UNKNOWN (not followed); `smsapi-async ledger unknown` lists" in outcome.err


@pytest.mark.anyio
async def test_on_either_loop(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`track` follows each message until the message is final, and shows the live table on a terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    async with run_sandbox(**FAST) as sandbox:
        await fill(sandbox, ledger, "001", "946", text="x" * 200)
        following = await open_and_track(str(ledger), sandbox_client(sandbox), schedule=DENSE)
    assert following.counts == {
        Phase.DELIVERED: 1,
        Phase.FAILED: 1,
        Phase.ENROUTE: 0,
        Phase.UNKNOWN: 0,
    }
    assert (following.finals, following.ending) == (2, "done")
    assert "requests of this run" in terminal.getvalue()


@pytest.mark.anyio
async def test_interrupted_while_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C, `batch --wait` returns exit code 130.

    After Ctrl-C, the command `track` can continue with the ledger of the batch.
    """
    monkeypatch.setattr("sys.stderr", io.StringIO())
    rows = tmp_path / "rows.csv"
    rows.write_text("phone\n79031230001\n79031230002\n", "utf-8")
    plan = BatchPlan(
        recipients=str(rows),
        template=Template.parse("Hi"),
        common=SharedFields(source_address="ACME"),
        record=LedgerOptions(ledger=str(tmp_path / "run.db")),
        result=ResultOptions(wait=True),
    )
    monkeypatch.setattr("smsapi_async.client.Schedule", Dense)
    tallies = []
    async with run_sandbox(**FAST) as sandbox:

        async def run() -> None:
            tallies.append(await run_batch(plan, sandbox_client(sandbox)))

        with sandbox.hold("Sms/State") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await gate.arrived(2)
                os.kill(os.getpid(), signal.SIGINT)
        failure = tallies[0].failure()
        assert failure is not None
        assert (failure.code, tallies[0].ending) == (ExitCode.INTERRUPTED, "done")
        assert "0 delivered, 2 enroute" in failure.line
        following = await open_and_track(str(plan.ledger), sandbox_client(sandbox), schedule=DENSE)
    assert (following.counts[Phase.DELIVERED], following.failure()) == (2, None)


def test_the_code_of_a_ledger_that_broke() -> None:
    """If the ledger fails during the run, `track` returns exit code 1."""
    failure = TrackingCounts(halted=LedgerError("broken")).failure()
    assert failure is not None
    assert failure.code == ExitCode.UNEXPECTED
