"""What an exchange means: decided from plain values, before anything else is done.

A send is done, refused, proved not sent, or unknown. A read is done, worth another attempt, or
failed. A refusal of the session is told apart in both, since a new login cures it.
"""

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

import attrs

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
from smsapi_async.protocol.decoding import ErrorBody, Undecodable, decode_error, decode_segment_ids
from smsapi_async.protocol.resources import LOGIN, Resource

_Value = TypeVar("_Value")


@attrs.frozen
class Done(Generic[_Value]):
    """The call succeeded."""

    value: _Value


@attrs.frozen
class SessionRefused:
    """The session is no longer good; nothing was done."""

    error: RequestRejected


@attrs.frozen
class Again:
    """Nothing was done, or it does no harm to do it twice: another attempt may be made."""

    error: SmsApiError
    retry_after: float | None = None


@attrs.frozen
class Failed:
    """The call failed for good."""

    error: SmsApiError


Verdict = Done[_Value] | SessionRefused | Again | Failed


@attrs.frozen
class Circumstances:
    """What a verdict needs to know of the call.

    Attributes:
        resource: what was asked.
        private: values that no error text may show.
        now: the time, for a ``Retry-After`` that is a date.
    """

    resource: Resource
    private: tuple[str, ...] = attrs.field(repr=False)
    now: datetime


def judge_send(
    outcome: HttpResponse | ExchangeFailure, circumstances: Circumstances
) -> Verdict[tuple[str, ...]]:
    """What the outcome of a POST means (a send is never repeated without proof)."""
    if isinstance(outcome, ExchangeFailure):
        reason = _words(outcome, circumstances)
        return Again(NotSent(reason)) if outcome.not_sent else Failed(OutcomeUnknown(reason))
    if 200 <= outcome.status < 300:
        try:
            return Done(decode_segment_ids(outcome.body))
        except Undecodable as error:
            reason = str(error)
    else:
        reason = f"the gateway answered with HTTP {outcome.status}"
    body = decode_error(outcome.body)
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


def judge_read(
    outcome: HttpResponse | ExchangeFailure, decode: Callable[[bytes], _Value], circumstances: Circumstances
) -> Verdict[_Value]:
    """What the outcome of a GET means (a read may be repeated)."""
    if isinstance(outcome, ExchangeFailure):
        return Again(TransportFailed(f"no answer came: {_words(outcome, circumstances)}"))
    if outcome.status == 200:
        try:
            return Done(decode(outcome.body))
        except Undecodable as error:
            reason = str(error)
        return Failed(InvalidAnswer(reason, http_status=outcome.status))
    body = decode_error(outcome.body)
    refusal = _refusal(outcome, body, circumstances)
    if isinstance(refusal, Failed) and isinstance(refusal.error, RateLimited):
        return Again(refusal.error, refusal.error.retry_after)
    return refusal or _failed_read(outcome, body, circumstances)


def _refusal(
    answer: HttpResponse, body: ErrorBody | None, circumstances: Circumstances
) -> SessionRefused | Failed | None:
    """A definite refusal: a decoded code 1 to 7 under an HTTP 4xx, or a 429."""
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
    if circumstances.resource is LOGIN and kind is Unauthorized:
        kind = InvalidCredentials
    error = kind(code=body.code, description=description, http_status=answer.status)
    if body.names_session and circumstances.resource is not LOGIN:
        return SessionRefused(error)
    return Failed(error)


def _failed_read(
    answer: HttpResponse, body: ErrorBody | None, circumstances: Circumstances
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
    )
    if answer.status >= 500 or answer.status == 408:
        return Again(error, _seconds_to_wait(answer.retry_after, circumstances.now))
    return Failed(error)


def _words(failure: ExchangeFailure, circumstances: Circumstances) -> str:
    # After the request was written, an exception's text may quote what the server sent, and a server
    # may send back what it was sent: only the exception's name is shown.
    if not failure.not_sent or not failure.words:
        return failure.kind
    return f"{failure.kind}: {scrub(failure.words, circumstances.private)}"


def _seconds_to_wait(retry_after: str | None, now: datetime) -> float | None:
    """``Retry-After`` in seconds: a number, or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 16:
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
