"""Tests of an inbox whose clock, or whose gateway's clock, is wrong.

The inbox must return each message once, and without a delay if the gateway tells its time.
"""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

import anyio
import attrs
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapi_async import AsyncSmsClient
from smsapi_async.inbox import MemoryCheckpoint, Position
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.inbox.tools import (
    ONE_ATTEMPT,
    SENDER,
    START,
    SharedClock,
    after,
    in_process,
    texts_until,
    watch,
)

OVERLAP = timedelta(minutes=2)
EVERY = 30.0
MINUTE, DAY = 60.0, 86400.0
KINDS = ("ahead", "behind", "ahead in the first round", "set back", "stepping", "jumping", "drifting")
DATES = ("right", "missing", "invalid", "ahead", "behind")


@attrs.frozen
class Clocks:
    """The clock of the client, and the header ``Date`` of the responses.

    Attributes:
        kind: how the clock of the client is wrong.
        seconds: the largest error of the clock of the client.
        date: how the header ``Date`` is wrong. If both clocks of an example were wrong in the same way,
            nothing would tell the time.
    """

    kind: str
    seconds: float
    date: str

    def skew(self, now: float) -> float:
        """Return the seconds by which the clock of the client is ahead, `now` seconds after `START`."""
        turn = int(now // EVERY)
        errors = {
            "right": 0.0,
            "ahead": 1.0,
            "behind": -1.0,
            "ahead in the first round": float(turn == 0),
            "set back": -float(turn > 4),
            "stepping": float((turn // 5) % 3 - 1),
            "jumping": (turn * 7919 % 2000) / 1000 - 1,
            "drifting": now / 900 - 0.5,
        }
        return errors[self.kind] * self.seconds

    def header(self, now: datetime) -> str | None:
        """Return the header ``Date`` of a response."""
        wrong = {
            "right": now,
            "ahead": now + timedelta(seconds=self.seconds),
            "behind": now - timedelta(seconds=self.seconds),
        }
        if self.date in wrong:
            return format_datetime(wrong[self.date], usegmt=True)
        return "Sun, 01 Mar 2026 99:00:00 GMT" if self.date == "invalid" else None


class WrongClock(SharedClock):
    """A clock of the client that shows a wrong time.

    Args:
        sandbox: the sandbox whose time is the right time.
        skew: a function from the seconds after `START` to the seconds by which the clock is ahead.
    """

    def __init__(self, sandbox: Sandbox, skew: Callable[[float], float]) -> None:
        super().__init__(sandbox)
        self.skew = skew

    def now(self) -> datetime:
        now = self.sandbox.now()
        return now + timedelta(seconds=self.skew((now - START).total_seconds()))


class DateProxy(httpx.AsyncBaseTransport):
    """A transport to a sandbox that replaces the header ``Date`` of each response.

    Args:
        sandbox: the sandbox that responds.
        header: a function from the time of the sandbox to the header, or to None for no header.
    """

    def __init__(self, sandbox: Sandbox, header: Callable[[datetime], str | None]) -> None:
        self._inner = httpx.ASGITransport(sandbox.app)
        self._sandbox = sandbox
        self._header = header

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        header = self._header(self._sandbox.now())
        del response.headers["date"]
        if header is not None:
            response.headers["date"] = header
        return response


def behind_proxy(
    sandbox: Sandbox, clock: SharedClock, header: Callable[[datetime], str | None]
) -> AsyncSmsClient:
    """Return a client of a sandbox that gets the given header ``Date``."""
    return client_for(sandbox, transport=DateProxy(sandbox, header), clock=clock, retry=ONE_ATTEMPT)


@attrs.frozen
class Filing:
    """An incoming message: its creation date and the time from which responses contain the message."""

    created: float
    filed: float


async def received(clocks: Clocks, filings: list[Filing], kills: list[float], end: float) -> Counter[str]:
    """Watch until `end` seconds after `START`, and return how often each message was returned.

    Args:
        clocks: the clocks of the run.
        filings: the incoming messages. The text of a message is its number.
        kills: the times at which the process ends. The next process begins 20 seconds later.
        end: the end of the last process. For the last 100 seconds, the clock of the client is right, unless
            the gateway tells the right time.
    """
    sandbox = Sandbox(start=START)
    right_from = end if clocks.date == "right" else end - 100
    clock = WrongClock(sandbox, lambda now: clocks.skew(now) if now < right_from else 0.0)
    for number, filing in enumerate(filings):
        clock.file(str(number), created=filing.created, filed=filing.filed)
    checkpoint = MemoryCheckpoint()
    given: Counter[str] = Counter()
    for stop in [*sorted(kills), end]:
        async with (
            behind_proxy(sandbox, clock, clocks.header) as sms,
            watch(sms, since=START, every=EVERY, overlap=OVERLAP, checkpoint=checkpoint) as messages,
        ):
            given.update(await texts_until(messages, clock, stop))
        assert checkpoint.position is not None
        assert checkpoint.position.until <= max(sandbox.now(), START)
        checkpoint.position = Position.from_json(checkpoint.position.to_json())
        clock.move_to(after(min(stop + 20, end)))
    return given


seconds = st.sampled_from([MINUTE, 11 * MINUTE, 60 * MINUTE, 180 * MINUTE, DAY])
clocks = st.builds(Clocks, st.sampled_from(KINDS), seconds, st.sampled_from(DATES[:3])) | st.builds(
    Clocks, st.just("right"), seconds, st.sampled_from(DATES)
)
filings = st.lists(
    st.builds(
        lambda created, late: Filing(created, created + late),
        st.floats(0, 750),
        st.floats(0, 115) | st.just(0.0),
    ),
    max_size=40,
)
STREAM = [Filing(second, second) for second in range(0, 750, 10)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(clocks=clocks, filings=filings, kills=st.lists(st.floats(1, 800), max_size=3))
@example(clocks=Clocks("ahead in the first round", 180 * MINUTE, "right"), filings=STREAM, kills=[15])
@example(clocks=Clocks("ahead in the first round", 180 * MINUTE, "missing"), filings=STREAM, kills=[15])
@example(clocks=Clocks("ahead", 11 * MINUTE, "right"), filings=STREAM, kills=[])
@example(clocks=Clocks("set back", 60 * MINUTE, "right"), filings=STREAM, kills=[])
def test_each_message_comes_once_whatever_the_clocks_show(
    backend: Literal["asyncio", "trio"], clocks: Clocks, filings: list[Filing], kills: list[float]
) -> None:
    """Each message is returned exactly once, although a clock is wrong by up to a day or changes."""
    given = anyio.run(received, clocks, filings, kills, 1000.0, backend=backend)
    assert given == Counter(map(str, range(len(filings))))


async def delays(clock: SharedClock, sms: AsyncSmsClient, texts: int, **options: Any) -> list[float]:
    """Watch until `texts` messages are returned, and return the seconds from each filing to the return.

    The text of each message is the time of its filing, in seconds after `START`.
    """
    waited: list[float] = []
    async with sms, watch(sms, **options) as messages:
        async for message in messages:
            waited.append((clock.sandbox.now() - after(float(message.text))).total_seconds())
            if len(waited) == texts:
                break
    return waited


@pytest.mark.anyio
@pytest.mark.parametrize("skew", [-DAY, -3600.0, 660.0, DAY, 9 * DAY, -9 * DAY])
async def test_messages_come_without_a_delay(sandbox: Sandbox, skew: float) -> None:
    """If the local clock is wrong by days, a message is still returned in the round after its filing."""
    clock = WrongClock(sandbox, lambda _: skew)
    for second in range(5, 3000, 50):
        clock.file(str(second), created=second, filed=second)
    waited = await delays(clock, in_process(sandbox, clock), 60, since=START, every=10, overlap=OVERLAP)
    assert max(waited) <= 10


async def _assert_no_delay(sandbox: Sandbox, clock: SharedClock, header: str | None) -> None:
    """Watch 60 messages, and check that each comes in the next round and that the pauses stay.

    Args:
        sandbox: the sandbox that has the messages.
        clock: the clock of the client, which files the messages.
        header: the header `Date` of each response, or None.
    """
    for second in range(5, 3000, 50):
        clock.file(str(second), created=second, filed=second)
    sms = behind_proxy(sandbox, clock, lambda _: header)
    waited = await delays(clock, sms, 60, since=START, every=10, overlap=OVERLAP)
    assert max(waited) <= 10
    assert sandbox.account.count("Sms/In") <= 3000 / 10 + 3


@pytest.mark.anyio
@pytest.mark.parametrize("skew", [-DAY, -3600.0, 0.0, 3600.0])
async def test_a_clock_that_is_behind_delays_nothing_without_a_date(sandbox: Sandbox, skew: float) -> None:
    """Without the header `Date`, a clock that is a day behind does not delay the messages."""
    clock = WrongClock(sandbox, lambda _: skew)
    await _assert_no_delay(sandbox, clock, None)


@pytest.mark.anyio
@pytest.mark.parametrize("skew", [-DAY, -660.0, 0.0, 660.0, DAY])
@pytest.mark.parametrize("early_end", [False, True], ids=["one run", "two runs"])
async def test_a_run_that_begins_now_begins_at_the_time_of_the_gateway(
    sandbox: Sandbox, skew: float, early_end: bool
) -> None:
    """Without `since`, no message after the start is missed, and no old one is returned."""
    clock = WrongClock(sandbox, lambda _: skew)
    sandbox.receive(SENDER, text="a day old", at=after(-DAY + 5))
    sandbox.receive(SENDER, text="too old", at=after(-2))
    clock.file("at once", created=0, filed=0)
    clock.file("soon", created=3, filed=3)
    checkpoint = MemoryCheckpoint()
    async with in_process(sandbox, clock) as sms:
        if early_end:
            sandbox.answer_next("Sms/In", status=503)
            async with watch(sms, checkpoint=checkpoint) as messages:
                assert await texts_until(messages, clock, 4) == []
        async with watch(sms, every=5, checkpoint=checkpoint) as messages:
            texts = await texts_until(messages, clock, 60)
    # After a run without a response, only the time of the wrong clock is known.
    old = {"a day old", "too old"} if early_end else set()
    assert set(texts) - old == {"at once", "soon"}
    assert len(set(texts)) == len(texts)


@pytest.mark.anyio
@pytest.mark.parametrize("skew", [-DAY, -60.0, DAY])
async def test_the_list_of_incoming_messages_is_up_to_date(sandbox: Sandbox, skew: float) -> None:
    """Without `until`, `incoming` also returns the newest message if the local clock is a day behind."""
    clock = WrongClock(sandbox, lambda _: skew)
    sandbox.receive(SENDER, text="new")
    async with in_process(sandbox, clock) as sms:
        assert [message.text for message in await sms.incoming(since=after(-5))] == ["new"]
        assert [message.text for message in await sms.incoming()] == ["new"]


@pytest.mark.anyio
async def test_a_start_that_a_wrong_clock_tells_is_corrected(sandbox: Sandbox) -> None:
    """With ``since=datetime.now(UTC)`` on a machine that is three hours ahead, no message is missed."""
    clock = WrongClock(sandbox, lambda _: 10_800.0)
    clock.file("soon", created=3, filed=3)
    async with in_process(sandbox, clock) as sms, watch(sms, since=clock.now(), every=5) as messages:
        assert await texts_until(messages, clock, 60) == ["soon"]


@pytest.mark.anyio
async def test_a_start_in_the_future_stays(sandbox: Sandbox, clock: SharedClock) -> None:
    """If `since` is later than the local clock, no message from before `since` is returned."""
    clock.file("early", created=3, filed=3)
    clock.file("late", created=100, filed=100)
    async with in_process(sandbox, clock) as sms, watch(sms, since=after(60), every=5) as messages:
        assert await texts_until(messages, clock, 120) == ["late"]


@pytest.mark.anyio
@pytest.mark.parametrize("header", [None, "right"])
async def test_a_position_in_the_future_is_corrected(
    sandbox: Sandbox, clock: SharedClock, header: str | None
) -> None:
    """A position that version 0.1.0 saved with a clock three hours ahead does not hide new messages."""
    future = after(10_800).isoformat()
    saved = f'{{"until": "{future}", "since": "{future}", "ids": []}}'
    clock.file("soon", created=3, filed=3)
    told: Callable[[datetime], str | None] = lambda now: header and format_datetime(now, usegmt=True)  # noqa: E731
    checkpoint = MemoryCheckpoint(Position.from_json(saved))
    async with (
        behind_proxy(sandbox, clock, told) as sms,
        watch(sms, every=5, checkpoint=checkpoint) as messages,
    ):
        assert await texts_until(messages, clock, 60) == ["soon"]
    assert checkpoint.position is not None
    assert checkpoint.position.until <= sandbox.now()


@pytest.mark.anyio
async def test_one_warning_names_the_difference(caplog: pytest.LogCaptureFixture) -> None:
    """If the clocks differ by more than the overlap, one warning says by how much, and else no warning."""
    for skew, words in ((-7200.0, ["7200 s behind"]), (660.0, ["660 s ahead"]), (590.0, []), (0.0, [])):
        sandbox = Sandbox(start=START)
        clock = WrongClock(sandbox, lambda _, skew=skew: skew)  # type: ignore[misc]
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            async with in_process(sandbox, clock) as sms, watch(sms, since=START) as messages:
                await texts_until(messages, clock, 100)
        assert len(caplog.messages) == len(words)
        assert all(word in message for word, message in zip(words, caplog.messages, strict=True))


@pytest.mark.anyio
@pytest.mark.parametrize("header", ["Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", "x"])
async def test_an_absurd_date_loses_nothing_and_hurries_nothing(
    sandbox: Sandbox, clock: SharedClock, header: str
) -> None:
    """If a proxy sends an absurd `Date`, messages come once, and the pauses between requests stay."""
    await _assert_no_delay(sandbox, clock, header)


@pytest.mark.anyio
async def test_a_response_of_a_cache_repeats_and_loses_nothing(sandbox: Sandbox, clock: SharedClock) -> None:
    """A response that tells an hour-old time, among right ones, causes no loss and no repetition."""
    calls = iter(range(10_000))

    def header(now: datetime) -> str:
        return format_datetime(now - timedelta(hours=next(calls) % 3), usegmt=True)

    for second in range(5, 3000, 50):
        clock.file(str(second), created=second, filed=second + 100)
    async with (
        behind_proxy(sandbox, clock, header) as sms,
        watch(sms, since=START, every=10, overlap=OVERLAP) as messages,
    ):
        texts = await texts_until(messages, clock, 3200)
    assert Counter(texts) == Counter(map(str, range(5, 3000, 50)))


@pytest.mark.anyio
async def test_a_date_that_comes_late_repeats_nothing(sandbox: Sandbox, clock: SharedClock) -> None:
    """If only later responses have a `Date`, a run that begins now still returns each message once."""

    def header(now: datetime) -> str | None:
        return None if now < after(1000) else format_datetime(now, usegmt=True)

    for second in range(5, 3000, 50):
        clock.file(str(second), created=second, filed=second)
    async with behind_proxy(sandbox, clock, header) as sms, watch(sms, overlap=OVERLAP) as messages:
        texts = await texts_until(messages, clock, 3100)
    assert texts == [str(second) for second in range(5, 3000, 50)]


async def test_a_fast_sandbox_has_no_silence(anyio_backend: tuple[str, Any], transport: str) -> None:
    """In a sandbox that is an hour ahead and runs 60 times as fast, an answer comes in the next round."""
    async with run_sandbox(speed=60) as sandbox:
        sandbox.advance(hours=1)
        with anyio.fail_after(30):
            async with client_for(sandbox) as sms, watch(sms, every=0.05) as messages:
                for text in ("1", "2", "3"):
                    sandbox.receive(SENDER, text=text)
                    assert (await anext(messages)).text == text
