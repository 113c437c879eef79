"""Entering a client imports the HTTP library in a thread, and builds the way of the requests."""

import sys
import threading
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import AsyncSmsClient, ClientClosed, NotSent, RetryPolicy
from smsapi_async.eventloop import in_thread
from smsapi_async.http import exchange, tls
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import NUMBER, TEXT, client_for

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test, and yield the sandbox."""
    async with run_sandbox() as running:
        yield running


async def test_a_thread_runs_the_function() -> None:
    """The function runs in another thread, and the event loop continues meanwhile."""
    allowed, seen = threading.Event(), []

    def work() -> str:
        seen.append(threading.current_thread())
        assert allowed.wait(10)
        return "done"

    results: list[str] = []

    async def wait() -> None:
        results.append(await in_thread(work))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        while not seen:  # noqa: ASYNC110 - another thread makes the condition true
            await anyio.sleep(0.001)
        allowed.set()
    assert results == ["done"]
    assert seen != [threading.current_thread()]


async def test_an_error_of_the_function_is_raised() -> None:
    """An exception in the thread reaches the caller unchanged."""
    with pytest.raises(LookupError, match="no certificates"):
        await in_thread(lambda: _fail(LookupError("no certificates")))


def _fail(error: Exception) -> None:
    raise error


async def test_a_cancellation_waits_for_the_thread() -> None:
    """A cancelled call ends with its cancellation, and only after the thread has ended."""
    begun, allowed, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert allowed.wait(10)
        ended.set()

    results: list[object] = []

    async def wait() -> None:
        results.append(await in_thread(work))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        while not begun.is_set():  # noqa: ASYNC110 - another thread makes the condition true
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()
        threading.Timer(0.01, allowed.set).start()
    assert ended.is_set()
    assert not results


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_system_without_threads(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, the imports happen in the event loop."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sms = client_for(sandbox)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        await sms.__aenter__()
    await sms.send(NUMBER, TEXT)
    await sms.aclose()
    assert len(sandbox.account.messages) == 1


async def test_a_cancelled_client_can_be_entered_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If entering is cancelled, the client is open and can be entered later."""
    monkeypatch.setattr(exchange, "are_imported", lambda _: False)
    sms = client_for(sandbox)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sms.__aenter__()
    assert scope.cancelled_caught
    async with sms:
        await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 1


async def test_calls_before_the_client_is_entered(sandbox: Sandbox) -> None:
    """If several first calls start at once on a client that was not entered, they share one transport."""
    sms = client_for(sandbox)
    async with anyio.create_task_group() as group:
        for index in range(10):
            group.start_soon(sms.send, f"7903123450{index}", TEXT)
    await sms.aclose()
    assert len(sandbox.account.messages) == 10


async def test_a_client_that_is_closed_meanwhile(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the client is closed while it is entered, `ClientClosed` is raised."""
    sms = client_for(sandbox)
    begun, allowed = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        begun.set()
        assert allowed.wait(10)

    monkeypatch.setattr(exchange, "import_all", slow)
    errors: list[BaseException] = []

    async def enter() -> None:
        try:
            await sms.__aenter__()
        except ClientClosed as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(enter)
        while not begun.is_set():  # noqa: ASYNC110 - another thread makes the condition true
            await anyio.sleep(0.001)
        await sms.aclose()
        allowed.set()
    assert len(errors) == 1


async def test_certificates_that_cannot_be_read(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the public certificates cannot be read, entering raises the error, and not the first call."""
    monkeypatch.setattr(tls, "public_tls_context", lambda: _fail(OSError("no certificates")))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    sms = client_for(sandbox, base_url="https://127.0.0.1:1/rest")
    with pytest.raises(OSError, match="no certificates"):
        await sms.__aenter__()
    await sms.aclose()


@pytest.mark.parametrize("use", ["close", "enter", "call"])
async def test_a_transport_of_the_caller_is_closed(sandbox: Sandbox, use: str) -> None:
    """A client closes the transport of the caller, also if the client was never used."""

    class Transport(httpx.AsyncHTTPTransport):
        closes = 0

        async def aclose(self) -> None:
            self.closes += 1
            await super().aclose()

    transport = Transport()
    sms = client_for(sandbox, transport=transport)
    if use == "enter":
        await sms.__aenter__()
    elif use == "call":
        await sms.balance()
    await sms.aclose()
    await sms.aclose()
    assert transport.closes == 1


@pytest.mark.parametrize("name", ["httpx2", "httpcore2"])
async def test_a_library_that_another_thread_imports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed exchange is reported as usual while another thread imports a library."""
    # A module without its names is what `sys.modules` contains at the beginning of an import.
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    retry = RetryPolicy(attempts=1)
    async with AsyncSmsClient("a", "b", base_url="http://127.0.0.1:1/rest", retry=retry) as sms:
        with pytest.raises(NotSent, match="ConnectError"):
            await sms.send(NUMBER, TEXT, source_address="ACME")


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_asyncio_that_another_thread_imports(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls on trio wait for each other while another thread imports asyncio."""
    async with client_for(sandbox, concurrency=1) as sms:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))
            async with anyio.create_task_group() as group:
                group.start_soon(sms.send, NUMBER, TEXT)
                group.start_soon(sms.send, NUMBER, TEXT)
    assert len(sandbox.account.messages) == 2
