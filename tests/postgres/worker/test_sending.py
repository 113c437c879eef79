"""Tests of `AsyncSmsClient.send_pending` with one worker."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import attrs
import psycopg
import pytest

from smsapi_async import AsyncSmsClient, ValidationError
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.postgres import enqueue
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.ledger.tools import Place, recorded
from tests.postgres.server import Server
from tests.postgres.worker.tools import change_request, enqueue_each, fill, make_due, messages

pytestmark = pytest.mark.anyio


def client(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    """Return a client of a sandbox."""
    return AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url, **options)


@pytest.mark.parametrize("together", [0, 1, 7])
async def test_once_sends_everything(server: Server, place: Place, account: str, together: int) -> None:
    """`send_pending(once=True)` sends all pending messages once, in the order of the queue, and returns."""
    given = messages(50, "text" if together > 1 else "text {}")
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox, concurrency=1) as sms:
        if together:
            await fill(server, account, ledger, given, together=together)
        else:
            enqueue_each(server, account, given)
        counts = await sms.send_pending(ledger, once=True)
        assert counts == Summary(accepted=50, segments=50)
        arrived = [each.destination_address for each in sandbox.account.messages]
        assert arrived == [each.destination_address for each in given]
        assert await ledger.summary() == Summary(accepted=50, segments=50)
        assert await sms.send_pending(ledger, once=True) == Summary()
        outcomes = await recorded(ledger)
        assert outcomes.keys() == {each.key for each in given}


async def test_priority_and_time(server: Server, place: Place, account: str) -> None:
    """A request with a higher priority is sent first, and a request whose time has not come is not sent."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox, concurrency=1) as sms:
        await fill(server, account, ledger, messages(3))
        change_request(server, account, "order 2", "priority = 5")
        change_request(server, account, "order 0", "not_before = now() + interval '1 h'")
        await sms.send_pending(ledger, once=True)
        assert [each.text for each in sandbox.account.messages] == ["text 2", "text 1"]
        assert await ledger.summary() == Summary(pending=1, accepted=2, segments=2)


async def test_the_rest_of_a_batch_is_not_sent(place: Place) -> None:
    """Workers do not send what a stopped batch has left pending."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        await ledger.record_pending([(each.key or "", each) for each in messages(3)])
        assert await sms.send_pending(ledger, once=True) == Summary()
        assert sandbox.account.messages == []
        assert await ledger.queued() == (0, False)  # type: ignore[attr-defined]


async def test_a_message_that_was_claimed_by_its_key_stays_in_the_queue(
    server: Server, place: Place, account: str
) -> None:
    """If a batch claims a message of the queue and does not send it, a worker sends it."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        given = messages(4, "text")
        await fill(server, account, ledger, given, together=4)
        assert await ledger.claim("batch", [(given[1].key or "", given[1])]) == [None]
        await ledger.release("batch")
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=4, segments=4)
        ids = {outcome.key: outcome.segment_ids for outcome in (await recorded(ledger)).values()}  # type: ignore[union-attr]
        by_number = {each.destination_address: each.key for each in given}
        assert ids == {
            by_number[each.destination_address]: each.segment_ids for each in sandbox.account.messages
        }


async def test_a_refused_number_in_a_bulk(server: Server, place: Place, account: str) -> None:
    """A worker isolates the number that the gateway refuses, and sends the other messages of the bulk."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        given = messages(16, "text")
        given[5] = attrs.evolve(given[5], destination_address="79031230806")
        await fill(server, account, ledger, given, together=16)
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=15, rejected=1, segments=15)
        assert set(Counter(each.destination_address for each in sandbox.account.messages).values()) == {1}
        assert await ledger.summary() == Summary(accepted=15, rejected=1, segments=15)


async def test_a_request_of_many_messages_and_several_texts(
    server: Server, place: Place, account: str
) -> None:
    """A request with more messages than a bulk may have, or with several texts, is divided."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        await ledger.record_pending(
            [(each.key or "", each) for each in [*messages(25, "one"), *messages(5, "other", 25)]]
        )
        make_due(server, account)
        counts = await sms.send_pending(ledger, once=True, recipients_per_request=10, max_in_flight=12)
        assert counts == Summary(accepted=30, segments=30)
        assert Counter(each.text for each in sandbox.account.messages) == {"one": 25, "other": 5}


async def test_an_invalid_message(server: Server, place: Place, account: str) -> None:
    """A message that the gateway cannot accept is rejected, and the others are sent."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        bad = attrs.evolve(messages(1)[0], source_address="much too long for it")
        await fill(server, account, ledger, [bad, *messages(2, first=1)])
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=2, rejected=1, segments=2)
        assert (await recorded(ledger))["order 0"].reason.startswith("source_address")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "content",
    [
        "null",
        "[]",
        "{}",
        '{"text": 5}',
        '{"text": ["hi"]}',
        '{"text": "hi", "send_date": "soon"}',
        '{"text": "hi", "send_date": 5}',
        '{"text": "hi", "source_address": {}}',
        '{"text": "hi", "validity": 1e400}',
    ],
)
@pytest.mark.parametrize("is_single", [True, False])
async def test_a_content_that_this_package_did_not_write(
    server: Server, place: Place, account: str, content: str, is_single: bool
) -> None:
    """A web backend that passes nonsense to the function in the database does not stop the workers."""
    single = [account, "key", "79035550011", "digest", content, 1, None]
    parameter = {
        "account": account,
        "not_before": None,
        "priority": 1,
        "requests": [["digest", content]],
        "messages": [["key", "79035550011", "digest", 0, 0]],
    }
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox, source_address="Shop") as sms:
        server.rows("SELECT smsapi.enqueue(%s)", json.dumps(single if is_single else parameter))
        await fill(server, account, ledger, messages(1))
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=1, rejected=1, segments=1)
        assert [each.text for each in sandbox.account.messages] == ["text 0"]
        assert (await recorded(ledger)).keys() == {"key", "order 0"}


async def test_a_message_without_a_source_address(
    server: Server, place: Place, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a default, a message without a source address stays pending, and a warning says why."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        bare = attrs.evolve(messages(1)[0], source_address=None)
        await fill(server, account, ledger, [bare, *messages(1, first=1)])
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=1, segments=1)
        assert (await ledger.summary()).pending == 1
        assert "SMSAPI_SOURCE_ADDRESS" in caplog.text
        make_due(server, account)
        async with client(sandbox, source_address="Shop") as other:
            assert await other.send_pending(ledger, once=True) == Summary(accepted=1, segments=1)


async def test_until_cancelled(server: Server, place: Place, account: str) -> None:
    """Without `once`, messages that come later are sent, too. A cancelled call loses no outcome."""
    async with (
        run_sandbox() as sandbox,
        place() as ledger,
        client(sandbox) as sms,
        anyio.create_task_group() as group,
    ):
        group.start_soon(sms.send_pending, ledger)
        for number in range(3):
            await fill(server, account, ledger, messages(2, first=2 * number))
            with anyio.fail_after(10):
                while (await ledger.summary()).accepted < 2 * number + 2:  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    async with place() as ledger:
        assert await ledger.summary() == Summary(accepted=6, segments=6)


async def test_a_cancelled_worker_waits_for_the_answers(server: Server, place: Place, account: str) -> None:
    """After a cancellation, the requests in flight get their outcomes, and the others stay pending."""
    async with run_sandbox(latency=0.3) as sandbox, place() as ledger, client(sandbox, concurrency=2) as sms:
        await fill(server, account, ledger, messages(10))
        async with anyio.create_task_group() as group:
            group.start_soon(sms.send_pending, ledger)
            with anyio.fail_after(10):
                while len(sandbox.account.messages) < 2:  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert await ledger.summary() == Summary(
            accepted=len(sandbox.account.messages), pending=8, segments=2
        )


async def test_a_short_grace(server: Server, place: Place, account: str) -> None:
    """If a request has no answer within `grace` after a cancellation, its message is unknown."""
    async with run_sandbox(latency=30) as sandbox, place() as ledger, client(sandbox, concurrency=2) as sms:
        sandbox.latency = 0
        await sms.balance()
        sandbox.latency = 30
        await fill(server, account, ledger, messages(4))
        async with anyio.create_task_group() as group:

            async def send() -> None:
                await sms.send_pending(ledger, grace=0.1)

            group.start_soon(send)
            with anyio.fail_after(10):
                while len(sandbox.account.messages) < 2:  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert await ledger.summary() == Summary(unknown=2, pending=2)


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"unknown_limit": 0}, "unknown_limit"),
        ({"grace": "soon"}, "grace"),
        ({"once": 1}, "once"),
        ({"on_poll": 3}, "on_poll"),
    ],
)
async def test_bad_options(place: Place, options: dict[str, Any], parameter: str) -> None:
    """A wrong option raises `ValidationError` before any request."""
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        with pytest.raises(ValidationError, match=f"^{parameter}:"):
            await sms.send_pending(ledger, **options)


@pytest.mark.parametrize("kind", ["sqlite", "redacted", "closed", "none"])
async def test_ledgers_without_a_queue(place: Place, tmp_path: Any, kind: str) -> None:
    """A ledger that is not in PostgreSQL, or has no texts, raises `ValidationError`."""
    places: dict[str, Callable[[], Ledger]] = {
        "sqlite": lambda: Ledger.sqlite(tmp_path / "run.db"),
        "redacted": lambda: place(redact=True),
    }
    async with run_sandbox() as sandbox, client(sandbox) as sms:
        if kind in places:
            async with places[kind]() as ledger:
                with pytest.raises(ValidationError, match=r"^ledger:"):
                    await sms.send_pending(ledger)
        elif kind == "none":
            with pytest.raises(ValidationError, match=r"^ledger:"):
                await sms.send_pending(None)  # type: ignore[arg-type]
        else:
            with pytest.raises(Exception, match="not open"):
                await sms.send_pending(place())


async def test_an_error_of_on_poll(server: Server, place: Place, account: str) -> None:
    """If `on_poll` raises an exception after a claim, no claimed message is unknown."""

    def on_poll(counts: Summary) -> None:
        raise ZeroDivisionError

    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        await fill(server, account, ledger, messages(5))
        with pytest.raises(ZeroDivisionError):
            await sms.send_pending(ledger, on_poll=on_poll)
        summary = await ledger.summary()
        assert summary == Summary(
            accepted=summary.accepted, pending=5 - summary.accepted, segments=summary.accepted
        )
        assert len(sandbox.account.messages) == summary.accepted


async def test_polls_are_reported(server: Server, place: Place, account: str) -> None:
    """`on_poll` gets the counts of the outcomes, which grow."""
    seen: list[Summary] = []
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox, concurrency=1) as sms:
        await fill(server, account, ledger, messages(3))
        await sms.send_pending(ledger, once=True, on_poll=seen.append)
    assert [each.accepted for each in seen] == sorted(each.accepted for each in seen)
    assert seen[-1].accepted == 3


@pytest.mark.parametrize("kind", ["one text", "different texts"])
async def test_what_was_enqueued_is_sent(server: Server, place: Place, account: str, kind: str) -> None:
    """A worker sends what the outbox has committed, and nothing that was rolled back."""
    given = messages(20, "text" if kind == "one text" else "text {}")
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        with psycopg.connect(server.dsn()) as connection:
            enqueue(connection, given, account=account)
            connection.commit()
            enqueue(connection, messages(3, first=50), account=account)
            connection.rollback()
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=20, segments=20)
        arrived = Counter(each.destination_address for each in sandbox.account.messages)
        assert arrived == {each.destination_address: 1 for each in given}
        assert await ledger.summary() == Summary(accepted=20, segments=20)
        # A batch with the same messages finds the outcomes.
        async with sms.send_many(given, ledger=ledger) as outcomes:
            assert {type(each).__name__ async for each in outcomes} == {"Accepted"}
        assert len(sandbox.account.messages) == 20


async def test_a_refused_number_among_enqueued_messages(server: Server, place: Place, account: str) -> None:
    """A bulk from the outbox with a refused number is divided, also without keys."""
    given = [attrs.evolve(each, key=None) for each in messages(9, "text")]
    given[4] = attrs.evolve(given[4], destination_address="79031230806")
    async with run_sandbox() as sandbox, place() as ledger, client(sandbox) as sms:
        with psycopg.connect(server.dsn()) as connection:
            enqueue(connection, given, account=account)
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=8, rejected=1, segments=8)
        assert len(sandbox.account.messages) == 8
