"""The spans and metrics of a client, with the SDK of OpenTelemetry and requests to a sandbox."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import (
    AsyncSmsClient,
    InvalidCredentials,
    MemorySessionStore,
    Message,
    SmsApiError,
    ValidationError,
)
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.client.tools import client_for, until
from tests.contrib.tools import faulty_line, skip_without

skip_without("opentelemetry.sdk", "opentelemetry.instrumentation.httpx")

from opentelemetry import trace  # noqa: E402
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: E402
from opentelemetry.trace import SpanKind, StatusCode  # noqa: E402

from smsapi_async.contrib.opentelemetry import OpenTelemetry  # noqa: E402
from tests.contrib.telemetry import Telemetry, attributes_of  # noqa: E402

pytestmark = pytest.mark.anyio
NUMBER = "79031234567"
TEXT = "The code is 4711"


@pytest.fixture
def telemetry() -> Telemetry:
    """Return a new observer."""
    return Telemetry()


async def test_a_send_is_a_child_of_the_callers_span(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """The span of a send is a child of the caller's span, and has the attributes of the conventions."""
    async with client_for(sandbox, observers=[telemetry.observer]) as sms:
        with telemetry.tracer.start_as_current_span("handler") as handler:
            await sms.send(NUMBER, TEXT)
            assert trace.get_current_span() is handler
    (span,) = telemetry.spans
    assert span.parent is not None
    assert span.parent.span_id == handler.get_span_context().span_id
    assert span.context.trace_id == handler.get_span_context().trace_id
    assert (span.name, span.kind, span.status.status_code) == (
        "send Sms/Send",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    attributes = attributes_of(span)
    assert attributes.pop("smsapi.waited") >= 0
    assert attributes == {
        "messaging.system": "smsapi",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "Sms/Send",
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0]),
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "smsapi.segments": 1,
        "smsapi.attempt": 1,
        "smsapi.outcome": "accepted",
    }
    scope = span.instrumentation_scope
    assert scope is not None
    assert scope.name == "smsapi_async"


_CALLS: list[tuple[str, str | None, Callable[[AsyncSmsClient], Awaitable[Any]]]] = [
    ("balance User/Balance", None, lambda sms: sms.balance()),
    ("send Sms/SendBulk", "send", lambda sms: sms.send_bulk([NUMBER, "79031234568"], TEXT)),
    ("receive Sms/In", "receive", lambda sms: sms.incoming()),
    ("state Sms/State", None, lambda sms: sms.state("1")),
]


@pytest.mark.parametrize(("name", "operation", "call"), _CALLS, ids=[name for name, _, _ in _CALLS])
async def test_each_method_has_its_own_name(
    sandbox: Sandbox,
    telemetry: Telemetry,
    name: str,
    operation: str | None,
    call: Callable[[AsyncSmsClient], Awaitable[Any]],
) -> None:
    """A reader of a trace sees which method was called, and a bulk shows the number of its messages."""
    async with client_for(sandbox, observers=[telemetry.observer]) as sms:
        try:
            await call(sms)
        except SmsApiError:
            assert name.startswith("state")
    (span,) = telemetry.spans
    assert span.name == name
    attributes = attributes_of(span)
    assert attributes.get("messaging.operation.type") == operation
    assert attributes.get("messaging.batch.message_count") == (2 if "Bulk" in name else None)


_FAILURES = [
    (Fault.CLOSE_AFTER_READ, "unknown", "OutcomeUnknown", None, 1),
    (Fault.ERROR_500_AFTER_PASS, "unknown", "OutcomeUnknown", 500, 1),
    (None, "not_sent", "NotSent", None, 0),
    (Fault.TOO_MANY_REQUESTS_429, "rejected", "RateLimited", 429, 1),
]


@pytest.mark.parametrize(("fault", "outcome", "error_type", "status", "sent"), _FAILURES)
async def test_a_failed_send_is_an_error(
    sandbox: Sandbox,
    telemetry: Telemetry,
    fault: Fault | None,
    outcome: str,
    error_type: str,
    status: int | None,
    sent: int,
) -> None:
    """A failed send is red in the trace, with the class of its error, in the span and in the metrics.

    A message of which no byte was written does not count as sent.
    """
    options = await faulty_line(sandbox, fault)
    async with client_for(sandbox, observers=[telemetry.observer], **options) as sms:
        with pytest.raises(SmsApiError):
            await sms.send(NUMBER, TEXT)
    (span,) = telemetry.spans
    attributes = attributes_of(span)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, outcome)
    assert (attributes["smsapi.outcome"], attributes["error.type"]) == (outcome, error_type)
    assert attributes.get("http.response.status_code") == status
    durations = telemetry.points("messaging.client.operation.duration")
    assert [(each["error.type"], count) for each, count in durations] == [(error_type, 1)]
    assert telemetry.total("messaging.client.sent.messages") == sent
    assert telemetry.total("smsapi.client.accepted.segments") == 0


async def test_a_refusal_shows_the_code(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """The span of a refused send shows the code of the gateway, but not its text."""
    sandbox.refuse_next("Sms/Send", 6, desc=f"{NUMBER} {TEXT}")
    async with client_for(sandbox, observers=[telemetry.observer]) as sms:
        with pytest.raises(SmsApiError) as caught:
            await sms.send(NUMBER, TEXT)
    (span,) = telemetry.spans
    assert attributes_of(span)["smsapi.code"] == 6
    assert attributes_of(span)["error.type"] == type(caught.value).__name__
    assert NUMBER not in span.to_json()


async def test_each_attempt_is_a_span(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """A send with two requests has two spans with the same parent, and the second is a repetition."""
    assert sandbox.proxy is not None
    options = await faulty_line(sandbox, Fault.PASS)
    sandbox.proxy.plan = FaultPlan.script([Fault.EXPIRED_SESSION])
    async with client_for(sandbox, observers=[telemetry.observer], **options) as sms:
        with telemetry.tracer.start_as_current_span("handler") as handler:
            await sms.send(NUMBER, TEXT)
    first, second = telemetry.spans
    assert {span.parent.span_id for span in (first, second) if span.parent} == {
        handler.get_span_context().span_id
    }
    assert [attributes_of(span).get("http.request.resend_count") for span in (first, second)] == [None, 1]
    assert [attributes_of(span)["smsapi.outcome"] for span in (first, second)] == ["rejected", "accepted"]


async def test_a_batch_keeps_the_context_of_its_block(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """All requests of `send_many` are in the trace of the code that entered the block.

    A span that the program opens while it reads the outcomes is no parent.
    """
    messages = [Message(f"7903123456{index}", f"{TEXT} {index % 3}") for index in range(9)]
    async with client_for(sandbox, observers=[telemetry.observer]) as sms:
        with telemetry.tracer.start_as_current_span("campaign") as campaign:
            async with sms.send_many(messages) as outcomes:
                with telemetry.tracer.start_as_current_span("inner"):
                    assert len([outcome async for outcome in outcomes]) == 9
    assert telemetry.spans
    parents = {span.parent.span_id if span.parent else None for span in telemetry.spans}
    assert parents == {campaign.get_span_context().span_id}
    assert telemetry.total("messaging.client.sent.messages") == 9
    assert telemetry.total("smsapi.client.accepted.segments") == 9


async def test_calls_at_the_same_time_have_their_own_parents(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Each of many sends at the same time is in the trace of its own caller, also with few connections."""

    async def handle(index: int) -> None:
        with telemetry.tracer.start_as_current_span("handler", attributes={"index": index}) as handler:
            await sms.send(f"790312345{index:02}", TEXT * (1 + index % 2))
            assert trace.get_current_span() is handler

    async with (
        client_for(sandbox, observers=[telemetry.observer], concurrency=3) as sms,
        anyio.create_task_group() as tasks,
    ):
        for index in range(20):
            tasks.start_soon(handle, index)
    handlers = {
        span.context.span_id: span
        for span in telemetry.exporter.get_finished_spans()
        if span.name == "handler"
    }
    assert {span.parent.span_id for span in telemetry.spans if span.parent} == set(handlers)
    assert len(telemetry.spans) == 20
    assert telemetry.total("smsapi.client.active_requests") == 0


@pytest.mark.parametrize("second", ["another", "the same"])
async def test_two_observers_leave_no_span_behind(sandbox: Sandbox, second: str) -> None:
    """With two observers, or one observer twice, the span of a request is not current after the request."""
    telemetry = Telemetry()
    other = Telemetry() if second == "another" else telemetry
    async with client_for(sandbox, observers=[telemetry.observer, other.observer]) as sms:
        before = trace.get_current_span()
        for _ in range(2):
            await sms.send(NUMBER, TEXT)
            assert trace.get_current_span() is before
    for each in {id(telemetry): telemetry, id(other): other}.values():
        assert [span.name for span in each.spans] == ["send Sms/Send"] * 2
        assert each.total("smsapi.client.accepted.segments") == 2
        assert each.total("smsapi.client.active_requests") == 0


async def test_clients_share_an_observer(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Several clients may have the same observer: no request is lost or counted twice."""
    async with (
        client_for(sandbox, observers=[telemetry.observer]) as first,
        client_for(sandbox, observers=[telemetry.observer]) as second,
        anyio.create_task_group() as tasks,
    ):
        for index in range(10):
            tasks.start_soon((first, second)[index % 2].send, f"7903123456{index}", TEXT)
    assert len(telemetry.spans) == len(sandbox.account.messages) == 10
    assert telemetry.total("messaging.client.sent.messages") == 10


async def test_a_login_is_a_span(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """The first call of a client shows its login in the trace of the caller."""
    async with client_for(sandbox, observers=[telemetry.observer]) as sms:
        with telemetry.tracer.start_as_current_span("handler") as handler:
            await sms.balance()
    (login,) = [span for span in telemetry.exporter.get_finished_spans() if span.name.startswith("login")]
    assert login.name == "login user/sessionid"
    assert login.status.status_code is StatusCode.UNSET
    assert login.parent is not None
    assert login.parent.span_id == handler.get_span_context().span_id
    assert login.start_time is not None
    assert login.end_time is not None
    assert login.start_time <= login.end_time


async def test_a_refused_login_is_an_error(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """With a wrong password, the trace shows the refused login, and a send that made no request."""
    async with client_for(sandbox, password="wrong", observers=[telemetry.observer]) as sms:
        with pytest.raises(SmsApiError):
            await sms.send(NUMBER, TEXT)
        with pytest.raises(InvalidCredentials):
            await sms.balance()
    logins = [span for span in telemetry.exporter.get_finished_spans() if span.name.startswith("login")]
    assert [attributes_of(span)["error.type"] for span in logins] == ["InvalidCredentials"]
    assert [span.name for span in telemetry.spans] == ["send Sms/Send", "balance User/Balance"]
    assert {span.status.status_code for span in telemetry.spans} == {StatusCode.ERROR}
    assert telemetry.total("messaging.client.sent.messages") == 0
    assert "wrong" not in "".join(span.to_json() for span in telemetry.exporter.get_finished_spans())


async def test_a_cancelled_send_ends_its_span(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """A cancelled send ends its span as an error, and does not stay in flight in the metrics."""
    assert sandbox.proxy is not None
    options = await faulty_line(sandbox, Fault.HANG_AFTER_READ)
    async with client_for(sandbox, observers=[telemetry.observer], **options) as sms:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sms.send, NUMBER, TEXT)
                await until(lambda: sandbox.proxy and sandbox.proxy.history)
                scope.cancel()
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert attributes_of(span)["smsapi.outcome"] == "unknown"
    assert telemetry.total("smsapi.client.active_requests") == 0


async def test_a_span_of_httpx_is_inside(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """With an instrumented client of httpx, its span is a child of the send, and its URL has no query."""
    transport = httpx.AsyncHTTPTransport()
    async with httpx.AsyncClient(transport=transport) as client:
        HTTPXClientInstrumentor().instrument_client(client, tracer_provider=telemetry.tracers)
        store = MemorySessionStore()
        options = {"client": client, "session_store": store}
        async with client_for(sandbox, observers=[telemetry.observer], **options) as sms:
            await sms.balance()
            session = await store.load()
    spans = telemetry.exporter.get_finished_spans()
    (own,) = telemetry.spans
    (inner,) = [span for span in spans if span.parent and span.parent.span_id == own.context.span_id]
    assert inner.kind is SpanKind.CLIENT
    assert session is not None
    shown = "".join(span.to_json() for span in spans)
    assert len(spans) == 4
    assert sandbox.password not in shown
    assert session.session_id.reveal() not in shown


def test_providers_may_come_later() -> None:
    """An observer that was created before the global providers uses the global providers."""
    script = """
import asyncio
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from smsapi_async import AsyncSmsClient
from smsapi_async.contrib.opentelemetry import OpenTelemetry
from smsapi_async.sandbox import run_sandbox

observer = OpenTelemetry()
exporter, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))

async def main():
    async with run_sandbox() as sandbox:
        options = {"base_url": sandbox.base_url, "observers": [observer]}
        async with AsyncSmsClient(sandbox.login, sandbox.password, **options) as sms:
            await sms.balance()

asyncio.run(main())
scope = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
print([span.name for span in exporter.get_finished_spans()], scope.scope.name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "['login user/sessionid', 'balance User/Balance'] smsapi_async\n", done.stderr


@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
@pytest.mark.parametrize("value", ["provider", 1, object()])
def test_a_wrong_provider_is_refused(name: str, value: Any) -> None:
    """A value that is no provider raises an error that names the parameter."""
    with pytest.raises(ValidationError, match=name):
        OpenTelemetry(**{name: value})
