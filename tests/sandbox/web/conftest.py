"""Fixtures: the event loop of the client, and a client for requests that a sandbox refuses."""

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.web.support import WebCaller, served


@pytest.fixture
def anyio_backend() -> str:
    """Run the client on asyncio only, because the server has its own thread and event loop in each case."""
    return "asyncio"


@pytest.fixture
async def wrong(anyio_backend: str) -> AsyncIterator[WebCaller]:
    """Return a client of a served sandbox that has accepted one message."""
    async with served(faults_port=0) as (_, caller):
        await caller.send()
        yield caller
