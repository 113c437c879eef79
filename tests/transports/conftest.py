"""Each test runs on asyncio: over aiohttp, over aiohttp on uvloop, and over httpcore."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from smsapi_async.http import factory
from smsapi_async.http.base import BundledTransport
from smsapi_async.http.choice import AutomaticTransport
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import FaultPlan, FaultProxy, run_fault_proxy

pytest.importorskip("aiohttp")

RUNS = {
    "aiohttp": ("aiohttp", {"use_uvloop": False}),
    "aiohttp-uvloop": ("aiohttp", {"use_uvloop": True}),
    "httpcore": ("httpcore", {"use_uvloop": False}),
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A transport and the options of its loop."""
    kind, options = RUNS[request.param]
    if options["use_uvloop"]:
        pytest.importorskip("uvloop")
    return kind, options


@pytest.fixture
def anyio_backend(run: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """asyncio, with or without uvloop."""
    return "asyncio", run[1]


@pytest.fixture(autouse=True)
def made(
    run: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[BundledTransport]]:
    """The transports that clients made, every one of the kind that this run is about."""
    kind, _ = run
    transports: list[BundledTransport] = []

    def make(_: str, *settings: Any) -> AutomaticTransport:
        transport = AutomaticTransport(kind, *settings)  # type: ignore[arg-type]
        transports.append(transport)
        return transport

    monkeypatch.setattr(factory, "AutomaticTransport", make)
    yield transports
    assert {transport.name for transport in transports} <= {kind}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A gateway of the test's own."""
    async with run_sandbox() as running:
        yield running


@pytest.fixture
async def proxy(sandbox: Sandbox) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the sandbox that passes everything on until it is told otherwise."""
    port = int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0])
    async with run_fault_proxy("127.0.0.1", port, FaultPlan.script([])) as running:
        yield running
