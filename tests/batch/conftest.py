"""A fixture with a running sandbox for the tests of batches."""

from collections.abc import AsyncIterator

import pytest

from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.ledger.conftest import place

__all__ = ["place"]


@pytest.fixture
def dialect() -> Dialect:
    """Return the dialect of the fixture `sandbox`. A test can be parametrized with another dialect."""
    return Dialect.CONTRACT


@pytest.fixture
async def sandbox(anyio_backend: str, dialect: Dialect) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test, and yield the sandbox."""
    async with run_sandbox(dialect=dialect) as running:
        yield running
