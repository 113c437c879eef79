"""The import of the client is short, and the event loop imports nothing later."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smsapi_async.sandbox import run_sandbox

ROOT = Path(__file__).parent.parent.parent
CLIENT = "import smsapi_async; smsapi_async.AsyncSmsClient"
# The highest allowed ratio of the time of `CLIENT` to the time of `import httpx`.
GOAL = 1.8
# The import of each of these modules takes several milliseconds.
SLOW = {
    "anyio.abc",
    "asyncio",
    "cattrs",
    "email",
    "hashlib",
    "httpcore",
    "httpx",
    "httpx2",
    "pathlib",
    "socket",
}
SLOW |= {
    "socket",
    "sqlite3",
    "ssl",
    "trio",
    "smsapi_async.ledger",
    "smsapi_async.batch",
    "smsapi_async.inbox",
}


def _run(*arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_client_needs_no_slow_module() -> None:
    """A program that defines a function with a client does not wait for an HTTP library or a ledger."""
    shown = _run("-c", f"{CLIENT}; import sys; print(*sys.modules)")
    assert SLOW.isdisjoint(shown.split())


@pytest.mark.parametrize("name", ["SmsApiError", "Message", "Secret", "Timeouts", "segment"])
def test_another_name_does_not_import_the_client(name: str) -> None:
    """A program that only catches an error or builds a message does not import the client."""
    shown = _run("-c", f"import smsapi_async; smsapi_async.{name}; import sys; print(*sys.modules)")
    assert (SLOW | {"smsapi_async.client", "smsapi_async.calls"}).isdisjoint(shown.split())


def _cpu_seconds(statement: str) -> float:
    # The CPU time depends less on the other processes of a busy machine than the run time.
    before = os.times()
    _run("-c", statement)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not report the time of child processes")
def test_the_import_is_short() -> None:
    """The import of the client takes at most 1.8 times the time of the import of httpx."""
    runs = [(_cpu_seconds(CLIENT), _cpu_seconds("import httpx")) for _ in range(6)]
    # The first run writes the bytecode.
    ours, reference = (min(times) for times in zip(*runs[1:], strict=True))
    assert ours <= GOAL * reference


@pytest.mark.parametrize(
    ("way", "use"),
    [
        ("asyncio", "entered"),
        ("trio", "entered"),
        ("anyio-asyncio", "entered"),
        ("anyio-trio", "entered"),
        ("anyio-asyncio", "not entered"),
        ("anyio-trio", "not entered"),
    ],
)
def test_the_event_loop_imports_nothing(way: str, use: str, tmp_path: Path) -> None:
    """An import would stop all tasks of the event loop, so a thread imports what a client needs.

    The program creates a client, enters it, makes each kind of call, and closes the client.
    """
    with run_sandbox() as sandbox:
        sandbox.receive("79031234567", text="hello", at=sandbox.now())
        shown = _run(
            "-m",
            "tests.public.imports_on_the_loop",
            way,
            str(tmp_path / "run.db"),
            use,
            SMSAPI_BASE_URL=sandbox.base_url,
            SMSAPI_LOGIN=sandbox.login,
            SMSAPI_PASSWORD=sandbox.password,
            SMSAPI_SOURCE_ADDRESS="ACME",
        )
    lines = shown.splitlines()
    assert lines[-1] == "imported"
    assert lines[:-1] == (["20 outcomes", "True", "79031234567"] if use == "entered" else [])
