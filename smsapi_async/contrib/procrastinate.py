"""Workers in procrastinate: periodic tasks that send, follow and receive messages with a PostgreSQL ledger.

The messages are in the ledger, and the ledger is their queue. The jobs of procrastinate are only ticks: their
only argument is the time of the tick. No job contains a message, a phone number or a text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

from smsapi_async.contrib.missing import needs

with needs(__name__, {"procrastinate"}, "'procrastinate>=3'", "procrastinate"):
    from procrastinate import Blueprint

import anyio
import attrs

from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import LedgerInUse, ValidationError
from smsapi_async.inbox import Checkpoint
from smsapi_async.models import IncomingMessage
from smsapi_async.postgres import Shared
from smsapi_async.privacy import type_name
from smsapi_async.tracking import Delivery

__all__ = ["blueprint"]

_Item = TypeVar("_Item")
_Work = Callable[[], Awaitable[None]]

TICK_SECONDS: Final = 50.0
"""The longest time, in seconds, for which one tick of `follow` or `incoming` waits for the next change."""

# The longest time, in seconds, for which a tick waits for a role that another worker holds.
_WAIT_FOR_ROLE = 1.0
# A tick that is over waits so long for one more message. The inbox meanwhile saves its position.
_LAST_WAIT = 1.0


def blueprint(
    dsn: str,
    *,
    account: str = "main",
    client: Callable[..., AsyncSmsClient] = AsyncSmsClient.from_env,
    per_second: float | None = None,
    on_delivery: Callable[[Delivery], Awaitable[object]] | None = None,
    on_incoming: Callable[[IncomingMessage], Awaitable[object]] | None = None,
    drain: str = "* * * * * */10",
    follow: str = "* * * * *",
    incoming: str = "* * * * *",
    queue: str = "default",
) -> Blueprint:
    """Return a blueprint with the periodic tasks ``drain``, ``follow`` and ``incoming``.

    Use it as ``app.add_tasks_from(blueprint(dsn), namespace="smsapi")``. Then start any number of workers of
    procrastinate:

    - ``drain`` sends the pending messages of the ledger, and ends when no message is due. See
      `AsyncSmsClient.send_pending`.
    - ``follow`` follows the accepted messages, records their deliveries in the ledger, and passes each
      delivery to `on_delivery`. One worker at a time does this; see `Ledger.role`.
    - ``incoming`` passes each incoming message to `on_incoming`, also in one worker at a time. After a crash,
      one message can arrive twice. The blueprint has this task only if `on_incoming` is given.

    A task that is still waiting in the queue is not added again. A tick of ``follow`` or ``incoming`` ends
    after about a minute, so the worker can stop in order. For two accounts, add two blueprints with different
    namespaces.

    Args:
        dsn: the address of the database of the ledger; see `Shared.postgres`. The database of procrastinate
            may be another one.
        account: the name of the account in the tables of the ledger.
        client: a function that returns a client. The task calls it with the keyword argument `session_store`,
            and with `pace` if `per_second` is given.
        per_second: maximum number of requests per second of all machines together. None means no limit.
        on_delivery: an async function that is called with each change of a message.
        on_incoming: an async function that is called with each incoming message.
        drain: the cron expression for ``drain``. The sixth field means seconds.
        follow: the cron expression for ``follow``.
        incoming: the cron expression for ``incoming``.
        queue: the queue of procrastinate for the ticks.

    Raises:
        ValidationError: if the address, the account, the client or a handler cannot be used.
    """
    for name, value in (("client", client), ("on_delivery", on_delivery), ("on_incoming", on_incoming)):
        if value is not None and not callable(value):
            raise ValidationError(name, type_name(value), "pass a function")
    worker = _Worker(dsn, account, client, per_second)
    worker.check()
    ticks = Blueprint()
    options = {"queue": queue, "account": account}
    _add(ticks, "drain", drain, options, worker.drain)
    _add(ticks, "follow", follow, options, lambda: worker.follow(on_delivery))
    if on_incoming is not None:
        _add(ticks, "incoming", incoming, options, lambda: worker.receive(on_incoming))
    return ticks


def _add(ticks: Blueprint, name: str, cron: str, options: dict[str, str], work: _Work) -> None:
    @ticks.periodic(cron=cron)
    @ticks.task(name=name, queue=options["queue"], queueing_lock=f"smsapi {name} {options['account']}")
    async def tick(timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes the time of the tick
        await work()


@attrs.frozen(repr=False)
class _Worker:
    """What the tasks do. Each tick opens the database and a client, and closes them at its end."""

    _dsn: str
    _account: str
    _client: Callable[..., AsyncSmsClient]
    _per_second: float | None

    def check(self) -> None:
        """Check the address, the account and the rate, without a connection."""
        shared = Shared.postgres(self._dsn, account=self._account)
        if self._per_second is not None:
            shared.pace(per_second=self._per_second)

    async def drain(self) -> None:
        async with self._opened() as (shared, sms):
            await sms.send_pending(shared.ledger, once=True)

    async def follow(self, handle: Callable[[Delivery], Awaitable[object]] | None) -> None:
        async with self._opened() as (shared, sms), AsyncExitStack() as stack:
            if await _has_role(stack, shared, "follow"):
                deliveries = await stack.enter_async_context(sms.track(shared.ledger))
                await _pass_on(deliveries, handle or _ignore)

    async def receive(self, handle: Callable[[IncomingMessage], Awaitable[object]]) -> None:
        async with self._opened() as (shared, sms), AsyncExitStack() as stack:
            if await _has_role(stack, shared, "incoming"):
                checkpoint: Checkpoint = shared.ledger.checkpoint()
                messages = await stack.enter_async_context(sms.watch_incoming(checkpoint=checkpoint))
                await _pass_on(messages, handle)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Shared, AsyncSmsClient]]:
        async with Shared.postgres(self._dsn, account=self._account) as shared:
            options: dict[str, Any] = {"session_store": shared.sessions}
            if self._per_second is not None:
                options["pace"] = shared.pace(per_second=self._per_second)
            async with self._client(**options) as sms:
                yield shared, sms


async def _has_role(stack: AsyncExitStack, shared: Shared, name: str) -> bool:
    try:
        await stack.enter_async_context(shared.ledger.role(name, timeout=_WAIT_FOR_ROLE))
    except LedgerInUse:
        # Another worker does the work.
        return False
    return True


async def _pass_on(items: AsyncIterator[_Item], handle: Callable[[_Item], Awaitable[object]]) -> None:
    """Pass items to a function until the end of the tick, which does not cancel the function."""
    end = anyio.current_time() + TICK_SECONDS
    while True:
        with anyio.move_on_after(max(end - anyio.current_time(), _LAST_WAIT)) as scope:
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
        if scope.cancelled_caught:
            return
        await handle(item)


async def _ignore(_: object) -> None:
    """Do nothing. The ledger has recorded the delivery."""
