"""Several processes share the decision whether a pushed message is new, through the function `claim`."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from smsapi_async import IncomingReceiver, PushedMessage
from smsapi_async.inbox.register import NotHandled
from tests.inbox.pushing import NUMBER, TOKEN, Handler, push, push_of

pytestmark = pytest.mark.anyio


class Table:
    """A database table of handled ids, with transactions.

    Attributes:
        ids: the committed ids.
        fails_at: "begin" or "commit" if a transaction must fail there, or None.
        errors: the exceptions that the transactions got.
    """

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.fails_at: str | None = None
        self.errors: list[BaseException] = []
        self._locks: dict[str, anyio.Lock] = {}

    @asynccontextmanager
    async def claim(self, message_id: str) -> AsyncIterator[bool]:
        """Insert an id in a transaction. Another transaction with the same id waits, as in PostgreSQL."""
        async with self._locks.setdefault(message_id, anyio.Lock()):
            await anyio.lowlevel.checkpoint()
            if self.fails_at == "begin":
                raise OSError(NUMBER)
            try:
                yield message_id not in self.ids
            except BaseException as error:
                self.errors.append(error)
                raise
            await anyio.lowlevel.checkpoint()
            if self.fails_at == "commit":
                raise OSError(NUMBER)
            self.ids.add(message_id)


def processes(table: Table, handler: Any, count: int = 2) -> list[IncomingReceiver]:
    """Return the receivers of several processes that share a table."""
    return [IncomingReceiver(handler, token=TOKEN, claim=table.claim, timeout=5) for _ in range(count)]


async def test_a_message_is_handled_in_one_process(anyio_backend: str) -> None:
    """A push that is repeated to another process is not handled again."""
    table, handler = Table(), Handler("thanks")
    first, second = processes(table, handler)
    assert await push(first) == (200, "{sms=thanks}")
    assert await push(second) == (200, "")
    assert await push(first) == (200, "{sms=thanks}")
    assert await push(second, push_of(2)) == (200, "{sms=thanks}")
    assert handler.ids == ["539187174", "2"]


async def test_two_processes_at_the_same_time(anyio_backend: str) -> None:
    """While one process handles a message, the other process waits for the end of the transaction."""
    table, go, calls = Table(), anyio.Event(), 0

    async def handle(_: PushedMessage) -> None:
        nonlocal calls
        calls += 1
        await go.wait()
        if calls == 1:
            raise LookupError

    statuses = []

    async def one_push(receiver: IncomingReceiver) -> None:
        statuses.append((await push(receiver))[0])

    async with anyio.create_task_group() as tasks:
        for receiver in processes(table, handle, 3):
            tasks.start_soon(one_push, receiver)
        await anyio.wait_all_tasks_blocked()
        assert calls == 1
        go.set()
    assert sorted(statuses) == [200, 200, 503]
    assert calls == 2


@pytest.mark.parametrize("place", ["begin", "commit", "handle"])
async def test_a_failed_transaction(place: str, anyio_backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the transaction or the handler fails, nothing is committed, and the repeat handles the message."""
    table, handler = Table(), Handler()
    handler.error = LookupError() if place == "handle" else None
    table.fails_at = place
    first, second = processes(table, handler)
    assert await push(first) == (503, "")
    assert table.ids == set()
    assert [record.levelno for record in caplog.records if record.name == "smsapi_async"] == [logging.WARNING]
    assert NUMBER not in caplog.text
    assert table.errors == ([handler.error] if place == "handle" else [])
    table.fails_at = handler.error = None
    assert await push(second) == (200, "")
    assert await push(first) == (200, "")
    assert len(handler.messages) == (1 if place == "begin" else 2)


async def test_a_handler_that_takes_too_long_is_rolled_back(anyio_backend: str) -> None:
    """If the handler is cancelled after the timeout, the transaction is rolled back."""
    table = Table()

    async def handle(_: PushedMessage) -> None:
        await anyio.sleep_forever()

    receiver = IncomingReceiver(handle, token=TOKEN, claim=table.claim, timeout=0.02)
    assert await push(receiver) == (503, "")
    assert (table.ids, len(table.errors)) == (set(), 1)


async def test_an_unused_turn_is_rolled_back(anyio_backend: str) -> None:
    """A turn that ends without an exception of the handler rolls the transaction back."""
    table = Table()
    [receiver] = processes(table, Handler(), 1)
    turn = await receiver.register.take("1")
    assert turn is not None
    await turn.undone()
    assert table.ids == set()
    assert [type(error) for error in table.errors] == [NotHandled]


class Claims:
    """Functions that claim and release ids.

    Attributes:
        ids: the claimed ids.
        fails: whether `release` raises an exception.
    """

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.fails = False

    async def claim(self, message_id: str) -> bool:
        is_new = message_id not in self.ids
        self.ids.add(message_id)
        return is_new

    async def release(self, message_id: str) -> None:
        if self.fails:
            raise OSError(NUMBER)
        self.ids.discard(message_id)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("has_release", [False, True])
async def test_a_function_that_claims(has_release: bool, fails: bool, anyio_backend: str) -> None:
    """After a failure, the claim is released. Without a release, the same process handles the repeat."""
    claims, handler = Claims(), Handler()
    claims.fails = fails
    options: dict[str, Any] = {"release": claims.release} if has_release else {}
    first, second = [IncomingReceiver(handler, token=TOKEN, claim=claims.claim, **options) for _ in range(2)]
    handler.error = LookupError()
    assert await push(first) == (503, "")
    assert await push(first) == (503, "")
    handler.error = None
    is_released = has_release and not fails
    assert (claims.ids == set()) is is_released
    assert await push(second if is_released else first) == (200, "")
    assert await push(first) == await push(second) == (200, "")
    assert len(handler.messages) == 3


async def test_a_message_that_another_process_claimed(anyio_backend: str) -> None:
    """If another process claimed a message and failed, this process can handle the next repeat."""
    claims, handler = Claims(), Handler()
    receiver = IncomingReceiver(handler, token=TOKEN, claim=claims.claim, release=claims.release)
    await claims.claim("539187174")
    assert await push(receiver) == (200, "")
    assert handler.messages == []
    await claims.release("539187174")
    assert await push(receiver) == (200, "")
    assert len(handler.messages) == 1


@pytest.mark.parametrize("result", ["INSERT 0 0", None, 1])
async def test_a_claim_that_returns_no_bool(
    result: Any, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A claim that returns something else than True or False is an error, and the message is not handled."""

    async def claim(_: str) -> bool:
        answer: bool = result
        return answer

    @asynccontextmanager
    async def transaction(_: str) -> AsyncIterator[bool]:
        yield result

    handler = Handler()
    for function in (claim, transaction):
        receiver = IncomingReceiver(handler, token=TOKEN, claim=function)
        assert await push(receiver) == (503, "")
    assert handler.messages == []
    assert caplog.text.count("ValidationError") == 2


async def test_plain_functions_that_claim_and_release(anyio_backend: str) -> None:
    """The functions `claim` and `release` need not be async, as the handler need not be async."""
    ids: set[str] = set()

    def claim(message_id: str) -> bool:
        is_new = message_id not in ids
        ids.add(message_id)
        return is_new

    handler, options = Handler(), {"claim": claim, "release": ids.discard}
    first, second = (IncomingReceiver(handler, token=TOKEN, **options) for _ in range(2))  # type: ignore[arg-type]
    handler.error = LookupError()
    assert await push(first) == (503, "")
    assert ids == set()
    handler.error = None
    assert [await push(each) for each in (second, first)] == [(200, ""), (200, "")]
    assert len(handler.messages) == 2
