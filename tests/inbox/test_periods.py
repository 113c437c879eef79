"""Tests of the periods of requests for incoming messages: each gateway accepts each request."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from smsapi_async import MemoryCheckpoint, Position, ValidationError
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import ManualClock, client_for

pytestmark = pytest.mark.anyio
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
NUMBER = "79031234567"


def periods(sandbox: Sandbox) -> list[tuple[datetime, datetime]]:
    """Return the beginning and the end of each requested period."""
    found = []
    for arrival in sandbox.account.arrivals:
        if arrival.resource == "Sms/In":
            query = parse_qs(urlsplit(arrival.target).query, strict_parsing=True)
            ends = [datetime.fromisoformat(query[name][0]) for name in ("minDateUTC", "maxDateUTC")]
            found.append((ends[0].replace(tzinfo=UTC), ends[1].replace(tzinfo=UTC)))
    return found


@pytest.mark.parametrize(
    ("until", "texts"),
    [(None, ["362", "300", "0"]), (START - timedelta(days=200), ["362", "300"])],
)
async def test_the_last_year_without_since(until: datetime | None, texts: list[str]) -> None:
    """Without `since`, `incoming` returns the messages of the last year, and the gateway never refuses."""
    async with (
        run_sandbox(start=START, dialect="latest") as sandbox,
        client_for(sandbox, clock=ManualClock()) as sms,
    ):
        for days in (400, 362, 300, 0):
            sandbox.receive(NUMBER, text=str(days), at=START - timedelta(days=days))
        assert [message.text for message in await sms.incoming(until=until)] == texts
    [(since, _)] = periods(sandbox)
    assert START - YEAR < since <= START - YEAR + timedelta(days=2)


@pytest.mark.parametrize("difference", [timedelta(days=-2), timedelta(0), timedelta(days=2)])
async def test_the_clock_may_be_wrong_by_two_days(difference: timedelta) -> None:
    """`incoming` without dates is not refused, if the clock of this computer is two days ahead or behind."""
    clock = ManualClock()
    clock.advance(seconds=difference.total_seconds())
    async with run_sandbox(start=START, dialect="latest") as sandbox, client_for(sandbox, clock=clock) as sms:
        sandbox.receive(NUMBER, text="now")
        assert [message.text for message in await sms.incoming()] == ["now"]


async def test_an_end_more_than_a_year_ago() -> None:
    """If `until` is more than a year ago, the period is the year before `until`."""
    until = START - 2 * YEAR
    async with run_sandbox(start=START) as sandbox, client_for(sandbox, clock=ManualClock()) as sms:
        sandbox.receive(NUMBER, text="old", at=until - timedelta(days=300))
        assert [message.text for message in await sms.incoming(until=until)] == ["old"]
    [(since, end)] = periods(sandbox)
    assert end == until
    assert since < end


@pytest.mark.parametrize("since", [START, START + timedelta(microseconds=1), START + timedelta(days=1)])
async def test_since_must_be_before_until(since: datetime) -> None:
    """A period that ends when it begins, or earlier, is refused before any request."""
    async with run_sandbox(start=START) as sandbox, client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match="before until") as caught:
            await sms.incoming(since=since, until=START)
    assert caught.value.parameter == "since"
    assert sandbox.account.count() == 0


async def test_the_shortest_period() -> None:
    """A period of a microsecond is widened to whole seconds, so that the gateway accepts the period."""
    async with run_sandbox(start=START, dialect="latest") as sandbox, client_for(sandbox) as sms:
        sandbox.receive(NUMBER, text="now")
        found = await sms.incoming(since=START, until=START + timedelta(microseconds=1))
    assert [message.text for message in found] == ["now"]
    assert periods(sandbox) == [(START, START + timedelta(seconds=1))]


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=3), timedelta(days=9)])
@pytest.mark.parametrize("resumed", [True, False])
async def test_each_period_of_a_stream_has_a_length(ahead: timedelta, resumed: Any) -> None:
    """`watch_incoming` never requests a period without a length, also if it begins in the future."""
    checkpoint = MemoryCheckpoint(Position(START + ahead) if resumed else None)
    clock = ManualClock()
    async with (
        run_sandbox(start=START, dialect="latest") as sandbox,
        client_for(sandbox, clock=clock) as sms,
        sms.watch_incoming(since=START + ahead, checkpoint=checkpoint) as messages,
        anyio.create_task_group() as group,
    ):
        group.start_soon(anext, messages)
        with anyio.fail_after(20):
            while sandbox.account.count("Sms/In") < 3:  # noqa: ASYNC110 - the sandbox runs in another thread
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert all(since < until for since, until in periods(sandbox))
    assert sandbox.account.count("Sms/In", status=200) >= 2


@pytest.mark.parametrize("resumed", [True, False])
async def test_a_stream_that_begins_years_ago(resumed: bool, caplog: pytest.LogCaptureFixture) -> None:
    """If the gateway refuses old periods, `watch_incoming` begins a year ago and gives all later messages."""
    long_ago = START - 3 * YEAR
    async with (
        run_sandbox(start=START, dialect="latest") as sandbox,
        client_for(sandbox, clock=ManualClock()) as sms,
    ):
        for days in (400, 362, 1, 0):
            sandbox.receive(NUMBER, text=str(days), at=START - timedelta(days=days))
        checkpoint = MemoryCheckpoint(Position(long_ago)) if resumed else None
        async with sms.watch_incoming(since=long_ago, checkpoint=checkpoint) as messages:
            assert [(await anext(messages)).text for _ in range(3)] == ["362", "1", "0"]
        assert messages.last_error is None
    assert sandbox.account.count("Sms/In", status=400) == 1
    assert len([record for record in caplog.records if "a year ago" in record.message]) == 1


async def test_a_stream_that_begins_years_ago_with_the_contract() -> None:
    """If the gateway allows old periods, `watch_incoming` gives messages of any age."""
    async with run_sandbox(start=START) as sandbox, client_for(sandbox, clock=ManualClock()) as sms:
        sandbox.receive(NUMBER, text="old", at=START - 2 * YEAR)
        async with sms.watch_incoming(since=START - 3 * YEAR, window=timedelta(days=300)) as messages:
            assert (await anext(messages)).text == "old"


async def test_a_clock_that_is_years_behind() -> None:
    """If the clock of this computer is years behind, `watch_incoming` begins at the time of the gateway."""
    clock = ManualClock()
    clock.advance(seconds=-3 * YEAR.total_seconds())
    async with (
        run_sandbox(start=START, dialect="latest") as sandbox,
        client_for(sandbox, clock=clock) as sms,
        sms.watch_incoming() as messages,
    ):
        sandbox.receive(NUMBER, text="old", at=START - timedelta(days=100))
        sandbox.receive(NUMBER, text="new")
        assert (await anext(messages)).text == "new"
