"""Tests of `SmsClient` in processes that fork, as web servers and task queues do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smsapi_async.sandbox import run_sandbox

ROOT = Path(__file__).parents[2]
_PARENT = """
import os, sys, threading
from smsapi_async.blocking import SmsClient

sms = SmsClient.from_env()
thread = threading.Thread(target=lambda: [sms.send(f"79031000{{i:03}}", "parent") for i in range(100)])
{begin}
for child in range(3):
    pid = os.fork()
    if pid == 0:
        sms.send(f"7903200000{{child}}", "child")
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
{end}
sms.send("79033000000", "parent at the end")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the operating system has no fork")
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
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SMSAPI_LOGIN": sandbox.login,
            "SMSAPI_PASSWORD": sandbox.password,
            "SMSAPI_BASE_URL": sandbox.base_url,
            "SMSAPI_SOURCE_ADDRESS": "ACME",
        }
        command = [sys.executable, "-W", "error", "-c", script]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        numbers = [message.destination_address for message in sandbox.account.messages]
        assert len(numbers) == len({*numbers}) == 104
        assert sum(each.resource == "User/SessionId" for each in sandbox.account.arrivals) == 4
