"""Tests of responses with rows that are malformed, or that the inbox has not asked for, and of many rows."""

import json
import logging
import time
from collections import Counter
from datetime import datetime
from typing import Any

import httpx
import pytest

from smsapi_async import InternalServerError, RateLimited, RetryPolicy, SmsApiError
from smsapi_async.inbox import MemoryCheckpoint, Position
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox
from tests.client.tools import client_for
from tests.inbox.tools import (
    ONE_ATTEMPT,
    SENDER,
    START,
    SharedClock,
    after,
    in_process,
    periods,
    texts_until,
    watch,
)
from tests.protocol.test_decoding import BAD_ROWS

pytestmark = pytest.mark.anyio


class EditedRows(httpx.AsyncBaseTransport):
    """A transport to a sandbox that changes the request and the response of `Sms/In`.

    Args:
        sandbox: the sandbox that responds.
        row: a row that each response contains in addition, after the first row; "" for no additional row.
        slack: the seconds by which the start of each requested period is earlier. With None, the gateway
            ignores the start of the period.
    """

    def __init__(self, sandbox: Sandbox, *, row: str = "", slack: float | None = 0.0) -> None:
        self._inner = httpx.ASGITransport(sandbox.app)
        self._row = row.encode()
        self._slack = slack

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_in = request.url.path.endswith("Sms/In")
        if is_in and self._slack != 0:
            since = datetime.fromisoformat(request.url.params["minDateUTC"] + "+00:00")
            earlier = since.timestamp() - self._slack if self._slack is not None else 0
            text = datetime.fromtimestamp(earlier, START.tzinfo).replace(tzinfo=None).isoformat()
            request.url = request.url.copy_set_param("minDateUTC", text)
        response = await self._inner.handle_async_request(request)
        if not is_in or not self._row:
            return response
        body = await response.aread()
        start, comma, rest = body.partition(b"},")
        edited = start + comma + self._row + b"," + rest if comma else body[:-1] + b"," + self._row + b"]"
        if body == b"[]":
            edited = b"[" + self._row + b"]"
        headers = {"Date": response.headers["date"]}
        return httpx.Response(response.status_code, headers=headers, content=edited)


def edited(sandbox: Sandbox, clock: SharedClock, **options: Any) -> Any:
    """Return a client of a sandbox behind `EditedRows` with the given options."""
    return client_for(sandbox, transport=EditedRows(sandbox, **options), clock=clock, retry=ONE_ATTEMPT)


@pytest.mark.parametrize("bad", BAD_ROWS, ids=lambda row: row[:90])
async def test_a_bad_row_blocks_nothing(
    sandbox: Sandbox, clock: SharedClock, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A malformed row does not stop the messages of its response and of later responses.

    The inbox reports the row once, without its content, and the position moves on, also for a restart.
    """
    for second in (1, 2, 50, 100):
        clock.file(str(second), created=second, filed=second)
    checkpoint = MemoryCheckpoint()
    texts = []
    with caplog.at_level(logging.WARNING):
        for end in (60, 120):
            async with (
                edited(sandbox, clock, row=bad) as sms,
                watch(sms, since=START, every=10, checkpoint=checkpoint) as messages,
            ):
                texts += await texts_until(messages, clock, end)
                assert messages.skipped == 1
                assert messages.last_error is None
            assert len([each for each in caplog.messages if "malformed" in each]) == 1
            assert not any(private in caplog.text for private in ("7926000000", "good", "mark"))
            caplog.clear()
    assert texts == ["1", "2", "50", "100"]
    assert checkpoint.position is not None
    assert checkpoint.position.until == after(120)


async def test_each_bad_row_is_counted_once(sandbox: Sandbox, clock: SharedClock) -> None:
    """Two equal malformed rows and one other row count as three, however often they come."""
    async with edited(sandbox, clock, row='null,null,{"ID":2.5}') as sms, watch(sms, since=START) as messages:
        await texts_until(messages, clock, 2000)
        assert messages.skipped == 3


async def test_the_list_of_incoming_messages_leaves_out_a_bad_row(
    sandbox: Sandbox, clock: SharedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """`incoming` returns the good rows of a response, and logs a warning about the malformed ones."""
    for text in ("one", "two"):
        sandbox.receive(SENDER, text=text)
    async with edited(sandbox, clock, row='{"Data":"secret","ID":null},null') as sms:
        with caplog.at_level(logging.WARNING):
            assert [message.text for message in await sms.incoming(since=START)] == ["one", "two"]
    assert caplog.messages == [
        "Sms/In: 2 rows of the response are malformed, so these incoming messages are missing"
    ]


async def test_a_text_and_an_id_can_be_stored(sandbox: Sandbox, clock: SharedClock) -> None:
    """A lone surrogate in a text or in an id is replaced, so that a database can store the message."""
    row = {"Data": "cut \ud83d", "SourceAddress": "1", "DestinationAddress": "2", "ID": "7\udc00"}
    sandbox.answer_next("Sms/In", body=json.dumps([row]), times=5)
    async with in_process(sandbox, clock) as sms, watch(sms, since=START) as messages:
        message = await anext(messages)
    assert (message.text, message.id) == ("cut \ufffd", "7\ufffd")
    assert message.text.encode()


@pytest.mark.parametrize("slack", [60.0, 660.0, None])
@pytest.mark.parametrize("life", [175, 1000, 5000])
async def test_rows_older_than_the_period_come_once(
    sandbox: Sandbox, clock: SharedClock, slack: float | None, life: int
) -> None:
    """If the gateway returns messages that are older than the requested period, each one comes once."""
    seconds = range(0, 2700, 15)
    for second in seconds:
        clock.file(str(second), created=second, filed=second + second % 50)
    checkpoint = MemoryCheckpoint()
    texts: list[str] = []
    for end in [*range(life, 2800, life), 2900]:
        async with (
            edited(sandbox, clock, slack=slack) as sms,
            watch(sms, since=START, every=10, checkpoint=checkpoint) as messages,
        ):
            texts += await texts_until(messages, clock, end)
        assert checkpoint.position is not None
        checkpoint.position = Position.from_json(checkpoint.position.to_json())
    assert Counter(texts) == Counter(map(str, seconds))


async def test_a_message_that_is_stored_very_late_and_returned_is_not_dropped(
    sandbox: Sandbox, clock: SharedClock
) -> None:
    """A message that is older than the requested period, and that never came before, is returned."""
    clock.file("an hour late", created=10, filed=3700)
    async with edited(sandbox, clock, slack=7200.0) as sms, watch(sms, since=START, every=10) as messages:
        assert await texts_until(messages, clock, 4000) == ["an hour late"]


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, InternalServerError)])
async def test_a_wait_for_years_is_a_wait_for_minutes(
    sandbox: Sandbox, clock: SharedClock, status: int, kind: type[SmsApiError]
) -> None:
    """After HTTP status 429 or 503 with a wait of 31 years, the next request follows after five minutes.

    The longest wait is a setting of `RetryPolicy`.
    """
    for retry, wait in ((ONE_ATTEMPT, 300.0), (RetryPolicy(attempts=1, retry_after_limit=60), 60.0)):
        sandbox.answer_next("Sms/In", status=status, headers={"Retry-After": "999999999"})
        begin = (sandbox.now() - START).total_seconds()
        async with in_process(sandbox, clock, retry=retry) as sms, watch(sms, every=10) as messages:
            clock.waits.clear()
            await texts_until(messages, clock, begin + wait - 1)
            assert isinstance(messages.last_error, kind)
            assert messages.last_error.retry_after == wait
            assert await texts_until(messages, clock, begin + wait) == []
            assert clock.waits == [wait]
            assert messages.last_error is None
    assert len(periods(sandbox)) == 4


async def cpu_of(count: int, checkpoint: Any) -> float:
    """Return the CPU seconds that each of `count` messages of one overlap needs until the next message."""
    sandbox = Sandbox(start=START)
    for number in range(count):
        sandbox.receive(SENDER, text=str(number), at=after(-60 + number * 60 / count))
    client = in_process(sandbox, SharedClock(sandbox))
    async with client as sms, watch(sms, since=after(-60), checkpoint=checkpoint) as messages:
        await anext(messages)
        begin = time.process_time()
        for _ in range(count - 1):
            await anext(messages)
        return (time.process_time() - begin) / count


@pytest.mark.parametrize("kind", ["memory", "json", "ledger"])
async def test_a_message_costs_the_same_among_many(kind: str, tmp_path: Any) -> None:
    """Among 4,000 messages of one overlap, a message needs about as much CPU time as among 1,000.

    With the ledger, the test compares 1,000 and 250 messages, because a save takes 50 times as long.
    """
    texts: list[str] = []

    async def save(position: Position) -> None:
        texts[:] = [position.to_json()]

    few: list[float] = []
    many: list[float] = []
    async with Ledger.sqlite(tmp_path / "run.db") as ledger:
        for number in range(2):
            for count, costs in ((1000, few), (4000, many)):
                stored = ledger.checkpoint(f"{number} {count}")
                checkpoints = {"memory": MemoryCheckpoint(), "json": save, "ledger": stored}
                size = count // 4 if kind == "ledger" else count
                costs.append(await cpu_of(size, checkpoints[kind]))
    # A cost that grows with the number of messages would be four times as high.
    assert min(many) < 2.5 * min(few)
