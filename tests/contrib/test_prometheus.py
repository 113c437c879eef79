"""The metrics of a client for Prometheus, with requests to a sandbox."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async import BatchHalted, Message, SmsApiError, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault
from tests.client.tools import client_for, until
from tests.contrib.tools import faulty_line, skip_without

skip_without("prometheus_client")

from prometheus_client import CollectorRegistry, Counter, generate_latest  # noqa: E402

from smsapi_async.contrib.prometheus import Prometheus  # noqa: E402

pytestmark = pytest.mark.anyio
NUMBER = "79031234567"
TEXT = "The code is 4711"


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a new registry."""
    return CollectorRegistry()


@pytest.fixture
def served() -> Iterator[Sandbox]:
    """Serve a sandbox for another process, and yield the sandbox."""
    with run_sandbox() as running:
        yield running


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """Return the value of a metric, without the prefix of its name, or None if there is no such value."""
    return registry.get_sample_value(f"smsapi_{name}", labels)


async def test_a_send_is_counted(sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """A send shows as a request, a message, its billed segments and a login."""
    async with client_for(sandbox, observers=[Prometheus(registry)]) as sms:
        await sms.send(NUMBER, "я" * 100)
        await sms.send_bulk([NUMBER, "79031234568"], TEXT)
    send, bulk = "Sms/Send", "Sms/SendBulk"
    assert value(registry, "requests_total", resource=send, outcome="accepted", error="") == 1
    assert value(registry, "messages_total", resource=send, outcome="accepted") == 1
    assert value(registry, "segments_total", resource=send, outcome="accepted") == 2
    assert value(registry, "messages_total", resource=bulk, outcome="accepted") == 2
    assert value(registry, "segments_total", resource=bulk, outcome="accepted") == 2
    assert value(registry, "logins_total", outcome="succeeded", error="") == 1
    assert value(registry, "request_duration_seconds_count", resource=send) == 1
    assert value(registry, "request_wait_seconds_count", resource=send) == 1
    assert value(registry, "requests_in_flight") == 0
    assert sum(len(message.segment_ids) for message in sandbox.account.messages) == 4


_FAULTS = [
    (Fault.CLOSE_AFTER_READ, "unknown", "OutcomeUnknown"),
    (None, "not_sent", "NotSent"),
    (Fault.TOO_MANY_REQUESTS_429, "rejected", "RateLimited"),
]


@pytest.mark.parametrize(("fault", "outcome", "error"), _FAULTS)
async def test_a_failure_is_counted(
    sandbox: Sandbox, registry: CollectorRegistry, fault: Fault | None, outcome: str, error: str
) -> None:
    """An alert on messages with an unknown outcome, or on another outcome, finds the failed send."""
    options = await faulty_line(sandbox, fault)
    async with client_for(sandbox, observers=[Prometheus(registry)], **options) as sms:
        with pytest.raises(SmsApiError):
            await sms.send(NUMBER, TEXT)
    assert value(registry, "requests_total", resource="Sms/Send", outcome=outcome, error=error) == 1
    assert value(registry, "messages_total", resource="Sms/Send", outcome=outcome) == 1
    assert value(registry, "messages_total", resource="Sms/Send", outcome="accepted") is None
    assert value(registry, "requests_in_flight") == 0


async def test_requests_in_flight(sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """The gauge shows the requests that the gateway has not answered, and is 0 after a cancellation."""
    options = await faulty_line(sandbox, Fault.HANG_AFTER_READ)
    async with (
        client_for(sandbox, observers=[Prometheus(registry)], **options) as sms,
        anyio.create_task_group() as tasks,
    ):
        for index in range(3):
            tasks.start_soon(sms.send, f"7903123456{index}", TEXT)
        await until(lambda: value(registry, "requests_in_flight") == 3)
        tasks.cancel_scope.cancel()
    assert value(registry, "requests_in_flight") == 0


async def test_a_wrong_password_is_counted(sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """A refused login shows as a login, and the send as a call without a request."""
    async with client_for(sandbox, password="wrong", observers=[Prometheus(registry)]) as sms:
        with pytest.raises(SmsApiError):
            await sms.send(NUMBER, TEXT)
    assert value(registry, "logins_total", outcome="rejected", error="InvalidCredentials") == 1
    shown = generate_latest(registry).decode()
    assert 'smsapi_requests_not_made_total{error="' in shown
    assert "smsapi_messages_total{" not in shown


async def test_a_batch_and_its_ledger_are_counted(
    sandbox: Sandbox, registry: CollectorRegistry, tmp_path: Path
) -> None:
    """A batch shows its outcomes, and a second run shows that the ledger knew its messages."""
    messages = [Message(f"7903123456{index}", TEXT, key=f"key {index}") for index in range(5)]
    messages.append(Message("1", TEXT, key="wrong"))
    observer = Prometheus(registry)
    async with (
        Ledger.sqlite(tmp_path / "run.db") as ledger,
        client_for(sandbox, observers=[observer]) as sms,
    ):
        for _ in range(2):
            async with sms.send_many(messages, ledger=ledger) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 6
    assert len(sandbox.account.messages) == 5
    assert value(registry, "batch_messages_total", outcome="accepted") == 10
    assert value(registry, "batch_messages_total", outcome="rejected") == 2
    assert value(registry, "batches_total", error="") == 2
    assert value(registry, "batch_pending_messages") == 0
    assert value(registry, "ledger_messages_total", ledger="sqlite", result="claimed") == 5
    assert value(registry, "ledger_messages_total", ledger="sqlite", result="recorded") == 5


async def test_a_halted_batch_is_counted(anyio_backend: str, registry: CollectorRegistry) -> None:
    """A batch that halts shows its error and leaves no pending messages."""
    async with (
        run_sandbox(balance=0) as sandbox,
        client_for(sandbox, observers=[Prometheus(registry)]) as sms,
    ):
        with pytest.raises(BatchHalted):
            async with sms.send_many([Message(NUMBER, TEXT)]) as outcomes:
                assert [outcome async for outcome in outcomes]
    shown = generate_latest(registry).decode()
    assert 'smsapi_batches_total{error="' in shown
    assert 'smsapi_batches_total{error=""}' not in shown
    assert value(registry, "batch_pending_messages") == 0


async def test_observers_share_a_registry(sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """Two clients, each with its own observer, add up in one registry; a second observer is no error."""
    async with (
        client_for(sandbox, observers=[Prometheus(registry)]) as first,
        client_for(sandbox, observers=[Prometheus(registry=registry)]) as second,
    ):
        await first.send(NUMBER, TEXT)
        await second.send(NUMBER, TEXT)
    assert value(registry, "messages_total", resource="Sms/Send", outcome="accepted") == 2
    assert generate_latest(registry).decode().count("# TYPE smsapi_messages_total") == 1


def test_registries_are_separate(registry: CollectorRegistry) -> None:
    """Each registry has its own metrics, and the default registry of the library is the default.

    A notebook may load the module again.
    """
    other = CollectorRegistry()
    assert Prometheus(registry)._metrics is Prometheus(registry)._metrics
    assert Prometheus(registry)._metrics is not Prometheus(other)._metrics
    script = """
import importlib, prometheus_client
import smsapi_async.contrib.prometheus as contrib
contrib.Prometheus(), contrib.Prometheus(prometheus_client.REGISTRY)
importlib.reload(contrib).Prometheus()
print(prometheus_client.generate_latest().decode().count("TYPE smsapi_requests_in_flight gauge"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr


def test_a_name_that_is_taken_is_refused(registry: CollectorRegistry) -> None:
    """If the registry has a metric of other code with the same name, no metric is added to the registry."""
    taken = Counter("smsapi_inbox_failures", "Of other code.", registry=registry)
    for _ in range(2):
        with pytest.raises(ValidationError, match="registry"):
            Prometheus(registry)
    registry.unregister(taken)
    Prometheus(registry)


@pytest.mark.parametrize("wrong", ["registry", 1, object(), CollectorRegistry])
def test_a_wrong_registry_is_refused(wrong: Any) -> None:
    """A value that is no registry raises an error that names the parameter."""
    with pytest.raises(ValidationError, match="registry"):
        Prometheus(wrong)


_FORK = """
import os, sys
import anyio, prometheus_client
from prometheus_client import multiprocess
from smsapi_async import AsyncSmsClient
from smsapi_async.contrib.prometheus import Prometheus
from smsapi_async.observers import RequestBegun

observer = Prometheus()
url, login, password = sys.argv[1:]
begun = RequestBegun(
    request=10**9, resource="Sms/Send", method="POST", recipients=1, segments=1, attempt=1, waited=0,
    server_address="127.0.0.1", server_port=1,
)
# A request is in flight in the parent process.
observer(begun)

async def work():
    options = {"base_url": url, "source_address": "ACME", "observers": [observer]}
    async with AsyncSmsClient(login, password, **options) as sms:
        await sms.send("79031234567", "A text")

def shown():
    registry = prometheus_client.REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    value = registry.get_sample_value
    labels = {"resource": "Sms/Send", "outcome": "accepted"}
    return value("smsapi_requests_in_flight"), value("smsapi_messages_total", labels)

for _ in range(2):
    child = os.fork()
    if not child:
        anyio.run(work)
        print("child", *shown(), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    multiprocess.mark_process_dead(child) if "PROMETHEUS_MULTIPROC_DIR" in os.environ else None
print("parent", *shown())
"""


@pytest.mark.parametrize("multiprocess", [False, True])
def test_a_fork_breaks_no_metric(
    served: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multiprocess: bool
) -> None:
    """A forked worker shows no requests of its parent as in flight.

    With the directory for several processes, the messages of all workers add up.
    """
    if multiprocess:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    arguments = [sys.executable, "-c", _FORK, served.base_url, served.login, served.password]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    expected = (
        ["child 1.0 1.0", "child 1.0 2.0", "parent 1.0 2.0"]
        if multiprocess
        else ["child 0.0 1.0", "child 0.0 1.0", "parent 1.0 None"]
    )
    assert done.stdout.splitlines() == expected, done.stderr
