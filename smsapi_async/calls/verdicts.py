"""Computes the verdict on an exchange: what the call does next. This module does no I/O.

The verdict on a send says that the gateway accepted or refused the send, that nothing was sent, or that the
outcome is unknown. The verdict on a read says that the read succeeded, failed, or may be repeated. For sends
and reads, the verdict `SessionRefused` says that the gateway refused the session. After a new login, the
request can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from smsapi_async.calls.decoders import decoding
from smsapi_async.deferred import Deferred
from smsapi_async.errors import (
    FAULTS,
    REJECTIONS,
    InternalServerError,
    InvalidAnswer,
    InvalidCredentials,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    SmsApiError,
    TransportFailed,
    Unauthorized,
)
from smsapi_async.http.exchange import ExchangeFailure, HttpResponse
from smsapi_async.privacy import scrub
from smsapi_async.protocol.dates import parse_http_date
from smsapi_async.protocol.resources import Resource

if TYPE_CHECKING:
    from email import utils
else:
    utils = Deferred("email.utils")

_Value = TypeVar("_Value")


@attrs.frozen
class Done(Generic[_Value]):
    """The call succeeded.

    Attributes:
        value: the decoded body of the response.
    """

    value: _Value


@attrs.frozen
class SessionRefused:
    """The gateway refused the session id, and did not process the request.

    Attributes:
        error: the error that the call raises if the gateway also refuses the session after a new login.
    """

    error: RequestRejected


@attrs.frozen
class Again:
    """Another attempt is safe: there is a proof that nothing was sent, or the request only reads.

    Attributes:
        error: the error that the call raises if no other attempt is made.
        retry_after: the seconds that the gateway asks the client to wait; None if the gateway names no time.
    """

    error: SmsApiError
    retry_after: float | None = None


@attrs.frozen
class Failed:
    """The call failed, and no other attempt is made.

    Attributes:
        error: the error that the call raises.
    """

    error: SmsApiError


Verdict = Done[_Value] | SessionRefused | Again | Failed


@attrs.frozen
class Circumstances:
    """The facts about a call, apart from the result of the exchange, that a verdict depends on.

    Attributes:
        resource: the resource of the gateway to which the request was made.
        private: the values of the request that no error text may contain, for example the session id.
        now: the current time, as an aware datetime; needed if the header ``Retry-After`` is a date.
        has_credentials: whether the request contained the login and the password, and no session id.
        hint: a probable cause of a refusal of the login and the password.
    """

    resource: Resource
    private: tuple[str, ...] = attrs.field(repr=False)
    now: datetime
    has_credentials: bool = False
    hint: str = ""


def judge_send(
    outcome: HttpResponse | ExchangeFailure, circumstances: Circumstances
) -> Verdict[tuple[str, ...]]:
    """Return the verdict on a send. A send is repeated only if there is a proof that nothing was sent.

    Args:
        outcome: the response or the failure of the exchange.
        circumstances: the resource, the private values and the time of the call.
    """
    if isinstance(outcome, ExchangeFailure):
        reason = _words(outcome, circumstances)
        return Again(NotSent(reason)) if outcome.not_sent else Failed(OutcomeUnknown(reason))
    if 200 <= outcome.status < 300:
        try:
            return Done(decoding.decode_segment_ids(_plain_body(outcome)))
        except decoding.Undecodable as error:
            # The code below returns `OutcomeUnknown`, because the gateway may have accepted the message.
            reason = str(error)
    else:
        reason = f"the gateway answered with HTTP {outcome.status}"
    body = None if outcome.coding else decoding.decode_error(outcome.body)
    refusal = _refusal(outcome, body, circumstances)
    if refusal is not None:
        return refusal
    return Failed(
        OutcomeUnknown(
            reason,
            code=body.code if body else None,
            http_status=outcome.status,
            description=scrub(body.description, circumstances.private) if body else "",
        )
    )


@attrs.frozen
class Dated(Generic[_Value]):
    """The decoded body of a response, and the time of the response on the clock of the gateway.

    Attributes:
        value: the decoded body of the response.
        answered_at: the time in the header ``Date``, aware, in UTC, without a fraction of a second. None if
            the header is missing or invalid.
    """

    value: _Value
    answered_at: datetime | None


def judge_dated_read(
    outcome: HttpResponse | ExchangeFailure, decode: Callable[[bytes], _Value], circumstances: Circumstances
) -> Verdict[Dated[_Value]]:
    """Return the verdict of `judge_read`. A decoded body comes together with the time of the response.

    Args:
        outcome: the response or the failure of the exchange.
        decode: a function that decodes the body of the response, or raises `Undecodable`.
        circumstances: the resource, the private values and the time of the call.
    """
    verdict = judge_read(outcome, decode, circumstances)
    answered_at = parse_http_date(outcome.date) if isinstance(outcome, HttpResponse) else None
    if isinstance(verdict, Done):
        return Done(Dated(verdict.value, answered_at))
    if isinstance(verdict.error, RequestRejected):
        verdict.error.answered_at = answered_at
    return verdict


def judge_read(
    outcome: HttpResponse | ExchangeFailure, decode: Callable[[bytes], _Value], circumstances: Circumstances
) -> Verdict[_Value]:
    """Return the verdict on a read. A read may be repeated after a failure, because a read sends no message.

    Args:
        outcome: the response or the failure of the exchange.
        decode: a function that decodes the body of the response, or raises `Undecodable`.
        circumstances: the resource, the private values and the time of the call.
    """
    if isinstance(outcome, ExchangeFailure):
        return Again(TransportFailed(f"no response arrived: {_words(outcome, circumstances)}"))
    if outcome.status == 200:
        try:
            return Done(decode(_plain_body(outcome)))
        except decoding.Undecodable as error:
            reason = str(error)
        return Failed(InvalidAnswer(reason, http_status=outcome.status))
    body = None if outcome.coding else decoding.decode_error(outcome.body)
    refusal = _refusal(outcome, body, circumstances)
    # A read is repeated after HTTP status 429. A send is not repeated after status 429, but raises
    # `RateLimited`.
    if isinstance(refusal, Failed) and isinstance(refusal.error, RateLimited):
        return Again(refusal.error, refusal.error.retry_after)
    return refusal or _failed_read(outcome, body, circumstances)


def _plain_body(response: HttpResponse) -> bytes:
    # A body with a content coding is refused, because the client does not request one and a decoded body may
    # be a thousand times larger.
    if response.coding is not None:
        raise decoding.Undecodable("the response has a content coding, and the client does not decode it")
    return response.body


def _refusal(
    answer: HttpResponse, body: decoding.ErrorBody | None, circumstances: Circumstances
) -> SessionRefused | Failed | None:
    """Return the verdict if the response is a definite refusal, else None.

    A response with HTTP status 429 is always a definite refusal. A response with another HTTP status 4xx
    (except 408) is a definite refusal if it contains a code from 1 to 7 (contract, "Codes").
    """
    # HTTP status 408 reports a timeout (RFC 9110, 15.5.9), which does not prove that the gateway did nothing.
    if not 400 <= answer.status < 500 or answer.status == 408:
        return None
    description = scrub(body.description, circumstances.private) if body else ""
    if answer.status == 429:
        return Failed(
            RateLimited(
                code=body.code if body else None,
                description=description or "too many requests",
                http_status=answer.status,
                retry_after=_seconds_to_wait(answer.retry_after, circumstances.now),
            )
        )
    if body is None or body.code not in REJECTIONS:
        return None
    kind = REJECTIONS[body.code]
    # In the response to a request with the login and the password, code 4 means that one of them is wrong.
    if circumstances.has_credentials and kind is Unauthorized:
        return Failed(InvalidCredentials(body.code, description, answer.status, hint=circumstances.hint))
    error = kind(body.code, description, answer.status)
    # For such a request, the verdict is never `SessionRefused`: the request contains no session id, and
    # another login does not help.
    if body.refuses_session and not circumstances.has_credentials:
        return SessionRefused(error)
    return Failed(error)


def _failed_read(
    answer: HttpResponse, body: decoding.ErrorBody | None, circumstances: Circumstances
) -> Again | Failed:
    reason = f"the gateway answered with HTTP {answer.status}"
    kind = FAULTS.get(body.code) if body else None
    if kind is None:
        kind = InternalServerError if answer.status >= 500 else InvalidAnswer
    error = kind(
        reason,
        code=body.code if body else None,
        http_status=answer.status,
        description=scrub(body.description, circumstances.private) if body else "",
        retry_after=_seconds_to_wait(answer.retry_after, circumstances.now),
    )
    return Again(error, error.retry_after) if answer.status >= 500 or answer.status == 408 else Failed(error)


def _words(failure: ExchangeFailure, circumstances: Circumstances) -> str:
    # If the request was written, the error shows only the name of the exception. The text of the exception
    # may quote the response, and the response may contain private values of the request.
    if not failure.not_sent or not failure.words:
        return failure.kind
    return f"{failure.kind}: {scrub(failure.words, circumstances.private)}"


def _seconds_to_wait(retry_after: str | None, now: datetime) -> float | None:
    """Convert the ``Retry-After`` header, a number or a date (RFC 9110, 10.2.3), to seconds to wait.

    The result is None if the ``Retry-After`` header is missing or is not valid.
    """
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 16:
        return float(text)
    try:
        date = utils.parsedate_to_datetime(text)
        return max(0.0, (date - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
