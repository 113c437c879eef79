"""No span, no metric and no log record of a whole run contains private data.

The run makes every kind of call, through working and broken connections, with all observers of
`smsapi_async.contrib` at once.
"""

import json
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import anyio
import httpx
import pytest

from smsapi_async import (
    AsyncSmsClient,
    BatchHalted,
    LedgerError,
    Message,
    Phase,
    Schedule,
    SmsApiError,
    Timeouts,
)
from smsapi_async.ledger import Ledger
from smsapi_async.observers import Event
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.client.tools import ManualClock, client_for, until
from tests.contrib.tools import faulty_line, skip_without

skip_without("opentelemetry.sdk", "opentelemetry.instrumentation.httpx", "prometheus_client", "structlog")

import structlog  # noqa: E402
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: E402
from prometheus_client import CollectorRegistry, generate_latest  # noqa: E402
from structlog.testing import LogCapture  # noqa: E402

from smsapi_async.contrib import opentelemetry, prometheus  # noqa: E402
from smsapi_async.contrib.prometheus import Prometheus  # noqa: E402
from smsapi_async.contrib.structlog import Structlog  # noqa: E402
from tests.contrib.telemetry import Telemetry  # noqa: E402

pytestmark = pytest.mark.anyio
LOGIN = "shop-7Q2"
PASSWORD = "correct horse+battery"
WRONG_PASSWORD = "staple horse+battery"
TEXT = "Ваш код 4711-0815, никому не говорите"
KEY = "order-83125"
NUMBER = "79031234567"
NUMBERS = [f"7903765{index:04}" for index in range(40)]
HANGING = {Fault.HANG_AFTER_READ, Fault.HANG_AFTER_PASS, Fault.ACCEPT_THEN_SILENCE}
START = datetime(2026, 3, 1, tzinfo=UTC)
# The classes of `logging` put these values into each record of a process.
_OF_THE_PROCESS = {"pathname", "process", "thread", "created", "msecs", "relativeCreated"}


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox with a faulty line, and yield the sandbox."""
    async with run_sandbox(login=LOGIN, password=PASSWORD, faults_port=0) as running:
        yield running


@pytest.fixture
def entries() -> Iterator[list[Any]]:
    """Yield the list of all entries of structlog."""
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture.entries
    structlog.reset_defaults()


class _Run:
    """A run of every kind of call.

    Args:
        sandbox: the sandbox, with a faulty line.
        path: the place of a new ledger.
        options: the parameters of each client.
    """

    def __init__(self, sandbox: Sandbox, path: Path, **options: Any) -> None:
        assert sandbox.proxy is not None
        self._sandbox = sandbox
        self._proxy = sandbox.proxy
        self._path = path
        self._options = options
        self.sessions: list[str] = []

    async def make(self) -> None:
        async with self._client() as sms:
            for call in _calls(sms):
                await call()
            await self._batch_and_deliveries(sms)
        # Slow bytes are a success that takes long. A kept connection is not refused, so the refused ones come
        # first.
        for fault in (None, *(fault for fault in Fault if fault is not Fault.SLOW_BYTES)):
            await self._fault(fault)
        await self._inbox()
        await self._cancelled()
        async with self._client(password=WRONG_PASSWORD) as sms:
            for call in _calls(sms):
                with suppress(SmsApiError):
                    await call()

    def _client(self, **options: Any) -> AsyncSmsClient:
        return client_for(self._sandbox, **(self._options | options))

    async def _batch_and_deliveries(self, sms: AsyncSmsClient) -> None:
        messages = [Message(number, TEXT, key=f"{KEY} {number}") for number in [*NUMBERS, "1"]]
        async with Ledger.sqlite(self._path) as ledger:
            for _ in range(2):
                async with sms.send_many(messages, ledger=ledger) as outcomes:
                    assert len([outcome async for outcome in outcomes]) == 41
            receipt = await sms.send(NUMBER, TEXT, key=KEY, ledger=ledger)
            self._path.rename(self._path.with_name("moved.db"))
            with pytest.raises(LedgerError):
                await sms.send(NUMBER, TEXT, key=f"{KEY} again", ledger=ledger)
        self._sandbox.advance(timedelta(hours=1))
        # The first request follows after 0.01 s.
        schedule = Schedule(first=0.01, maximum=0.01)
        assert (await sms.wait_delivered(receipt, schedule=schedule)).phase is Phase.DELIVERED

    async def _fault(self, fault: Fault | None) -> None:
        options = await faulty_line(self._sandbox, fault)
        # Only a hanging exchange lasts until its timeout.
        timeouts = Timeouts(read=0.02) if fault in HANGING else Timeouts()
        async with self._client(timeouts=timeouts, **options) as sms:
            for call in _calls(sms):
                with suppress(SmsApiError):
                    await call()
            with suppress(BatchHalted):
                async with sms.send_many([Message(number, TEXT) for number in NUMBERS[:2]]) as outcomes:
                    assert len([outcome async for outcome in outcomes]) <= 2

    async def _inbox(self) -> None:
        self._sandbox.receive(NUMBER, text=TEXT, destination_address="79160000000", at=START)
        options = await faulty_line(self._sandbox, Fault.PASS)
        self._proxy.plan = FaultPlan.script([Fault.ERROR_500] * 3, resource="Sms/In")
        async with (
            self._client(clock=ManualClock(), **options) as sms,
            sms.watch_incoming(since=START) as messages,
        ):
            async for message in messages:
                assert message.text == TEXT
                break

    async def _cancelled(self) -> None:
        options = await faulty_line(self._sandbox, Fault.HANG_AFTER_READ)
        before = len(self._proxy.history)
        async with (
            self._client(**options) as sms,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(sms.send, NUMBER, TEXT)
            tasks.start_soon(sms.balance)
            await until(lambda: len(self._proxy.history) == before + 2)
            tasks.cancel_scope.cancel()


def _calls(sms: AsyncSmsClient) -> list[Callable[[], Awaitable[Any]]]:
    nine = datetime(2030, 1, 1, 9, 0)  # noqa: DTZ001
    return [
        sms.balance,
        lambda: sms.send(NUMBER, TEXT),
        lambda: sms.send_by_time_zone(NUMBER, TEXT, send_date=nine),
        lambda: sms.send_bulk([NUMBER, "+79037650001"], TEXT),
        lambda: sms.incoming(since=START),
        lambda: sms.statistics(START, START),
    ]


def _secrets(sandbox: Sandbox) -> set[str]:
    sessions = {
        arrival.target.partition("SessionID=")[2].partition("&")[0] for arrival in sandbox.account.arrivals
    } - {""}
    assert sessions
    ids = {each for message in sandbox.account.messages for each in message.segment_ids}
    assert len(ids) > 50
    words = {LOGIN, "horse", "staple", "battery", "4711-0815", "Ваш код", KEY}
    # Without the country code, and as `json` writes the text.
    numbers = {number[1:] for number in [NUMBER, *NUMBERS]}
    return sessions | ids | words | numbers | {json.dumps("Ваш код").strip('"')}


# On trio, httpx does not close the generator of a request whose connection breaks.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx._content.ByteStream:ResourceWarning")
@pytest.mark.parametrize("instrumented", [False, True], ids=["own transport", "instrumented httpx"])
async def test_a_whole_run_shows_nothing(
    sandbox: Sandbox,
    records: list[logging.LogRecord],
    entries: list[Any],
    tmp_path: Path,
    instrumented: bool,
) -> None:
    """Whoever reads the traces, the metrics and the logs learns no password, number, text, key or id.

    The same is true with a client of httpx that OpenTelemetry instruments.
    """
    telemetry, registry, events = Telemetry(), CollectorRegistry(), list[Event]()
    options: dict[str, Any] = {
        "observers": [telemetry.observer, Prometheus(registry), Structlog(), events.append]
    }
    async with AsyncExitStack() as stack:
        if instrumented:
            client = await stack.enter_async_context(httpx.AsyncClient())
            HTTPXClientInstrumentor().instrument_client(client, tracer_provider=telemetry.tracers)
            options["client"] = client
        await _Run(sandbox, tmp_path / "run.db", **options).make()
    spans = [span.to_json() for span in telemetry.exporter.get_finished_spans()]
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    texts = [
        *spans,
        data.to_json(),
        generate_latest(registry).decode(),
        *(repr(entry) for entry in entries),
        *(repr(event) for event in events),
        *(_text(record) for record in records),
    ]
    # The run was whole: it had each event and each outcome, and gave a value to each documented metric.
    assert {type(event) for event in events} == set(get_args(Event))
    outcomes = {event.outcome for event in events if hasattr(event, "outcome")}
    assert outcomes == {"accepted", "rejected", "not_sent", "unknown", "succeeded", "failed", "cancelled"}
    assert len(entries) == len(events)
    names = _documented(opentelemetry)
    assert names == {name for name in names if telemetry.points(name)}
    assert len(names) == 7
    names = _documented(prometheus)
    assert names == {name for name in names if f"\n{name}" in texts[len(spans) + 1]}
    assert len(names) == 16
    assert len(spans) > 200
    for secret in _secrets(sandbox):
        assert not [text for text in texts if secret in text]


def _documented(module: ModuleType) -> set[str]:
    """Return the metrics in the table of the documentation of a module."""
    return set(re.findall(r"^\| `([a-z_.]+)`", module.__doc__ or "", re.MULTILINE))


def _text(record: logging.LogRecord) -> str:
    fields = {name: value for name, value in vars(record).items() if name not in _OF_THE_PROCESS}
    return f"{record.getMessage()} {fields!r}"


_LIBRARIES = [
    ("opentelemetry", "opentelemetry", "opentelemetry-api"),
    ("prometheus", "prometheus_client", "prometheus-client"),
    ("structlog", "structlog", "structlog"),
]


@pytest.mark.parametrize(("module", "library", "package"), _LIBRARIES)
def test_a_missing_library_is_named(module: str, library: str, package: str) -> None:
    """Without its library, the import of a module names the package to install."""
    script = f"""
import sys
sys.modules[{library!r}] = None
try:
    import smsapi_async.contrib.{module}
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    expected = f"smsapi_async.contrib.{module} needs {package}: pip install {package}\n"
    assert done.stdout == expected, done.stderr


def test_the_client_needs_no_library() -> None:
    """A program that uses no observer imports none of the libraries."""
    script = """
import sys
from smsapi_async import AsyncSmsClient
AsyncSmsClient("login", "password")
print({"opentelemetry", "prometheus_client", "structlog"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr
