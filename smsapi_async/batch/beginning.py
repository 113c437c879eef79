"""Limits how long a claimed request may wait until its first byte, for example for a slow pace."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio

from smsapi_async.errors import NotSent, OutcomeUnknown
from smsapi_async.http.exchange import Evidence

if TYPE_CHECKING:
    from smsapi_async.ledger import Ledger

_Value = TypeVar("_Value")


async def begun_in_time(
    send: Callable[[], Awaitable[_Value]], evidence: Evidence, ledger: Ledger | None, token: str
) -> _Value | None:
    """Make a request whose messages are claimed, unless the request does not begin in time.

    If the claim of a waiting request ended, its messages would read as unknown, although nothing was sent.
    Therefore the caller releases the claim before its end, and claims the messages again.

    Args:
        send: an async function that makes the request, and uses `evidence`.
        evidence: records the trace events of the request.
        ledger: the ledger of the claim, or None.
        token: the token of the claim.

    Returns:
        The result of `send`; None if the request did not begin in time. Nothing was sent then.

    Raises:
        OutcomeUnknown: if the request took too long, and there is no proof that nothing was sent.
    """
    if ledger is None:
        return await send()
    evidence.may_write = partial(ledger.may_send, token)
    if ledger.begin_within is None:
        return await send()
    with anyio.move_on_after(ledger.begin_within) as scope:

        def may_write() -> bool:
            # The settings of the client limit the time of the request itself.
            scope.deadline = math.inf
            return not scope.cancel_called and ledger.may_send(token)

        evidence.may_write = may_write
        try:
            return await send()
        except NotSent:
            if not scope.cancel_called:
                raise
    if not evidence.proves_not_sent():
        # A transport of the caller that reports no trace events does not tell when the request begins.
        raise OutcomeUnknown("the request took longer than the claim in the ledger allows")
    return None
