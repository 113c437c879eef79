# mypy: disallow-any-expr
"""Uses of the observers and the stats of a client, checked by mypy."""

from collections.abc import Mapping
from typing import Literal, assert_never, assert_type

from smsapi_async import AsyncSmsClient
from smsapi_async.observers import (
    BatchProgress,
    ClientStats,
    Event,
    InboxRecovered,
    InboxRoundFailed,
    LedgerClaim,
    LoginFailed,
    LoginMade,
    Observer,
    RequestBegun,
    RequestEnded,
    RequestNotMade,
    RequestOutcome,
)


def shown(event: Event) -> str:  # noqa: PLR0911 - one return for each kind of event
    """Return a line for each kind of event."""
    match event:
        case RequestBegun():
            assert_type((event.request, event.attempt, event.waited), tuple[int, int, float])
            return f"{event.method} {event.resource} at {event.server_address}:{event.server_port}"
        case RequestEnded():
            assert_type(event.outcome, RequestOutcome)
            assert_type((event.code, event.http_status), tuple[int | None, int | None])
            return f"{event.outcome} {event.error_type} {event.failure} {event.elapsed:.3f}"
        case RequestNotMade():
            return f"{event.outcome} {event.recipients} {event.segments}"
        case LoginMade():
            return f"{event.attempts}"
        case LoginFailed():
            assert_type(event.outcome, Literal["rejected", "failed", "cancelled"])
            return event.outcome
        case BatchProgress():
            return f"{event.batch}: {event.accepted} {event.pending} {event.has_ended}"
        case LedgerClaim():
            return f"{event.ledger}: {event.claimed} of {event.messages}"
        case InboxRoundFailed():
            assert_type(event.retry_in, float | None)
            return f"{event.failures}"
        case InboxRecovered():
            return f"{event.failures} {event.elapsed}"
    assert_never(event)


def one_kind(event: RequestEnded) -> None:
    """Accept only one kind of event."""


async def observers(events: list[Event]) -> None:
    """Pass observers of several forms to the client."""
    observer: Observer = shown
    async with AsyncSmsClient("login", "password", observers=[observer, events.append, print]) as sms:
        assert_type(sms.stats, ClientStats)
        assert_type(sms.stats.by_outcome, Mapping[RequestOutcome, int])
        assert_type(sms.stats.by_outcome.get("accepted", 0), int)
        assert_type((sms.stats.in_flight, sms.stats.waiting, sms.stats.logins), tuple[int, int, int])
    AsyncSmsClient.from_env(observers=(shown,))
    AsyncSmsClient("login", "password", observers=[one_kind])  # type: ignore[list-item]
    AsyncSmsClient("login", "password", observers=shown)  # type: ignore[arg-type]
    sms.stats.logins = 3  # type: ignore[misc]
