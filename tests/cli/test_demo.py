"""Tests of the command `demo`: its tables, its JSON and its live display, on asyncio and trio."""

import json
import math
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import AsyncSmsClient, SegmentState, State
from smsapi_async.cli import demo as steps
from smsapi_async.cli import demo_tracking
from smsapi_async.cli.demo import Demo
from smsapi_async.cli.demo_tracking import follow
from smsapi_async.cli.demo_view import demo_document, demo_view
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.output import write_json, write_view
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.cli.conftest import Cli, Outcome
from tests.client.tools import client_for, recorded_scopes, until

FAST = ["demo", "--speed", "200"]
NUMBER = re.compile(r"\d{11}")


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Run each test once on asyncio and once on trio."""
    name: str = request.param
    return name


def test_demo_for_people(cli: Cli, backend: str) -> None:
    """The demo prints four tables without control codes, in lines of at most 80 characters, and returns 0."""
    outcome = cli(*FAST, "--backend", backend)
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    assert "\x1b" not in outcome.out
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80
    titles = ["Messages", "Replies", "Statistics", "Balance"]
    assert [line.strip() for line in lines if line.strip() in titles] == titles
    states = [
        line.rstrip().removesuffix("1.50").rstrip() for line in lines if line.rstrip().endswith(" 1.50")
    ]
    assert states == [
        "Latin          ***01  1/1      delivered to the subscriber",
        "Cyrillic       ***00  1/3      delivered to the subscriber",
        "                      2/3      delivered to the subscriber",
        "                      3/3      delivered to the subscriber",
        "Bulk 1/4       ***02  1/1      delivered to the subscriber",
        "Bulk 2/4       ***46  1/1      expired",
        "Bulk 3/4       ***42  1/1      rejected by the SMS centre",
        "Bulk 4/4       ***03  1/1      delivered to the subscriber",
        "At 9:00 there  ***05  1/1      delivered to the subscriber",
    ]
    assert "Re: Здравствуйте!" in outcome.out
    assert "10000.00  13.50  9986.50" in outcome.out


def test_demo_for_programs(cli: Cli, backend: str) -> None:
    """With `--json`, the demo prints the final state of each segment, and all amounts are exact."""
    document = checked_document(cli(*FAST, "--json", "--backend", backend))
    states = [state["state"] for message in document["messages"] for state in message["states"]]
    assert states == [0, 0, 0, 0, 0, 46, 42, 0, 0]
    prices = [Decimal(state["price"]) for message in document["messages"] for state in message["states"]]
    assert sum(prices) == Decimal(document["spent"]) == Decimal("13.50")
    assert Decimal(document["balance_before"]) - Decimal(document["spent"]) == Decimal(
        document["balance_after"]
    )
    (answer,) = document["incoming"]
    assert answer["source_address"] == document["messages"][1]["destination_address"]
    counts = document["statistics"]
    assert (counts["delivered"], counts["expired"], counts["rejected"], counts["total"]) == (7, 1, 1, 9)


def checked_document(outcome: Outcome) -> Any:
    """Check that the command succeeded, and return the JSON document that it has printed."""
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    return outcome.document


def test_demo_live(cli: Cli, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """On a terminal, the demo shows how the states change, and erases this display at the end."""

    @asynccontextmanager
    async def run_in_steps(**_: Any) -> AsyncIterator[Sandbox]:
        sandbox = Sandbox(start=datetime.now(UTC))
        admit = sandbox.admit

        def step(method: str, target: str, *rest: Any) -> Any:
            if "Sms/State" in target:
                sandbox.advance(milliseconds=50)
            return admit(method, target, *rest)

        monkeypatch.setattr(sandbox, "admit", step)
        async with run_sandbox(sandbox) as running:
            yield running

    # Let the clock of the sandbox move only when a state request arrives, so that the demo observes every
    # state, even on a slow machine.
    monkeypatch.setattr(steps, "run_sandbox", run_in_steps)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    outcome = cli(*FAST, "--backend", backend)
    assert outcome.code == ExitCode.DONE
    drawn, final = outcome.out.rsplit("\x1b[2K", maxsplit=1)
    for words in ("logging in", "sending", "following the states", "queued", "sent", "Vladivostok"):
        assert words in drawn
    assert "\x1b[?25h" in drawn + final
    assert final.count("smsapi-async demo") == 1
    assert "Vladivostok" not in final


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["people", "programs"])
def test_demo_that_stays(options: tuple[str, ...], backend: str) -> None:
    """With `--keep`, the page stays open until Ctrl-C, and the demo prints a link to a message."""
    command = [sys.executable, "-m", "smsapi_async", *FAST, "--keep", "--backend", backend, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [""]
        # The last line is the end of the JSON document, or the link.
        while not (lines[-1] == "}\n" if options else "/#" in lines[-1]):
            lines.append(process.stdout.readline())
            assert lines[-1]
        printed = "".join(lines)
        found = re.search(r"http://[\d.:]+/#(\d+)/(\w+)", printed)
        assert found is not None
        page = httpx.get(found[0], trust_env=False)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        message = httpx.get(f"{page.url.join('/api/v1/messages/')}{found[2]}", trust_env=False).json()
        assert message["destination_address"] == found[1]
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (ExitCode.DONE, "")
    assert rest == ""
    if options:
        assert json.loads(printed)["link"] == found[0]


def test_demo_without_trio(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """If trio is not installed, `demo --backend trio` returns exit code 2 and says how to install trio."""
    monkeypatch.setattr("smsapi_async.cli.app.find_spec", lambda _: None)
    outcome = cli(*FAST, "--backend", "trio")
    assert outcome.code == ExitCode.BAD_INPUT
    assert "pip install trio" in outcome.err


def test_demo_interrupted(cli: Cli, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """After Ctrl-C, the demo prints one line and returns exit code 130."""

    async def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "follow", interrupted)
    outcome = cli(*FAST, "--backend", backend)
    assert outcome.code == ExitCode.INTERRUPTED
    assert outcome.err == "smsapi-async: interrupted\n"


def test_demo_of_a_gateway_that_leaves_the_states_open(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """If the messages are not final at the time limit, the demo ends and prints the states."""

    async def impatient(*args: Any, **options: Any) -> None:
        await follow(*args, **{**options, "limit": 0})

    monkeypatch.setattr(steps, "follow", impatient)
    document = checked_document(cli("demo", "--speed", "0.001", "--json", "--backend", backend))
    assert not any(state["is_final"] for message in document["messages"] for state in message["states"])


def test_demo_before_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first result, the tables of the demo contain no amounts and no counts.

    Before the first result, the JSON document contains null in place of the amounts and counts.
    """
    demo = Demo()
    write_view(demo_view(demo))
    assert "no incoming messages" in capsys.readouterr().out
    write_json(demo_document(demo))
    out = capsys.readouterr().out
    assert '"statistics": null' in out
    assert '"spent": null' in out


@pytest.mark.anyio
async def test_follow_asks_until_final() -> None:
    """`follow` reports the states of each segment until the segment is final.

    `follow` reports the final state of a segment only once.
    """
    async with (
        run_sandbox(speed=100) as sandbox,
        AsyncSmsClient(
            sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME"
        ) as sms,
    ):
        receipts = await sms.send_bulk(["79031234567", "79031234946"], "Hello")
        seen: dict[str, list[SegmentState]] = {}

        def observe(state: SegmentState) -> None:
            seen.setdefault(state.segment_id, []).append(state)

        ids = [each for receipt in receipts for each in receipt.segment_ids]
        await follow(sms, receipts, observe, interval=0.005, limit=60)
        assert [seen[each][-1].state for each in ids] == [State.DELIVERED, State.EXPIRED]
        assert all(sum(state.is_final for state in states) == 1 for states in seen.values())


@pytest.mark.anyio
async def test_follow_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a segment never has a final state, `follow` returns at the time limit."""
    scopes = recorded_scopes(monkeypatch, demo_tracking)
    seen: list[SegmentState] = []
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:

        async def follow_one() -> None:
            await follow(sms, [receipt], seen.append, interval=0.01, limit=3600)

        receipt = await sms.send("79031234955", "Hello")
        async with anyio.create_task_group() as group:
            group.start_soon(follow_one)
            await until(lambda: sandbox.account.count("Sms/State") > 1)
            scopes[-1].deadline = -math.inf
    assert seen == []
