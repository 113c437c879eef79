"""Tests of the commands with a ledger on a medium that cannot be written."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_batch import table
from tests.cli.test_ledger_commands import killed_batch

# The program changes to the user 65534 (nobody), because the superuser can write even a read-only file. The
# program imports all modules before it changes the user, because the user nobody may not be able to read the
# modules.
WITHOUT_PERMISSION = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
import concurrent.futures.thread
import anyio._backends._asyncio, encodings.idna, encodings.utf_16_le, encodings.utf_8_sig, rich._unicode_data
import smsapi_async.http.asyncio_transport
import smsapi_async.cli.run
from smsapi_async.cli import main

if os.geteuid() == 0:
    os.setuid(65534)
for argv in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(argv)
    print(json.dumps([int(code), out.getvalue(), err.getvalue()]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a new directory, which every user can read and which becomes writable again after the test."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def without_permission(folder: Path, *commands: list[str]) -> list[tuple[int, str, str]]:
    """Make a directory read-only, and run commands without the permission to write there.

    Returns:
        For each command, the exit code, standard output and standard error.
    """
    for each in folder.iterdir():
        each.chmod(0o444)
    folder.chmod(0o555)
    argv = [sys.executable, "-c", WITHOUT_PERMISSION, json.dumps(commands)]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return [tuple(json.loads(line)) for line in shown.splitlines()]


@pytest.mark.usefixtures("environment")
def test_a_read_only_medium(cli: Cli, folder: Path) -> None:
    """The commands that read a ledger work. No other command that sends nothing says a word about sending."""
    ledger, rows = str(folder / "run.db"), str(table(folder, 2))
    assert cli("batch", rows, "--text", "Hi", "--ledger", ledger).code == 0
    reading = [
        ["ledger", "summary", ledger],
        ["ledger", "unknown", ledger],
        ["ledger", "report", ledger],
        ["batch", rows, "--text", "Hi", "--dry-run", "--ledger", ledger],
    ]
    writing = [
        ["ledger", "retry", ledger],
        ["ledger", "resolve", ledger, "--all", "--sent"],
        ["ledger", "accept-copy", ledger],
        ["track", ledger],
        ["incoming", "--follow", "--ledger", ledger],
    ]
    outcomes = without_permission(folder, *reading, *writing)
    for code, out, err in outcomes[: len(reading)]:
        assert (code, err) == (ExitCode.DONE, "")
        assert "2" in out or out.startswith("no message")
    for code, out, err in outcomes[len(reading) :]:
        assert (code, out) == (ExitCode.BAD_INPUT, "")
        assert "run.db" in err
        assert " sen" not in err


@pytest.mark.usefixtures("environment")
def test_a_dead_run_on_a_read_only_medium(gateway: Sandbox, folder: Path) -> None:
    """A ledger that a killed process left with its write-ahead log can be read from a read-only medium."""
    ledger = killed_batch(gateway, folder)
    ((code, out, err),) = without_permission(folder, ["ledger", "summary", ledger, "--json"])
    assert (code, err, json.loads(out)["unknown"]) == (ExitCode.DONE, "", 3)
