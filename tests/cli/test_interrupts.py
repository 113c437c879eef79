"""Tests of repeated Ctrl-C with real processes in Python's development mode: each process ends."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.test_batch import table

TO = "79037776655"
COMMANDS = {
    "send": (["send", TO, "Hello"], "Sms/Send"),
    "login": (["send", TO, "Hello"], "User/SessionId"),
    "balance": (["balance"], "User/Balance"),
    "follow": (["incoming", "--follow"], "Sms/In"),
}
# The seconds between two signals. Without a pause, the signals arrive while the event loop handles the first.
PAUSES = (0.0, 0.0005, 0.002, 0.02)


def _started(*argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _interrupt_three_times(process: subprocess.Popen[str], pause: float) -> None:
    for _ in range(3):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(pause)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", COMMANDS)
def test_three_interrupts_end_a_command(gateway: Sandbox, name: str) -> None:
    """After three Ctrl-C in a row, a command that waits for the gateway ends, and no traceback is printed."""
    argv, held = COMMANDS[name]
    with gateway.hold(held) as gate:
        processes = [_started("-m", "smsapi_async", *argv) for _ in PAUSES]
        anyio.run(gate.arrived, len(PAUSES))
        for process, pause in zip(processes, PAUSES, strict=True):
            _interrupt_three_times(process, pause)
            _, err = process.communicate(timeout=60)
            # A signal that arrives after the end of the command ends the interpreter.
            codes = {ExitCode.INTERRUPTED, -signal.SIGINT, ExitCode.DONE if name == "follow" else None}
            assert process.returncode in codes
            assert name == "follow" or "smsapi-async: interrupted" in err
            assert "unexpected" not in err


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ["send", "login", "balance"])
def test_interrupts_for_programs(gateway: Sandbox, name: str) -> None:
    """With `--json`, one or three Ctrl-C leave at most one JSON document, which contains the interruption."""
    argv, held = COMMANDS[name]
    with gateway.hold(held) as gate:
        processes = [_started("-m", "smsapi_async", *argv, "--json") for _ in PAUSES]
        anyio.run(gate.arrived, len(PAUSES))
        processes[-1].send_signal(signal.SIGINT)
        for process, pause in zip(processes[:-1], PAUSES, strict=False):
            _interrupt_three_times(process, pause)
        for process in processes:
            out, _ = process.communicate(timeout=60)
            if process is processes[-1] or out:
                error = json.loads(out)["error"]
                assert (error["exit_code"], error["name"]) == (ExitCode.INTERRUPTED, "interrupted")


@pytest.mark.usefixtures("environment")
def test_three_interrupts_end_a_batch(gateway: Sandbox, tmp_path: Path) -> None:
    """After three Ctrl-C, `batch` finishes the requests in flight, prints its counts, and ends."""
    ledger = str(tmp_path / "run.db")
    command = ["batch", str(table(tmp_path, 10)), "--text", "Hello", "--ledger", ledger]
    with gateway.hold("Sms/SendBulk") as gate:
        process = _started("-m", "smsapi_async", *command)
        anyio.run(gate.arrived)
        _interrupt_three_times(process, 0.01)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "interrupted: 10 accepted" in err


INTERRUPTED = "smsapi-async: interrupted\n"
_SCRIPT = """
import json
import signal
import sys
import anyio
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.run import _carry_out

async def command():
    with anyio.CancelScope(shield="shielded" in sys.argv):
        print("ready", flush=True)
        try:
            await anyio.sleep_forever()
        finally:
            if "interrupted" in sys.argv:
                signal.raise_signal(signal.SIGINT)
            print("cleaned up", flush=True)

sys.exit(_carry_out(Invocation(run=command, as_json=False, backend=sys.argv[1])))
"""


def _ready(*arguments: str) -> subprocess.Popen[str]:
    process = _started("-c", _SCRIPT, *arguments)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_signal_cancels_a_command(backend: str, ending: signal.Signals) -> None:
    """One Ctrl-C, SIGTERM or SIGHUP ends a command that waits, with exit code 130."""
    process = _ready(backend)
    process.send_signal(ending)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "cleaned up\n", INTERRUPTED)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_interrupt_does_not_break_the_end_of_a_command(backend: str) -> None:
    """A second Ctrl-C during the end of a command raises nothing at an arbitrary place of the command."""
    process = _ready(backend, "interrupted")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "cleaned up\n", INTERRUPTED)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_third_interrupt_ends_a_command_that_cannot_be_cancelled(backend: str) -> None:
    """If a command waits for ever and cannot be cancelled, the third Ctrl-C ends its process."""
    process = _ready(backend, "shielded")
    deadline = time.monotonic() + 60
    # Two signals may count as one, so the test sends signals until the process ends.
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", INTERRUPTED)


_ENDED = """
import signal
import sys
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.run import _carry_out

async def command():
    return "result"

def view(result):
    signal.raise_signal(signal.SIGINT)
    return result

sys.exit(_carry_out(Invocation(run=command, view=view, document=dict, as_json=False, backend=sys.argv[1])))
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_interrupt_after_the_end_of_a_command(backend: str) -> None:
    """A Ctrl-C that arrives after the command has ended does not replace the result by an error."""
    out, err = (process := _started("-c", _ENDED, backend)).communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "result\n", "")
