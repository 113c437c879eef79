"""Fixtures with a sandbox and a fault proxy.

Each test that uses the fixture `sandbox` runs once over each HTTP transport (asyncio and httpcore).
"""

from collections.abc import AsyncIterator
from importlib import import_module
from types import ModuleType

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import FaultPlan, FaultProxy, run_fault_proxy
from tests.client.tools import port_of
from tests.conftest import need_httpx2


@pytest.fixture
async def sandbox(transport: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test, and yield the sandbox."""
    async with run_sandbox() as running:
        yield running


@pytest.fixture
async def proxy(sandbox: Sandbox) -> AsyncIterator[FaultProxy]:
    """Run a fault proxy in front of the sandbox, and yield the proxy.

    The proxy passes all requests and responses on until the test sets `FaultProxy.plan`.
    """
    plan = FaultPlan.script([])
    async with run_fault_proxy("127.0.0.1", port_of(sandbox), plan, byte_interval=0.0001) as running:
        yield running


@pytest.fixture
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Return the HTTP library of the parameter: httpx or httpx2."""
    return need_httpx2() if request.param == "httpx2" else import_module(request.param)


@pytest.fixture(params=[1, 2])
def api_version(request: pytest.FixtureRequest) -> int:
    """Run each test that uses this fixture once with each version of the interface."""
    version: int = request.param
    return version
