"""Spans and metrics of a client by the messaging conventions of OpenTelemetry, with its API.

Pass an `OpenTelemetry` to the client::

    from smsapi_async.contrib.opentelemetry import OpenTelemetry

    sms = AsyncSmsClient.from_env(observers=[OpenTelemetry()])

Each request is a span with a name like ``send Sms/Send`` and the kind CLIENT. The parent is the span that was
current in the code that called the client. For `AsyncSmsClient.send_many`, the parent is the span that was
current when the program entered the ``async with`` block. During a request, the span of the request is
current. Each login is a span too, and so is each call that ends before its first request. If the outcome is
not a success, the status of the span is ERROR, and ``error.type`` is the name of the class of the error.

| Metric                                | Kind      | Value                                                  |
|---------------------------------------|-----------|--------------------------------------------------------|
| `messaging.client.operation.duration` | histogram | seconds of each span                                   |
| `messaging.client.sent.messages`      | counter   | recipients of requests that may have been written      |
| `smsapi.client.accepted.segments`     | counter   | segments that the gateway accepted and bills           |
| `smsapi.client.active_requests`       | counter   | requests in flight now                                 |
| `smsapi.client.wait.duration`         | histogram | seconds that a call waited before a request            |
| `smsapi.client.ledger_claim.duration` | histogram | seconds of a claim in a ledger                         |
| `smsapi.client.inbox.failed_rounds`   | counter   | failed rounds of `AsyncSmsClient.watch_incoming`       |

The transports of this package make no spans of their own. If you pass an `httpx.AsyncClient` with the
instrumentation of OpenTelemetry, its span is a child of the span of the request. Its URL has no query,
because the query contains the session id.

No span and no metric contains a password, a session id, a text, a phone number or a segment id.
"""

import time
from collections.abc import Mapping
from contextvars import Token

import attrs

from smsapi_async.contrib.missing import needs

with needs(__name__, {"opentelemetry"}, "opentelemetry-api"):
    from opentelemetry import context, metrics, trace

from smsapi_async.errors import ValidationError
from smsapi_async.observers import (
    Event,
    InboxRoundFailed,
    LedgerClaim,
    LoginFailed,
    LoginMade,
    RequestBegun,
    RequestEnded,
    RequestNotMade,
)
from smsapi_async.privacy import type_name
from smsapi_async.protocol.resources import INCOMING, LOGIN, SEND_BULK, SEND_BULK_BY_TIME_ZONE
from smsapi_async.version import __version__

__all__ = ["OpenTelemetry"]

_SYSTEM = "smsapi"
_BULKS = {SEND_BULK.name, SEND_BULK_BY_TIME_ZONE.name}
_SUCCESSES = {"accepted", "succeeded"}
# The conventions of OpenTelemetry prescribe these boundaries for `messaging.client.operation.duration`.
_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
# The number of the request whose span is current.
_REQUEST = context.create_key("smsapi-request")

_Attributes = dict[str, str | int | float]


@attrs.frozen
class _Open:
    """The span of a request in flight.

    Attributes:
        span: the span.
        attributes: the attributes of the metrics of the request.
        token: the token that makes the earlier span current again.
    """

    span: trace.Span
    attributes: _Attributes
    token: Token[context.Context]


class OpenTelemetry:
    """An observer that reports the events of a client as spans and metrics.

    Several clients may share an observer.

    Args:
        tracer_provider: provides the tracer. None means the global provider, also if the program sets the
            global provider later.
        meter_provider: provides the meter. None means the global provider.

    Raises:
        ValidationError: if a parameter is not a provider.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        if tracer_provider is not None and not callable(getattr(tracer_provider, "get_tracer", None)):
            raise ValidationError("tracer_provider", type_name(tracer_provider), "pass a TracerProvider")
        if meter_provider is not None and not callable(getattr(meter_provider, "get_meter", None)):
            raise ValidationError("meter_provider", type_name(meter_provider), "pass a MeterProvider")
        self._tracer = trace.get_tracer("smsapi_async", __version__, tracer_provider)
        self._open: dict[int, _Open] = {}
        meter = metrics.get_meter("smsapi_async", __version__, meter_provider)
        self._duration = _seconds(
            meter, "messaging.client.operation.duration", "Duration of the requests and logins of the client."
        )
        self._sent = meter.create_counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Number of recipients of requests that the client wrote, or may have written.",
        )
        self._segments = meter.create_counter(
            "smsapi.client.accepted.segments",
            unit="{segment}",
            description="Number of segments that the gateway accepted and bills.",
        )
        self._active = meter.create_up_down_counter(
            "smsapi.client.active_requests", unit="{request}", description="Number of requests in flight."
        )
        self._wait = _seconds(
            meter, "smsapi.client.wait.duration", "Time for which calls waited before a request."
        )
        self._claim = _seconds(
            meter, "smsapi.client.ledger_claim.duration", "Duration of claims in a ledger."
        )
        self._inbox = meter.create_counter(
            "smsapi.client.inbox.failed_rounds",
            unit="{round}",
            description="Number of failed rounds of the inbox.",
        )

    def __call__(self, event: Event) -> None:
        """Report an event."""
        match event:
            case RequestBegun():
                self._begin(event)
            case RequestEnded():
                self._end(event)
            case RequestNotMade():
                self._report(event, _attributes(event, event.resource, event.method), event.waited)
            case LoginMade() | LoginFailed():
                attributes = _attributes(event, LOGIN.name, LOGIN.method)
                self._report(event, attributes, event.elapsed, {"smsapi.attempts": event.attempts})
            case LedgerClaim():
                self._claim.record(
                    event.elapsed, _failed_with({"smsapi.ledger": event.ledger}, event.error_type)
                )
            case InboxRoundFailed():
                self._inbox.add(1, _failed_with({}, event.error_type))
            case _:
                # A batch and its requests have the same outcomes.
                pass

    def _begin(self, event: RequestBegun) -> None:
        if event.request in self._open:
            # The client has this observer twice.
            return
        attributes = _attributes(event, event.resource, event.method)
        self._active.add(1, attributes)
        self._wait.record(event.waited, attributes)
        # A message cannot carry the context of a trace, so the conventions prescribe the kind CLIENT.
        span = self._tracer.start_span(
            _span_name(attributes),
            kind=trace.SpanKind.CLIENT,
            attributes=attributes | _of_request(event),
        )
        current = context.set_value(_REQUEST, event.request, trace.set_span_in_context(span))
        self._open[event.request] = _Open(span, attributes, context.attach(current))

    def _end(self, event: RequestEnded) -> None:
        begun = self._open.pop(event.request, None)
        if begun is None:
            return
        # If a client has two observers, the first one restores the context. Python may also end a coroutine
        # that nobody continues in the context of other code.
        if context.get_value(_REQUEST) == event.request:
            context.detach(begun.token)
        self._active.add(-1, begun.attributes)
        error_type = _error_type(event)
        _finish(begun.span, event, error_type)
        if event.recipients:
            begun.span.set_attribute("smsapi.segments", event.segments)
        if event.failure is not None:
            begun.span.set_attribute("smsapi.failure", event.failure)
        begun.span.end()
        ended = _failed_with(begun.attributes, error_type)
        self._duration.record(event.elapsed, ended)
        if event.recipients and event.outcome != "not_sent":
            self._sent.add(event.recipients, ended)
        if event.outcome == "accepted":
            self._segments.add(event.segments, ended)

    def _report(
        self,
        event: RequestNotMade | LoginMade | LoginFailed,
        attributes: _Attributes,
        seconds: float,
        further: Mapping[str, int] | None = None,
    ) -> None:
        """Report something that has ended already as a span, and its duration.

        Args:
            event: the event.
            attributes: the attributes of the metric and the span.
            seconds: the duration.
            further: further attributes of the span, or None.
        """
        ended = time.time_ns()
        span = self._tracer.start_span(
            _span_name(attributes),
            kind=trace.SpanKind.CLIENT,
            attributes=attributes | _of_request(event) | dict(further or {}),
            start_time=ended - max(0, round(seconds * 1e9)),
        )
        error_type = _error_type(event)
        _finish(span, event, error_type)
        span.end(ended)
        self._duration.record(max(0.0, seconds), _failed_with(attributes, error_type))


def _seconds(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    return meter.create_histogram(
        name, unit="s", description=description, explicit_bucket_boundaries_advisory=_SECONDS
    )


def _attributes(
    event: RequestBegun | RequestNotMade | LoginMade | LoginFailed, resource: str, method: str
) -> _Attributes:
    """Return the attributes that a span has from its start, and its metrics have too."""
    attributes: _Attributes = {
        "messaging.system": _SYSTEM,
        "messaging.destination.name": resource,
        "server.address": event.server_address,
        "server.port": event.server_port,
    }
    if method == "POST":
        attributes["messaging.operation.name"] = attributes["messaging.operation.type"] = "send"
    elif resource == INCOMING.name:
        attributes["messaging.operation.name"] = attributes["messaging.operation.type"] = "receive"
    elif resource == LOGIN.name:
        attributes["messaging.operation.name"] = "login"
    else:
        attributes["messaging.operation.name"] = resource.rpartition("/")[2].lower()
    return attributes


def _span_name(attributes: _Attributes) -> str:
    return f"{attributes['messaging.operation.name']} {attributes['messaging.destination.name']}"


def _of_request(event: RequestBegun | RequestNotMade | LoginMade | LoginFailed) -> _Attributes:
    """Return the further attributes that the span of a request has from its start."""
    if isinstance(event, LoginMade | LoginFailed):
        return {"http.request.method": LOGIN.method}
    attributes: _Attributes = {"http.request.method": event.method, "smsapi.waited": event.waited}
    if event.recipients:
        attributes["smsapi.segments"] = event.segments
    if event.resource in _BULKS:
        attributes["messaging.batch.message_count"] = event.recipients
    if isinstance(event, RequestBegun):
        attributes["smsapi.attempt"] = event.attempt
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
    return attributes


def _finish(
    span: trace.Span,
    event: RequestEnded | RequestNotMade | LoginMade | LoginFailed,
    error_type: str | None,
) -> None:
    """Set the status of a span and the attributes that are known at its end."""
    if error_type is not None:
        span.set_attribute("error.type", error_type)
        span.set_status(trace.Status(trace.StatusCode.ERROR, _outcome(event)))
    span.set_attribute("smsapi.outcome", _outcome(event))
    if isinstance(event, LoginMade):
        return
    if event.code is not None:
        span.set_attribute("smsapi.code", event.code)
    if event.http_status is not None:
        span.set_attribute("http.response.status_code", event.http_status)


def _outcome(event: RequestEnded | RequestNotMade | LoginMade | LoginFailed) -> str:
    return "succeeded" if isinstance(event, LoginMade) else event.outcome


def _error_type(event: RequestEnded | RequestNotMade | LoginMade | LoginFailed) -> str | None:
    """Return the value of the attribute ``error.type``, or None after a success."""
    if isinstance(event, LoginMade) or event.outcome in _SUCCESSES:
        return None
    return event.error_type or event.outcome


def _failed_with(attributes: _Attributes, error_type: str | None) -> _Attributes:
    """Return the attributes of a metric with the type of an error, if there is an error."""
    return attributes if error_type is None else attributes | {"error.type": error_type}
