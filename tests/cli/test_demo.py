"""The demo: its tables, its JSON, its live display, on asyncio and trio."""

import re
from decimal import Decimal
from typing import Any

import pytest

from smsapi_async import AsyncSmsClient, SegmentState, State
from smsapi_async.cli import demo as steps
from smsapi_async.cli.demo import Demo
from smsapi_async.cli.demo_tracking import follow
from smsapi_async.cli.demo_view import demo_document, demo_view
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.output import write_json, write_view
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.cli.conftest import Cli, Outcome

FAST = ["demo", "--speed", "200"]
NUMBER = re.compile(r"\d{11}")


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each event loop."""
    name: str = request.param
    return name


def test_demo_for_people(cli: Cli, backend: str) -> None:
    """The demo ends with its four tables within 80 columns, without a control code, and exit code 0."""
    outcome = cli(*FAST, "--backend", backend)
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    assert "\x1b" not in outcome.out
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80
    titles = ["Messages", "Answers that came in", "Statistics", "Balance"]
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
    """The demo's JSON holds each segment's final state and amounts that add up to the cent."""
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
    """The JSON document of a command that is done."""
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    return outcome.document


def test_demo_live(cli: Cli, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """On a terminal the states are seen moving, and what was drawn is erased before the final tables."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    outcome = cli("demo", "--speed", "20", "--backend", backend)
    assert outcome.code == ExitCode.DONE
    drawn, final = outcome.out.rsplit("\x1b[2K", maxsplit=1)
    for words in ("logging in", "sending", "following the states", "queued", "sent", "Vladivostok"):
        assert words in drawn
    assert "\x1b[?25h" in drawn + final
    assert final.count("smsapi-async demo") == 1
    assert "Vladivostok" not in final


def test_demo_without_trio(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is not installed is bad input, with what to install."""
    monkeypatch.setattr("smsapi_async.cli.app.find_spec", lambda _: None)
    outcome = cli(*FAST, "--backend", "trio")
    assert outcome.code == ExitCode.BAD_INPUT
    assert "pip install trio" in outcome.err


def test_demo_interrupted(cli: Cli, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """Ctrl-C in the demo is one line and exit code 130, on either event loop."""

    async def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "follow", interrupted)
    outcome = cli(*FAST, "--backend", backend)
    assert outcome.code == ExitCode.INTERRUPTED
    assert outcome.err == "smsapi-async: interrupted; nothing was sent\n"


def test_demo_of_a_gateway_that_leaves_the_states_open(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """A demo whose segments do not become final in time still ends, and says where they are."""

    async def impatient(*args: Any, **options: Any) -> None:
        await follow(*args, **{**options, "limit": 0})

    monkeypatch.setattr(steps, "follow", impatient)
    document = checked_document(cli("demo", "--speed", "0.001", "--json", "--backend", backend))
    assert not any(state["is_final"] for message in document["messages"] for state in message["states"])


def test_demo_before_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """A demo that has found out nothing yet is shown without amounts and counts."""
    demo = Demo()
    write_view(demo_view(demo))
    assert "no incoming messages" in capsys.readouterr().out
    write_json(demo_document(demo))
    out = capsys.readouterr().out
    assert '"statistics": null' in out
    assert '"spent": null' in out


@pytest.mark.anyio
async def test_follow_asks_until_final() -> None:
    """Segments are asked about again until each is final, and not once more after that."""
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
        await follow(sms, receipts, observe, interval=0.005, limit=10)
        assert [seen[each][-1].state for each in ids] == [State.DELIVERED, State.EXPIRED]
        assert all(sum(state.is_final for state in states) == 1 for states in seen.values())


@pytest.mark.anyio
async def test_follow_gives_up() -> None:
    """TrackTally ends at its limit where a segment never becomes final."""
    async with run_sandbox() as sandbox:
        seen = await _followed(sandbox, "79031234955")
        arrivals = [arrival for arrival in sandbox.account.arrivals if arrival.resource == "Sms/State"]
    assert (len(arrivals) > 1, seen) == (True, [])


async def _followed(sandbox: Sandbox, number: str) -> list[SegmentState]:
    client = AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME")
    async with client as sms:
        receipt = await sms.send(number, "Hello")
        seen: list[SegmentState] = []
        await follow(sms, [receipt], seen.append, interval=0.01, limit=0.2)
    return seen
