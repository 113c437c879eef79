"""Helpers for the tests of `smsapi_async.contrib`."""

import os
from importlib.util import find_spec
from typing import Any

import pytest

from smsapi_async import RetryPolicy
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.client.tools import logged_in_store


def skip_without(*names: str) -> None:
    """Skip the module of tests if a library is not installed, unless the tests run in CI."""
    for name in names:
        if find_spec(name) is None and not os.environ.get("CI"):
            pytest.skip(f"install {name}", allow_module_level=True)


async def faulty_line(sandbox: Sandbox, fault: Fault | None) -> dict[str, Any]:
    """Return the parameters of a client that is logged in and makes one attempt over the faulty line.

    Args:
        sandbox: a sandbox with a faulty line.
        fault: the fault of each request, or None for a line that refuses connections.
    """
    assert sandbox.proxy is not None
    store = await logged_in_store(sandbox)
    sandbox.proxy.plan = FaultPlan.script([] if fault is None else [fault] * 100)
    sandbox.proxy.refuse_connections(fault is None)
    return {"base_url": sandbox.faults_url, "session_store": store, "retry": RetryPolicy(attempts=1)}
