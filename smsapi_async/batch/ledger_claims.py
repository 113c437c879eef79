"""Claims messages in a ledger, and emits an event for each claim."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING

import anyio

from smsapi_async.calls.event_hub import EventHub, name_of_error
from smsapi_async.ledger.interface import ENGINES
from smsapi_async.ledger.requests import Claimed, InFlight
from smsapi_async.observers import LedgerClaim

if TYPE_CHECKING:
    from smsapi_async.ledger import Ledger
    from smsapi_async.ledger.queue import DueClaim, DuePart, RequestQueue


async def observed_claim(
    hub: EventHub, ledger: Ledger, token: str, messages: int, claim: Awaitable[list[Claimed]]
) -> list[Claimed]:
    """Wait for the result of `Ledger.claim`, and emit an event.

    The keys and the messages are no arguments, so that a traceback of this function does not contain them.

    Args:
        hub: gives the event to the observers.
        ledger: the ledger.
        token: the token of the claim.
        messages: the number of messages of the claim.
        claim: the call of `Ledger.claim`.
    """
    began_at = perf_counter()
    try:
        claimed = await claim
    except BaseException as error:
        _emit(hub, ledger, began_at, messages, error=error)
        raise
    if hub.is_active:
        sent, in_flight = claimed.count(None), sum(isinstance(known, InFlight) for known in claimed)
        try:
            _emit(hub, ledger, began_at, messages, claimed=sent, in_flight=in_flight)
        except BaseException:
            # The observer was interrupted, so that the messages are not sent now.
            with anyio.CancelScope(shield=True):
                await ledger.release(token)
            raise
    return claimed


async def claim_due(hub: EventHub, queue: RequestQueue, part: DuePart) -> DueClaim:
    """Claim due requests with `RequestQueue.claim_due`. A claim that finds no request has no event.

    Args:
        hub: gives the event to the observers.
        queue: the queue.
        part: the argument of `RequestQueue.claim_due`.
    """
    began_at = perf_counter()
    try:
        claim = await queue.claim_due(part)
    except BaseException as error:
        _emit(hub, queue, began_at, 0, error=error)
        raise
    if claim.requests:
        number = sum(len(request.messages) for request in claim.requests)
        try:
            _emit(hub, queue, began_at, number, claimed=number)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await queue.release_due(part.tokens)
            raise
    return claim


def _emit(
    hub: EventHub,
    ledger: Ledger,
    began_at: float,
    messages: int,
    *,
    claimed: int = 0,
    in_flight: int = 0,
    error: BaseException | None = None,
) -> None:
    if hub.is_active:
        engine = type(ledger)
        hub.emit(
            LedgerClaim(
                ledger=next((name for name, kind in ENGINES.items() if kind is engine), engine.__name__),
                messages=messages,
                claimed=claimed,
                recorded=0 if error else messages - claimed - in_flight,
                in_flight=in_flight,
                elapsed=perf_counter() - began_at,
                error_type=None if error is None else name_of_error(error),
            )
        )
