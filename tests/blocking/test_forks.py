"""Tests of `SmsClient` in processes that fork, as web servers and task queues do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the operating system has no fork")
ROOT = Path(__file__).parents[2]
_PARENT = """
import os, signal, sys, threading
from smsapi_async.blocking import SmsClient

sms = SmsClient.from_env()
thread = threading.Thread(target=lambda: [sms.send(f"79031000{{i:03}}", "parent") for i in range(100)])
{begin}
for child in range(3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(50)
        sms.send(f"7903200000{{child}}", "child")
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
{end}
sms.send("79033000000", "parent at the end")
"""


# The thread of the event loop imports a module when the main thread begins to fork.
_IMPORT = """
import os, signal, sys, threading
import anyio
from smsapi_async.blocking import SmsClient

imports, forks = threading.Event(), threading.Event()
sms = SmsClient.from_env()
os.register_at_fork(before=forks.set)
run = anyio.run

def run_slowly(*arguments):
    import slow
    run(*arguments)

async def load():
    import slow

{begin}
thread.start()
imports.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    import slow
    assert slow.is_complete
    sms.balance()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
thread.join()
sms.balance()
"""
_MODULE = """
import sys, time
main = sys.modules["__main__"]
main.imports.set()
main.forks.wait()
time.sleep(0.2)
is_complete = True
"""


def _run(sandbox: Sandbox, script: str, *paths: Path) -> None:
    """Run a script, which must print nothing, with the environment variables of an account of the sandbox."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *paths))),
        "SMSAPI_LOGIN": sandbox.login,
        "SMSAPI_PASSWORD": sandbox.password,
        "SMSAPI_BASE_URL": sandbox.base_url,
        "SMSAPI_SOURCE_ADDRESS": "ACME",
    }
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("uses_before", [True, False])
def test_each_process_has_its_own_login(*, uses_before: bool) -> None:
    """Each forked process logs in once and sends its message once, and disturbs no send of its parent."""
    # If the client was used before, its parent sends in a thread during the forks.
    begin, end = "sms.balance(); thread.start()", "thread.join()"
    script = (
        _PARENT.format(begin=begin, end=end)
        if uses_before
        else _PARENT.format(begin="", end=f"thread.start(); {end}")
    )
    with run_sandbox() as sandbox:
        _run(sandbox, script)
        numbers = [message.destination_address for message in sandbox.account.messages]
        assert len(numbers) == len({*numbers}) == 104
        assert sum(each.resource == "User/SessionId" for each in sandbox.account.arrivals) == 4


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param("sms.balance(); thread = threading.Thread(target=sms.call, args=[load])", id="a call"),
        pytest.param("anyio.run = run_slowly; thread = threading.Thread(target=sms.balance)", id="the start"),
    ],
)
def test_a_fork_during_an_import(begin: str, tmp_path: Path) -> None:
    """A forked process does not wait for ever for a module that the client of its parent was importing."""
    (tmp_path / "slow.py").write_text(_MODULE)
    with run_sandbox() as sandbox:
        _run(sandbox, _IMPORT.format(begin=begin), tmp_path)


_AFTER_THE_FIRST_CALL = """
import sys
from smsapi_async.blocking import SmsClient

sms = SmsClient.from_env()
sms.balance()
before = {*sys.modules}
sms.send("79031234567", "text")
assert {*sys.modules} <= before, {*sys.modules} - before
"""


def test_the_first_call_imports_all_modules() -> None:
    """After the first call, a send imports no module, so a fork does not meet a thread of an import."""
    with run_sandbox() as sandbox:
        _run(sandbox, _AFTER_THE_FIRST_CALL)


_BUSY = """
import os, signal, sys, threading
from smsapi_async import portal
from smsapi_async.blocking import SmsClient

portal._PATIENCE = 0.05
signal.alarm(50)
begun, forked = threading.Event(), threading.Event()
sms = SmsClient.from_env()

async def wait_for_the_fork():
    begun.set()
    forked.wait()

thread = threading.Thread(target=sms.call, args=[wait_for_the_fork])
thread.start()
begun.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    sms.balance()
    sys.exit(0)
forked.set()
assert os.waitpid(pid, 0)[1] == 0
thread.join()
sms.balance()
"""


def test_an_event_loop_that_waits_for_the_fork() -> None:
    """If the event loop waits for the thread that forks, the fork continues after the patience."""
    with run_sandbox() as sandbox:
        _run(sandbox, _BUSY)
