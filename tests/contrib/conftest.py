"""Fixtures for the tests of `smsapi_async.contrib`."""

from collections.abc import AsyncIterator

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox with a faulty line, and yield the sandbox."""
    async with run_sandbox(faults_port=0) as running:
        yield running
