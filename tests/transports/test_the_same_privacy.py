"""What the client's tests of privacy show over the default transport, over each transport there is."""

import inspect

import pytest

from tests.client import test_privacy

pytestmark = pytest.mark.anyio

sandbox, records = test_privacy.sandbox, test_privacy.records
globals().update(
    {
        name: test
        for name, test in vars(test_privacy).items()
        if name.startswith("test_") and inspect.iscoroutinefunction(test)
    }
)


def test_the_broken_exchanges_are_here() -> None:
    """Every fault is among what is looked through for private data here."""
    assert "test_broken_exchanges_show_nothing" in globals()
