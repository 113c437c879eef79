"""Tests of the progress bar of `batch`, which appears only on a terminal."""

import io

import anyio
import pytest

from smsapi_async.cli.batch.progress_bar import ProgressBar
from tests.cli.test_failures import Terminal


async def drawn(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, total: int | None) -> str:
    """Return the output of a progress bar that shows 3 rows, then 8 rows, and then the step "stopping"."""
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    meter = ProgressBar(total)
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
    """On a terminal, the progress bar shows the number of rows, the total (if it is known) and the rate."""
    known = await drawn(monkeypatch, Terminal(), 10)
    assert "3/10" in known
    assert "stopping" in known
    assert "/s" in known
    assert "8/?" in await drawn(monkeypatch, Terminal(), None)


@pytest.mark.anyio
async def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """If standard error is not a terminal, there is no progress bar."""
    assert await drawn(monkeypatch, io.StringIO(), 10) == ""
