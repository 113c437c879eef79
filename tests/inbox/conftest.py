"""A gateway in the same process, whose time stands still unless somebody waits."""

import pytest

from smsapi_async.sandbox import Sandbox
from tests.inbox.tools import START, SharedClock


@pytest.fixture
def sandbox() -> Sandbox:
    """A gateway whose clock is moved by hand."""
    return Sandbox(start=START)


@pytest.fixture
def clock(sandbox: Sandbox) -> SharedClock:
    """The gateway's clock, for the client."""
    return SharedClock(sandbox)
