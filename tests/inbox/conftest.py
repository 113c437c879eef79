"""Fixtures with a sandbox in the process of the test, and with a clock for the client."""

import pytest

from smsapi_async.sandbox import Sandbox
from tests.inbox.tools import START, SharedClock


@pytest.fixture
def sandbox() -> Sandbox:
    """Return a sandbox. Its time starts at `START` and moves only when `Sandbox.advance` is called."""
    return Sandbox(start=START)


@pytest.fixture
def clock(sandbox: Sandbox) -> SharedClock:
    """Return a clock for the client. The clock shows the time of the sandbox."""
    return SharedClock(sandbox)
