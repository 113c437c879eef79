"""The guard and the requests that the sandbox makes: pushes, and requests that a fault proxy passes on."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from smsapi_async.sandbox import run_sandbox
from smsapi_async.sandbox.faults import FaultProxy
from smsapi_async.sandbox.remote_requests import RemoteRequestBlocked, check_remote, is_loopback_host
from tests.testing.conftest import Project

PUSHES = """
    import asyncio, os, subprocess, sys
    import pytest
    from smsapi_async.sandbox import run_sandbox

    def push(url="http://handler.invalid/sms"):
        async def main():
            async with run_sandbox(push_url=url, allow_remote_push=True) as sandbox:
                sandbox.receive("79031234567", text="my secret")
                await sandbox.wait_for_pushes()
                return sandbox.account.pushes[0].error
        return asyncio.run(main())
"""


def test_pushes(project: Project) -> None:
    """A push to another computer fails the test, also in another process, unless the test has `sms_real`."""
    project.write(
        PUSHES
        + """
    def test_blocked():
        assert push() == "RemoteRequestBlocked"

    def test_subprocess():
        subprocess.run([sys.executable, "-c", "import test_user; test_user.push()"], check=True)

    def test_fixture(sms_sandbox):
        sms_sandbox.push_to("https://192.0.2.1/sms", allow_remote=True)
        sms_sandbox.receive("79031234567", text="my secret")
        asyncio.run(sms_sandbox.wait_for_pushes())

    def test_loopback():
        assert push("http://127.0.0.1:9/sms") == "ConnectError"

    @pytest.mark.sms_real
    def test_real():
        assert push() == "ConnectError"
    """
    )
    run = project.run("-rN", "--tb=short")
    assert run.counts == {"passed": 2, "failed": 3}, run.output
    assert run.output.count("blocked Push to handler.invalid") == 2
    assert run.output.count("blocked Push to 192.0.2.1") == 1
    assert "my secret" not in run.output


@pytest.fixture
def guard_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Switch the guard on for the sandbox only, so that the guard of this run gets no report."""
    file = tmp_path / "guard"
    file.touch()
    monkeypatch.setenv("SMSAPI_GUARD", "1")
    monkeypatch.setenv("SMSAPI_GUARD_FILE", str(file))
    return file


def test_a_fault_proxy(guard_file: Path) -> None:
    """A fault proxy in front of another computer passes nothing on."""
    with FaultProxy("gateway.invalid", 80) as proxy:
        answer = httpx.get(f"{proxy.base_url}/Sms/State?sessionId=secret", trust_env=False)
    assert answer.status_code == 502
    assert guard_file.read_text() == "Sms/State\tgateway.invalid\t\n"


def test_an_attempt_that_was_blocked(guard_file: Path) -> None:
    """The attempt names the reason, and the guard reports each attempt."""
    with run_sandbox(push_url="http://handler.invalid/sms", allow_remote_push=True) as sandbox:
        sandbox.receive("79031234567", text="hello")
        asyncio.run(sandbox.wait_for_pushes())
        assert [each.error for each in sandbox.account.pushes] == ["RemoteRequestBlocked"]
    assert guard_file.read_text() == "Push\thandler.invalid\t\n"


@pytest.mark.parametrize("file", ["", "missing"])
def test_without_a_file(guard_file: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Without the file of the guard, the request is blocked, too."""
    monkeypatch.setenv("SMSAPI_GUARD_FILE", file and f"{guard_file}-missing")
    with pytest.raises(RemoteRequestBlocked):
        check_remote("handler.invalid", "Push")


@pytest.mark.parametrize("value", ["", "0", "No", "OFF", "false"])
def test_the_guard_is_off(guard_file: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The values of the variable that switch the guard off are those of the client."""
    monkeypatch.setenv("SMSAPI_GUARD", value)
    check_remote("handler.invalid", "Push")
    assert os.path.getsize(guard_file) == 0


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("Localhost.", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens on the address
        ("sms.localhost", False),
        ("8.8.8.8", False),
    ],
)
def test_which_hosts_are_loopback(host: str, expected: bool) -> None:
    """The sandbox and the client call the same hosts loopback, although they share no code."""
    assert is_loopback_host(host) is expected
