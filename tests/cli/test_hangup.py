"""Tests of the end of a real terminal: each command ends in order, as after Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_batch import read_report, sent, table
from tests.cli.test_process import read_until

pty = pytest.importorskip("pty")
pytestmark = pytest.mark.usefixtures("environment")
ROWS = 60
BATCH = ["--text", "Hello", "--recipients-per-request", "5", "--concurrency", "2"]
# At the end of its controlling terminal, a process gets SIGHUP from the kernel. An ignored SIGHUP stays
# ignored after `exec`, and `nohup` also ignores SIGHUP in this way.
_LAUNCHER = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-X", "dev", "-m", "smsapi_async", *sys.argv[2:]])
"""


class Session:
    """A command in a terminal that the test can close.

    Attributes:
        terminal: the test's end of the terminal.
        process: the process of the command.
    """

    def __init__(self, *argv: str, ignores: bool = False, **streams: Any) -> None:
        self.terminal, theirs = pty.openpty()
        launch = [sys.executable, "-c", _LAUNCHER, "nohup" if ignores else "plain", *argv]
        self.process = subprocess.Popen(
            launch,
            **{"stdin": theirs, "stdout": theirs, "stderr": theirs, **streams},
            start_new_session=True,
            text=True,
        )
        os.close(theirs)

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self.terminal)
        self.terminal = -1

    def end(self) -> None:
        """End the process if it still runs, and close the terminal."""
        self.process.kill()
        self.process.communicate()
        if self.terminal >= 0:
            os.close(self.terminal)


@pytest.fixture
def start() -> Iterator[Callable[..., Session]]:
    """Yield a function that starts a command in a terminal of its own: see `Session`."""
    sessions = []

    def begin(*argv: str, **options: Any) -> Session:
        sessions.append(Session(*argv, **options))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.end()


@pytest.mark.parametrize("repeated", [0, 3])
def test_batch(
    gateway: Sandbox, tmp_path: Path, cli: Cli, start: Callable[..., Session], repeated: int
) -> None:
    """After the terminal was closed, no message is in the state `sending`, and the report has all rows.

    Several SIGHUPs, from the kernel and from a shell, are like one.
    """
    ledger, out = str(tmp_path / "run.db"), tmp_path / "out.csv"
    with gateway.hold("Sms/SendBulk") as gate:
        run = start("batch", str(table(tmp_path, ROWS)), *BATCH, "--ledger", ledger, "--report", str(out))
        anyio.run(gate.arrived, 2)
        run.hang_up()
        for _ in range(repeated):
            run.process.send_signal(signal.SIGHUP)
    assert run.process.wait(60) == ExitCode.INTERRUPTED
    counts = cli("ledger", "summary", ledger, "--json").document
    assert (counts["sending"], counts["unknown"]) == (0, 0)
    assert counts["accepted"] == len(sent(gateway)) < ROWS
    assert [row["outcome"] for row in read_report(out)].count("accepted") == counts["accepted"]
    assert len(read_report(out)) == ROWS


def test_batch_under_nohup(gateway: Sandbox, tmp_path: Path, start: Callable[..., Session]) -> None:
    """If SIGHUP is ignored, as with `nohup`, `batch` sends all rows without its terminal."""
    with gateway.hold("Sms/SendBulk") as gate:
        run = start(
            "batch", str(table(tmp_path, ROWS)), *BATCH, "--json", ignores=True, stdout=subprocess.PIPE
        )
        anyio.run(gate.arrived, 2)
        run.hang_up()
    out, _ = run.process.communicate(timeout=60)
    assert (run.process.returncode, json.loads(out)["accepted"]) == (ExitCode.DONE, ROWS)
    assert len(sent(gateway)) == ROWS


def test_track(tmp_path: Path, cli: Cli, start: Callable[..., Session]) -> None:
    """After the terminal was closed, `track` closes the ledger and ends with the exit code of Ctrl-C."""
    ledger = str(tmp_path / "run.db")
    assert cli("batch", str(table(tmp_path, 5)), *BATCH, "--ledger", ledger).code == ExitCode.DONE
    run = start("track", ledger)
    read_until(run.terminal, "enroute")
    run.hang_up()
    assert run.process.wait(60) == ExitCode.INTERRUPTED
    assert not Path(f"{ledger}-wal").exists()


@pytest.mark.parametrize(
    ("argv", "held", "code"),
    [
        (["incoming", "--follow", "--ledger"], "Sms/In", ExitCode.DONE),
        (["send", "79037776655", "Hello"], "Sms/Send", ExitCode.INTERRUPTED),
        (["balance"], "User/Balance", ExitCode.INTERRUPTED),
    ],
)
def test_one_request(
    gateway: Sandbox, tmp_path: Path, start: Callable[..., Session], argv: list[str], held: str, code: int
) -> None:
    """A command that waits for the gateway ends with the exit code of Ctrl-C."""
    files = [str(tmp_path / "run.db")] if argv[-1] == "--ledger" else []
    with gateway.hold(held) as gate:
        run = start(*argv, *files)
        anyio.run(gate.arrived)
        run.hang_up()
        assert run.process.wait(60) == code


def test_sandbox(start: Callable[..., Session]) -> None:
    """After the terminal was closed, `sandbox` ends with the exit code 0, as after Ctrl-C."""
    run = start("sandbox", "--port", "0")
    read_until(run.terminal, "Hello'")
    run.hang_up()
    assert run.process.wait(60) == ExitCode.DONE


def test_a_closed_pipe(gateway: Sandbox, tmp_path: Path, start: Callable[..., Session]) -> None:
    """If the process that reads standard error ends, `batch` still sends all rows."""
    reader, writer = os.pipe()
    os.close(reader)
    run = start("batch", str(table(tmp_path, ROWS)), *BATCH, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    assert run.process.wait(60) == ExitCode.DONE
    assert len(sent(gateway)) == ROWS
