"""A sandbox over a real socket, and clients that talk to it."""

from collections.abc import AsyncIterator

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """A gateway of the test's own."""
    async with run_sandbox() as running:
        yield running
