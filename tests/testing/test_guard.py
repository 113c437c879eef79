"""The guard of the pytest plugin: no test sends a real message by mistake."""

import os
import subprocess
import sys

import pytest

from smsapi_async import RealSendBlocked
from smsapi_async.guard import is_loopback
from smsapi_async.guard.blocked_requests import block
from tests.testing.conftest import Project

# Programs of a user: `send` sends through the real gateway, and `swallow` handles each error.
PROGRAMS = """
    import anyio, asyncio, httpx, os, subprocess, sys, threading, unittest
    import pytest
    from smsapi_async import AsyncSmsClient, BatchHalted, Message, RealSendBlocked, SmsApiError
    from smsapi_async.cli import main
    from smsapi_async.ledger import Ledger

    def send(**options):
        async def main():
            async with AsyncSmsClient("login", "password", source_address="ACME", **options) as sms:
                await sms.send("79031234567", "hello")
        anyio.run(main)

    def swallow(**options):
        try:
            send(**options)
        except SmsApiError:
            pass
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens on the address
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("8.8.8.8", False),
        ("::", False),
        ("fe80::1", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("sms.localhost", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("integrationapi.net", False),
        ("", False),
    ],
)
def test_which_hosts_are_loopback(host: str, expected: bool) -> None:
    """Only an address of this machine passes the guard, and no name that merely looks like one."""
    assert is_loopback(host) is expected


def test_real_requests_fail_the_test(project: Project) -> None:
    """Each way to the real gateway fails the test, also if the application handles the error."""
    project.write(
        PROGRAMS
        + """
    def test_raised():
        send()

    def test_swallowed():
        swallow()

    def test_httpcore():
        swallow(transport="httpcore")

    def test_caller_client():
        swallow(client=httpx.AsyncClient())

    def test_caller_transport():
        swallow(transport=httpx.AsyncHTTPTransport())

    def test_httpx2():
        swallow(http="httpx2")

    def test_caller_client_of_httpx2():
        swallow(client=pytest.importorskip("httpx2").AsyncClient())

    def test_caller_transport_of_httpx2():
        swallow(transport=pytest.importorskip("httpx2").AsyncHTTPTransport())

    def test_local_proxy():
        swallow(proxy="http://127.0.0.1:9")

    def test_local_proxy_of_the_caller():
        swallow(client=httpx.AsyncClient(proxy="http://127.0.0.1:9"))

    def test_remote_proxy():
        swallow(proxy="http://proxy.invalid:3128", base_url="http://127.0.0.1:9/rest")

    def test_remote_proxy_of_the_caller():
        client = httpx.AsyncClient(proxy="http://caller.invalid:3128")
        swallow(client=client, base_url="http://127.0.0.1:9/rest")

    def test_unix_socket():
        swallow(transport=httpx.AsyncHTTPTransport(uds="missing.sock"))

    def test_other_library():
        swallow(transport=pytest.importorskip("pyreqwest.compatibility.httpx").HttpxTransport())

    def test_other_library_of_the_caller():
        transport = pytest.importorskip("pyreqwest.compatibility.httpx").HttpxTransport()
        swallow(client=httpx.AsyncClient(mounts={"https://": transport}))

    def test_changed_host():
        class Changing(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request):
                request.url = request.url.copy_with(host="changed.invalid")
                return await super().handle_async_request(request)
        swallow(transport=Changing(), base_url="http://127.0.0.1:9/rest")

    def test_gathered():
        async def main():
            async with AsyncSmsClient("login", "password", source_address="ACME") as sms:
                await asyncio.gather(sms.send("79031234567", "hello"), return_exceptions=True)
        asyncio.run(main())

    def test_ledger(tmp_path):
        async def main():
            async with (
                AsyncSmsClient("login", "password", source_address="ACME") as sms,
                Ledger.sqlite(tmp_path / "run.db") as ledger,
            ):
                with pytest.raises(BatchHalted):
                    async with sms.send_many([Message("79031234567", "hello")], ledger=ledger) as outcomes:
                        assert not [outcome async for outcome in outcomes]
                assert (await ledger.summary()).pending == 1
        asyncio.run(main())

    def test_command_line(monkeypatch):
        monkeypatch.setenv("SMSAPI_LOGIN", "login")
        monkeypatch.setenv("SMSAPI_PASSWORD", "password")
        arguments = ["send", "79031234567", "hello", "--source-address", "ACME"]
        assert main(arguments) == 2
        assert subprocess.run([sys.executable, "-m", "smsapi_async", *arguments]).returncode == 2

    def test_version_2():
        swallow(api_version=2)

    def test_cleared_environment(monkeypatch):
        for name in list(os.environ):
            monkeypatch.delenv(name)
        swallow()

    def test_skips():
        try:
            send()
        except SmsApiError:
            pytest.skip("the gateway cannot be reached")

    @pytest.mark.xfail(strict=True)
    def test_expected_failure():
        send()

    def test_expected_error():
        with pytest.raises(RealSendBlocked):
            send()

    def test_thread():
        thread = threading.Thread(target=swallow)
        thread.start()
        thread.join()

    def test_subprocess():
        subprocess.run([sys.executable, "-c", "import test_user; test_user.swallow()"], check=True)

    def test_fork():
        child = os.fork()
        if not child:
            try:
                swallow()
            finally:
                os._exit(0)
        os.waitpid(child, 0)

    class TestCase(unittest.TestCase):
        def test_swallowed(self):
            swallow()

        def test_skips(self):
            swallow()
            self.skipTest("no gateway")

    @pytest.fixture
    def sending():
        yield
        swallow()

    def test_teardown(sending):
        pass
    """
    )
    run = project.run("-rfE", "--tb=line", "--show-capture=no")
    assert run.counts == {"failed": 29, "passed": 1, "error": 1}, run.output
    assert run.output.count("blocked user/sessionid to integrationapi.net at test_user.py:") >= 20
    assert run.output.count("blocked Sms/Send to integrationapi.net at test_user.py:") >= 1
    assert "79031234567" not in run.output
    assert "changed.invalid" in run.output
    assert "proxy.invalid" in run.output
    assert "caller.invalid" in run.output
    assert "sms_real" in run.output
    assert "--sms-guard=off" in run.output


def test_what_passes(project: Project) -> None:
    """Requests to this machine, transports without a network, and tests with `sms_real` pass the guard."""
    project.write(
        PROGRAMS
        + """
    def test_loopback():
        swallow(base_url="http://127.0.0.1:9/rest")

    def test_mock():
        swallow(transport=httpx.MockTransport(lambda request: httpx.Response(500)))

    def test_mock_client():
        mock = httpx.MockTransport(lambda request: httpx.Response(500))
        swallow(client=httpx.AsyncClient(transport=mock))

    def test_asgi():
        from smsapi_async.sandbox import Sandbox
        sandbox = Sandbox("login", "password")
        send(transport=httpx.ASGITransport(sandbox.app))
        assert sandbox.code_to is not None and len(sandbox.account.messages) == 1

    @pytest.mark.sms_real
    def test_real():
        with pytest.raises(SmsApiError) as failure:
            send(base_url="https://gateway.invalid/rest")
        assert not isinstance(failure.value, RealSendBlocked)
        assert "SMSAPI_GUARD" not in os.environ

    def test_the_guard_is_on_again():
        assert os.environ["SMSAPI_GUARD"] == "1"
    """
    )
    run = project.run()
    assert run.counts == {"passed": 6}, run.output


REAL = """
    import os
    import anyio
    from smsapi_async import AsyncSmsClient, RealSendBlocked, SmsApiError

    def test_real():
        async def main():
            async with AsyncSmsClient("a", "b", base_url="https://gateway.invalid/rest") as sms:
                try:
                    await sms.send("79031234567", "hello", source_address="ACME")
                except RealSendBlocked:
                    raise
                except SmsApiError:
                    pass
        anyio.run(main)
"""


@pytest.mark.parametrize(
    ("arguments", "setting", "is_on"),
    [
        ((), "", True),
        (("--sms-guard",), "", True),
        (("--sms-guard=on",), "sms_guard = off", True),
        (("--sms-guard", "off"), "", False),
        (("--sms-guard=off",), "", False),
        (("--no-sms-guard",), "", False),
        ((), "sms_guard = false", False),
        (("-o", "sms_guard=false"), "sms_guard = true", False),
    ],
)
def test_the_switches(project: Project, arguments: tuple[str, ...], setting: str, is_on: bool) -> None:
    """The option and the setting switch the guard; the option is stronger than the setting."""
    project.write(f"[pytest]\n{setting}", "pytest.ini")
    project.write(REAL)
    run = project.run(*arguments, SMSAPI_GUARD="" if is_on else "1")
    assert run.counts == ({"failed": 1} if is_on else {"passed": 1}), run.output


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        ("sandbox", True),
        ("host.docker.internal", True),
        ("sms.localhost", True),
        ("172.17.0.2", True),
        ("0.0.0.0", True),  # noqa: S104 - nothing listens on the address
        ("integrationapi.net", False),
        ("8.8.8.8", False),
    ],
)
def test_the_hint_for_a_container(host: str, is_near: bool) -> None:
    """The error for a name in a local network says which hosts pass the guard, and names the marker."""
    with pytest.raises(RealSendBlocked) as failure:
        block(host, "Sms/Send", lambda _: None)
    assert ("only 127.0.0.1, ::1 and localhost pass the guard" in str(failure.value)) is is_near
    assert f"blocked Sms/Send to {host}; nothing was sent" in str(failure.value)
    assert "sms_real" in str(failure.value)


def test_a_project_that_sends_nothing(project: Project) -> None:
    """The plugin changes nothing in a project without this package, and describes itself."""
    project.write(
        """
        import asyncio, socket, sys

        def test_nothing():
            for module in ("httpx", "httpcore", "starlette", "smsapi_async.errors", "smsapi_async.client"):
                assert module not in sys.modules
            for value in [*vars(asyncio).values(), *vars(socket).values(), *vars(socket.socket).values()]:
                assert not str(getattr(value, "__module__", "")).startswith("smsapi")
        """
    )
    run = project.run("-p", "no:anyio", "-p", "no:hypothesispytest")
    assert run.counts == {"passed": 1}, run.output
    assert "warning" not in run.output
    assert "@pytest.mark.sms_real" in project.run("--markers").output
    assert "sms_sandbox" in project.run("--fixtures").output
    assert "--sms-guard" in project.run("--help").output


def test_a_wrong_setting(project: Project) -> None:
    """A wrong value of the setting ends pytest with a message that names the setting and the values."""
    run = project.run("-o", "sms_guard=maybe")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "sms_guard in the configuration of pytest must be true or false" in run.output


def test_a_wrong_switch(project: Project) -> None:
    """A wrong value of the option ends pytest with a message that names the values."""
    run = project.run("--sms-guard", "tests")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "write --sms-guard=on or --sms-guard=off" in run.output


def test_workers(project: Project) -> None:
    """Each worker of pytest-xdist has its own guard."""
    project.write(
        PROGRAMS + "\n    def test_one():\n        swallow()\n\n    def test_two():\n        pass\n"
    )
    run = project.run("-n", "2")
    assert run.counts == {"failed": 1, "passed": 1}, run.output


def test_no_name_is_looked_up(project: Project) -> None:
    """The guard acts before the name of the gateway is looked up and before a connection is opened."""
    project.write(
        PROGRAMS
        + """
    import socket
    def test_real(monkeypatch):
        calls = []
        for name in ("getaddrinfo", "socket"):
            original = getattr(socket, name)
            def spy(*args, _name=name, _original=original, **kwargs):
                calls.append((_name, args))
                return _original(*args, **kwargs)
            if name == "getaddrinfo":
                monkeypatch.setattr(socket, name, spy)
        monkeypatch.setattr(socket.socket, "connect", lambda *args: calls.append(args))
        for options in ({}, {"transport": "httpcore"}, {"client": httpx.AsyncClient()}):
            swallow(**options)
        print("calls:", calls)
        assert False
    """
    )
    run = project.run("-s")
    assert "calls: []" in run.output


_FROM_ENV = """
import anyio
from smsapi_async import AsyncSmsClient, RetryPolicy, SmsApiError

async def main():
    async with AsyncSmsClient.from_env(retry=RetryPolicy(attempts=1)) as sms:
        try:
            await sms.send("79031234567", "hello")
        except SmsApiError as error:
            print(type(error).__name__)

anyio.run(main)
"""


@pytest.mark.parametrize(
    ("value", "error"), [("1", "RealSendBlocked"), ("on", "RealSendBlocked"), ("0", "NotSent")]
)
def test_a_process_whose_environment_has_the_variable(value: str, error: str) -> None:
    """With SMSAPI_GUARD=1, a process without pytest sends to loopback only, also to no container."""
    variables = {
        "SMSAPI_LOGIN": "login",
        "SMSAPI_PASSWORD": "password",
        "SMSAPI_SOURCE_ADDRESS": "ACME",
        "SMSAPI_BASE_URL": "http://sandbox.invalid:8099/rest",
        "SMSAPI_ALLOW_PLAIN_HTTP": "1",
        "SMSAPI_GUARD": value,
        "SMSAPI_GUARD_FILE": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", _FROM_ENV],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    assert (done.stderr, done.stdout.strip()) == ("", error)
