"""The progress bar: drawn on a terminal, silent elsewhere."""

import io

import anyio
import pytest

from smsapi_async.cli.batch.meter import Meter
from tests.cli.test_failures import Terminal


async def drawn(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, total: int | None) -> str:
    """What a bar draws when three, then eight rows are done and the batch is told to stop."""
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    meter = Meter(total)
    with meter:
        for done in (3, 8):
            meter.done = done
            async with anyio.create_task_group() as group:
                group.start_soon(meter.run)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            meter.begin("stopping")
    return stream.getvalue()


@pytest.mark.anyio
async def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count, total and rate are drawn, also where the total is unknown."""
    known = await drawn(monkeypatch, Terminal(), 10)
    assert "3/10" in known
    assert "stopping" in known
    assert "/s" in known
    assert "8/?" in await drawn(monkeypatch, Terminal(), None)


@pytest.mark.anyio
async def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard error is no terminal nothing is drawn."""
    assert await drawn(monkeypatch, io.StringIO(), 10) == ""
