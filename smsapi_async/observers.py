"""The events of a client, for observers: metrics, traces and logs.

An observer is a function with one parameter, the event. Pass observers to the client::

    from smsapi_async.observers import Event, RequestEnded


    def count(event: Event) -> None:
        if isinstance(event, RequestEnded):
            print(event.resource, event.outcome, f"{event.elapsed:.3f} s")


    sms = AsyncSmsClient.from_env(observers=[count])

The client calls each observer synchronously, in the task of the call, so an observer sees the context
variables of the code that called the client. For a batch, this is the code that entered the ``async with``
block. An observer must return quickly, because the event loop waits for the observer.

An observer cannot change what becomes of a message. If an observer raises an exception, the logger
``smsapi_async`` gets one warning, and the client does not call this observer again. Only `KeyboardInterrupt`
and `SystemExit` are raised to the caller.

No event contains a password, a session id, a text, a phone number, a key or a segment id. The events are
immutable. A later version may add fields and events, so ignore an event that you do not know.

The ``error_type`` of a cancellation is ``CancelledError``, on asyncio and on trio.

The outcome of a request is one of these words:

| Outcome     | Meaning                                                                            |
|-------------|------------------------------------------------------------------------------------|
| `accepted`  | The gateway accepted the messages of a send.                                       |
| `rejected`  | The gateway refused the request, or the login for it. Nothing was sent.            |
| `not_sent`  | A send failed, and it is proved that nothing was sent.                             |
| `unknown`   | A send failed or was cancelled, and its messages may have been sent.               |
| `succeeded` | A read got its response.                                                           |
| `failed`    | A read got no usable response.                                                     |
| `cancelled` | A read was cancelled. A cancelled send is `not_sent` or `unknown`.                 |
"""

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from smsapi_async.privacy import steady_repr

__all__ = [
    "BatchProgress",
    "ClientStats",
    "Event",
    "InboxRecovered",
    "InboxRoundFailed",
    "LedgerClaim",
    "LoginFailed",
    "LoginMade",
    "Observer",
    "RequestBegun",
    "RequestEnded",
    "RequestNotMade",
    "RequestOutcome",
]

RequestOutcome = Literal["accepted", "rejected", "not_sent", "unknown", "succeeded", "failed", "cancelled"]
"""The outcome of a request. The documentation of this module describes the words."""


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class RequestBegun:
    """A request begins. A `RequestEnded` with the same ``request`` always follows.

    A call may make several requests, for example if a connection broke. A login is no such request: see
    `LoginMade`.

    Attributes:
        request: the number of the request, unique in this process.
        resource: the resource of the gateway, for example ``Sms/Send``.
        method: ``GET`` or ``POST``.
        recipients: the number of recipients of a send; 0 for a read.
        segments: the number of segments of all messages of a send, computed from the text; 0 for a read.
        attempt: the number of this request in its call; 1 for the first request.
        waited: the seconds between the beginning of the call, or the end of its previous request, and this
            request. The call waited for other calls, a login, its time or the next attempt.
        server_address: the host of the gateway.
        server_port: the port of the gateway.
    """

    request: int
    resource: str
    method: str
    recipients: int
    segments: int
    attempt: int
    waited: float
    server_address: str
    server_port: int


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class RequestEnded:
    """A request has ended, also by a cancellation.

    Attributes:
        request: the number of the request, as in its `RequestBegun`.
        resource: the resource of the gateway, for example ``Sms/Send``.
        method: ``GET`` or ``POST``.
        recipients: the number of recipients of a send; 0 for a read.
        segments: the number of segments of all messages of a send. If the gateway accepted the messages, the
            number of the segments that it bills; otherwise computed from the text.
        attempt: the number of this request in its call; 1 for the first request.
        waited: the seconds for which the call waited before this request; see `RequestBegun`.
        server_address: the host of the gateway.
        server_port: the port of the gateway.
        elapsed: the seconds from the beginning to the end of the request.
        outcome: the outcome of the request. The call may make another request after ``not_sent``,
            ``failed``, and a refusal of the session.
        code: the error code of the gateway, or None.
        http_status: the HTTP status of the response, or None if no response arrived.
        error_type: the name of the class of the error, for example ``NotEnoughCredits``; None after a
            success.
        failure: the name of the exception of the transport, for example ``httpx.ReadTimeout``, or None.
    """

    request: int
    resource: str
    method: str
    recipients: int
    segments: int
    attempt: int
    waited: float
    server_address: str
    server_port: int
    elapsed: float
    outcome: RequestOutcome
    code: int | None = None
    http_status: int | None = None
    error_type: str | None = None
    failure: str | None = None


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class RequestNotMade:
    """A call has ended before its first request: for example, a login or the wait for other calls failed.

    A call that never began has no event: a call with an invalid parameter, or a call of a closed client.

    Attributes:
        resource: the resource of the gateway, for example ``Sms/Send``.
        method: ``GET`` or ``POST``.
        recipients: the number of recipients of a send; 0 for a read.
        segments: the number of segments of all messages of a send, computed from the text; 0 for a read.
        waited: the seconds from the beginning to the end of the call.
        server_address: the host of the gateway.
        server_port: the port of the gateway.
        outcome: the outcome of the call.
        code: the error code of a refused login, or None.
        http_status: the HTTP status of a refused login, or None.
        error_type: the name of the class of the error.
    """

    resource: str
    method: str
    recipients: int
    segments: int
    waited: float
    server_address: str
    server_port: int
    outcome: RequestOutcome
    code: int | None = None
    http_status: int | None = None
    error_type: str | None = None


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class LoginMade:
    """The client has logged in, or renewed its session.

    Attributes:
        elapsed: the seconds of the login, with all attempts.
        attempts: the number of requests of the login.
        server_address: the host of the gateway.
        server_port: the port of the gateway.
    """

    elapsed: float
    attempts: int
    server_address: str
    server_port: int


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class LoginFailed:
    """The gateway refused a login, or a login got no usable response.

    Attributes:
        elapsed: the seconds of the login, with all attempts.
        attempts: the number of requests of the login.
        server_address: the host of the gateway.
        server_port: the port of the gateway.
        outcome: ``rejected``, ``failed`` or ``cancelled``.
        code: the error code of the gateway, or None.
        http_status: the HTTP status of the last response, or None.
        error_type: the name of the class of the error, for example ``InvalidCredentials``.
    """

    elapsed: float
    attempts: int
    server_address: str
    server_port: int
    outcome: Literal["rejected", "failed", "cancelled"]
    code: int | None = None
    http_status: int | None = None
    error_type: str | None = None


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class BatchProgress:
    """The counts of a batch: after requests, at most 20 times a second, and at the end of the batch.

    ``send_many`` and ``send_pending`` are batches.

    Attributes:
        batch: the number of the batch, unique in this process.
        accepted: the number of `Accepted` outcomes so far.
        rejected: the number of `Rejected` outcomes so far.
        unknown: the number of `Unknown` outcomes so far.
        recorded: the number of these outcomes that the ledger knew already, so that nothing was sent.
        segments: the number of segments of the accepted messages that this batch has sent.
        pending: the number of messages that the batch has read and that have no outcome yet. For
            ``send_pending``, the number of messages in flight.
        elapsed: the seconds since the beginning of the batch.
        has_ended: whether this is the last event of the batch.
        error_type: the name of the class of the error for which the batch halted, or None.
    """

    batch: int
    accepted: int
    rejected: int
    unknown: int
    recorded: int
    segments: int
    pending: int
    elapsed: float
    has_ended: bool = False
    error_type: str | None = None


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class LedgerClaim:
    """A claim in a ledger has ended. A claim records messages before their request begins.

    Attributes:
        ledger: ``sqlite``, ``postgres``, or the name of the class of another ledger.
        messages: the number of messages that the claim is for.
        claimed: the number of messages that are sent now.
        recorded: the number of messages that have an outcome in the ledger, so that they are not sent.
        in_flight: the number of messages that another sender has claimed.
        elapsed: the seconds of the claim.
        error_type: the name of the class of the error, if the claim failed; otherwise None.
    """

    ledger: str
    messages: int
    claimed: int
    recorded: int
    in_flight: int
    elapsed: float
    error_type: str | None = None


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class InboxRoundFailed:
    """A round of `AsyncSmsClient.watch_incoming` failed. No incoming message is lost.

    Attributes:
        failures: the number of successive failed rounds, with this one.
        retry_in: the seconds until the next round; None if the stream has ended.
        code: the error code of the gateway, or None.
        http_status: the HTTP status of the response, or None.
        error_type: the name of the class of the error, for example ``TransportFailed``.
    """

    failures: int
    retry_in: float | None
    code: int | None = None
    http_status: int | None = None
    error_type: str | None = None


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class InboxRecovered:
    """A round of `AsyncSmsClient.watch_incoming` succeeded after failed rounds.

    Attributes:
        failures: the number of successive failed rounds before this one.
        elapsed: the seconds since the first of these rounds failed.
    """

    failures: int
    elapsed: float


Event = (
    RequestBegun
    | RequestEnded
    | RequestNotMade
    | LoginMade
    | LoginFailed
    | BatchProgress
    | LedgerClaim
    | InboxRoundFailed
    | InboxRecovered
)
"""Any event of a client."""

Observer = Callable[[Event], object]
"""A function that is called with each event. Its result is ignored."""


@steady_repr
@attrs.frozen(kw_only=True, weakref_slot=False)
class ClientStats:
    """What a client does now, and what it has done. `AsyncSmsClient.stats` returns this object.

    Attributes:
        in_flight: the number of requests in flight. Logins do not count.
        waiting: the number of calls that wait for other calls, a login, their time or another attempt.
        logins: the number of successful logins of this client.
        logins_failed: the number of logins that the gateway refused, or that got no usable response.
        by_outcome: for each outcome, the number of calls that have ended with it. A call that made several
            requests counts once. The documentation of `smsapi_async.observers` describes the outcomes.
        by_resource: the same for each resource of the gateway.
    """

    in_flight: int
    waiting: int
    logins: int
    logins_failed: int
    by_outcome: Mapping[RequestOutcome, int]
    by_resource: Mapping[str, Mapping[RequestOutcome, int]]
