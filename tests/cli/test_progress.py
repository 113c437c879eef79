"""Tests of the progress bar of `batch`, which appears only on a terminal."""

import fcntl
import io
import os
import re
import struct
import subprocess
import termios
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from smsapi_async.cli.batch import progress_bar
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.progress_bar import ProgressBar
from smsapi_async.outcomes import Accepted, Rejected, Unknown
from smsapi_async.sandbox import Sandbox
from tests.cli.test_batch import table
from tests.cli.test_failures import Terminal
from tests.cli.test_process import read_until, started

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COUNTS = BatchCounts(segments=1_234_567)
COUNTS.counts.update({Accepted: 1_199_990, Rejected: 8, Unknown: 2})


@pytest.fixture(params=[30, 40, 80, 120])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Make the terminal of the test so wide."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


async def drawn(meter: ProgressBar, *all_done: int) -> None:
    """Draw the progress bar once for each number of rows."""
    for done in all_done:
        meter.done = done
        async with anyio.create_task_group() as group:
            group.start_soon(meter.run)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()


def last_drawing(stream: io.StringIO) -> list[str]:
    """Return the lines of the last drawing of a progress bar."""
    lines = _ESCAPES.sub("", stream.getvalue()).split("\r")[-1].split("\n")
    assert lines != [""]
    return lines


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal that the test can read. A fixture cannot do this, because of pytest."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


@pytest.mark.anyio
async def test_on_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, the bar shows rows, rate, time left, outcomes and money, and fits the terminal."""
    terminal = use_terminal(monkeypatch)
    times = iter(range(0, 10_000, 5))
    monkeypatch.setattr(progress_bar, "monotonic", lambda: float(next(times)))
    with ProgressBar(2_000_000, COUNTS, Decimal("3.20")) as meter:
        await drawn(meter, 1_000_000, 1_200_000)
        lines = last_drawing(terminal)
    words = "  ".join(lines)
    for word in ("sending", "1,200,000/2,000,000", "accepted 1,199,990", "rejected 8", "unknown 2"):
        assert word in words
    assert "spent 3,950,614.40" in words
    assert "sending━" not in words
    # 200,000 rows in 20 seconds; the clock of the test advances by 5 seconds at each call.
    rate = re.search(r"([0-9,]+)/s", words)
    left = re.search(r"left ([0-9]+):([0-9]{2})", words)
    assert rate is not None
    assert left is not None
    seconds = int(left[1]) * 60 + int(left[2])
    assert seconds == pytest.approx(800_000 / int(rate[1].replace(",", "")), abs=1)
    assert max(map(len, lines)) <= columns - 3
    assert ("━" in words or "-----" in words) == (columns > 30)
    assert len(lines) <= {30: 7, 40: 5, 80: 2, 120: 2}[columns]


@pytest.mark.anyio
async def test_a_total_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a total there is no time left, and without a price the bar shows the segments."""
    terminal = use_terminal(monkeypatch)
    with ProgressBar(None, COUNTS) as meter:
        await drawn(meter, 3, 8)
        words = " ".join(last_drawing(terminal))
    assert "8/?" in words
    assert "left" not in words
    assert "segments 1,234,567" in words


@pytest.mark.anyio
async def test_without_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing is sent, as in a dry run, the bar shows no outcomes and no money."""
    terminal = use_terminal(monkeypatch)
    with ProgressBar(10) as meter:
        meter.begin("reading")
        await drawn(meter, 3, 8)
        lines = last_drawing(terminal)
    (line,) = lines
    assert re.search("reading  ━+  8/10  [0-9,]+/s  left [0-9]:[0-9]{2}$", line)


@pytest.mark.anyio
async def test_the_steps(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the batch waits for the window, the bar shows how long. After `begin`, it shows the new step."""
    terminal = use_terminal(monkeypatch)
    with ProgressBar(10, BatchCounts()) as meter:
        meter.wait(5400)
        await drawn(meter, 3)
        lines = last_drawing(terminal)
        assert "waiting 1:30:00 for the window" in re.sub(r"\s+", " ", " ".join(lines))
        assert max(map(len, lines)) <= columns - 3
        meter.begin("stopping", shows_pace=False)
        await drawn(meter, 3)
        assert "stopping" in last_drawing(terminal)[0]
        assert "left" not in " ".join(last_drawing(terminal))
        meter.begin("sending")
        meter.wait(0)
        await drawn(meter, 3)
        assert "sending" in last_drawing(terminal)[0]


@pytest.mark.anyio
async def test_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the bar is hidden, nothing is drawn. After that, the bar does not erase the question."""
    terminal = use_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "40")
    with ProgressBar(10, BatchCounts()) as meter:
        await drawn(meter, 3)
        with meter.hidden():
            before = len(terminal.getvalue())
            await drawn(meter, 4)
            assert len(terminal.getvalue()) == before
        await drawn(meter, 5)
        after = terminal.getvalue()[before:]
    # \x1b[1A moves the cursor to the line above.
    assert "\x1b[1A" not in after.partition("sending")[0]


@pytest.mark.anyio
async def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """If standard error is not a terminal, there is no progress bar."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with ProgressBar(10, COUNTS) as meter:
        await drawn(meter, 3)
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("environment")
def test_a_batch_in_a_narrow_terminal(gateway: Sandbox, tmp_path: Path) -> None:
    """In a terminal of 40 columns, the bar of `batch` counts the accepted rows and the money."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    options = [
        "--text",
        "Hi {name}",
        "--recipients-per-request",
        "5",
        "--concurrency",
        "1",
        "--price",
        "3.20",
    ]
    with gateway.hold("Sms/SendBulk") as gate:
        process = started(
            "batch", str(table(tmp_path, 15)), *options, stdout=subprocess.DEVNULL, stderr=theirs
        )
        os.close(theirs)
        anyio.run(gate.arrived)
        shown = read_until(ours, "spent 0.00")
        with gateway.hold("Sms/SendBulk") as second:
            gate.release()
            anyio.run(second.arrived)
            shown += read_until(ours, "spent 16.00")
    assert "accepted 5" in _ESCAPES.sub("", shown)
    lines = re.split(r"[\r\n]+", _ESCAPES.sub("", shown))
    assert max(map(len, (line for line in lines if not line.startswith("smsapi-async")))) < 40
    process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
