"""A fixture with a running sandbox for the tests of batches."""

from collections.abc import AsyncIterator

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test, and yield the sandbox."""
    async with run_sandbox() as running:
        yield running
