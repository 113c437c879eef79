"""The sandbox serves requests on a real socket."""

import logging
import socket
import subprocess
import sys
import threading

import anyio
import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.sandbox.support import message

pytestmark = pytest.mark.anyio


def servers() -> list[threading.Thread]:
    """Return the threads that serve sandboxes."""
    return [thread for thread in threading.enumerate() if thread.name == "smsapi-sandbox"]


async def log_in(client: httpx.AsyncClient, sandbox: Sandbox) -> str:
    """Log in with the given HTTP client and return the session id."""
    answer = await client.get(
        f"{sandbox.base_url}/user/sessionid", params={"login": sandbox.login, "password": sandbox.password}
    )
    session: str = answer.json()
    return session


async def test_ready_when_it_yields() -> None:
    """Inside the block of `run_sandbox`, the sandbox listens on a free port.

    After the block, the port is closed.
    """
    async with run_sandbox(login="me", balance=5) as sandbox, httpx.AsyncClient(timeout=60) as client:
        session = await log_in(client, sandbox)
        answer = await client.get(f"{sandbox.base_url}/User/Balance", params={"sessionId": session})
        assert answer.text == "5"
        assert answer.headers["connection"] == "Keep-Alive"
        assert "server" not in answer.headers
        assert sandbox.login == "me"
        port = httpx.URL(sandbox.base_url).port
        assert port
    assert servers() == []
    assert sandbox.base_url == "http://127.0.0.1/rest"
    with pytest.raises(OSError, match="failed"):
        await anyio.connect_tcp("127.0.0.1", port)


async def test_two_at_once() -> None:
    """Two sandboxes can run at the same time, and each sandbox has a separate account."""
    async with run_sandbox() as one, run_sandbox() as other, httpx.AsyncClient(timeout=60) as client:
        assert one.base_url != other.base_url
        await log_in(client, one)
        assert (one.account.logins, other.account.logins) == (1, 0)


async def test_own_sandbox_again() -> None:
    """`run_sandbox` can serve a sandbox twice on one port.

    Between the two runs, the sandbox can be used without a socket.
    """
    sandbox = Sandbox()
    async with run_sandbox(sandbox) as served, httpx.AsyncClient(timeout=60) as client:
        assert served is sandbox
        await log_in(client, sandbox)
        port = httpx.URL(sandbox.base_url).port or 0
    async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app)) as client:
        await log_in(client, sandbox)
    async with run_sandbox(sandbox, port), httpx.AsyncClient(timeout=60) as client:
        assert httpx.URL(sandbox.base_url).port == port
        await log_in(client, sandbox)
    assert sandbox.account.sessions == 3


async def test_one_server_for_a_sandbox(anyio_backend: str) -> None:
    """A second server for the same sandbox raises `RuntimeError`, which says what to do."""
    async with run_sandbox() as sandbox, httpx.AsyncClient(timeout=60) as client:
        url = sandbox.base_url
        with pytest.raises(RuntimeError, match=f"{url} serves this sandbox already; .* pass a new Sandbox"):
            async with run_sandbox(sandbox):
                pytest.fail("the sandbox started")
        with pytest.raises(RuntimeError, match="already"), run_sandbox(sandbox):
            pytest.fail("the sandbox started")
        assert (len(servers()), sandbox.base_url) == (1, url)
        await log_in(client, sandbox)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with run_sandbox(sandbox, port=taken.getsockname()[1]):
            pytest.fail("the sandbox started")
    async with run_sandbox(sandbox), httpx.AsyncClient(timeout=60) as client:
        await log_in(client, sandbox)


async def test_ends_while_answers_are_held() -> None:
    """At the end of the block, the sandbox closes all connections at once.

    The sandbox does not wait for responses that are held or delayed.
    """
    sandbox = Sandbox()
    failures: list[Exception] = []

    async def call(client: httpx.AsyncClient, resource: str, url: str) -> None:
        try:
            await client.post(f"{url}/{resource}", data=message())
        except httpx.TransportError as error:
            failures.append(error)

    async with (
        httpx.AsyncClient(timeout=60) as client,
        anyio.create_task_group() as tasks,
        run_sandbox(sandbox),
    ):
        gate = sandbox.hold("Sms/Send")
        tasks.start_soon(call, client, "Sms/Send", sandbox.base_url)
        await gate.arrived()
        sandbox.latency = 3600
        delayed = sandbox.hold("Sms/SendBulk")
        tasks.start_soon(call, client, "Sms/SendBulk", sandbox.base_url)
        await delayed.arrived()
    assert len(failures) == 2
    assert servers() == []


async def test_ends_when_the_block_fails() -> None:
    """An exception or a cancellation inside the block stops the server."""
    with pytest.raises(KeyError):
        async with run_sandbox():
            raise KeyError
    with anyio.CancelScope() as scope:
        async with run_sandbox():
            scope.cancel()
            await anyio.sleep_forever()
    assert servers() == []


async def test_port_in_use() -> None:
    """If the port is already in use, `run_sandbox` raises `OSError`, and no server thread remains."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with run_sandbox(port=taken.getsockname()[1]):
            pytest.fail("the sandbox started")
    assert servers() == []


async def test_sandbox_or_arguments() -> None:
    """`run_sandbox` refuses a sandbox together with arguments for a new sandbox."""
    with pytest.raises(TypeError, match="not both"):
        async with run_sandbox(Sandbox(), login="me"):
            pytest.fail("the sandbox started")


async def test_half_a_request_is_no_arrival() -> None:
    """The sandbox neither processes nor records a request with an incomplete body."""
    async with run_sandbox() as sandbox:
        port = httpx.URL(sandbox.base_url).port or 0
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"POST /rest/Sms/Send HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nData=")
        async with httpx.AsyncClient(timeout=60) as client:
            await log_in(client, sandbox)
        assert sandbox.account.count() == 1


async def test_no_secrets_in_logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server logs no password and no session id, even if every logger has the level DEBUG."""
    caplog.set_level(logging.DEBUG)
    # If the logger `uvicorn.access` has a handler, uvicorn logs each request line, which contains the
    # password.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "handlers", [caplog.handler])
    async with run_sandbox(password="hidden-password") as sandbox:
        port = httpx.URL(sandbox.base_url).port or 0
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(
                b"GET /rest/user/sessionid?login=sandbox&password=hidden-password HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")
    assert "hidden-password" not in caplog.text
    assert "sessionid" not in caplog.text


async def test_many_at_once() -> None:
    """Each of 200 concurrent sends is accepted once and gets a unique segment id."""
    async with run_sandbox() as sandbox, httpx.AsyncClient(timeout=60) as client:
        session = await log_in(client, sandbox)
        ids: list[str] = []
        limiter = anyio.CapacityLimiter(20)

        async def send(number: int) -> None:
            async with limiter:
                fields = {**message(str(79030000000 + number)), "SessionID": session}
                ids.extend((await client.post(f"{sandbox.base_url}/Sms/Send", data=fields)).json())

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(send, number)
        assert len(set(ids)) == 200
        assert len({each.destination_address for each in sandbox.account.messages}) == 200


async def test_only_http() -> None:
    """The ASGI application of the sandbox raises `NotImplementedError` for a scope that is not HTTP."""
    with pytest.raises(NotImplementedError, match="lifespan"):
        await Sandbox().app({"type": "lifespan"}, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("library", ["starlette", "tomli_w", "uvicorn"])
def test_without_the_extra(library: str) -> None:
    """If a library of the sandbox is missing, the error contains the command that installs the extra."""
    code = f"import sys; sys.modules[{library!r}] = None; import smsapi_async.sandbox"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = f"ModuleNotFoundError: the sandbox needs {library}: pip install 'smsapi-async[sandbox]'"
    assert done.stderr.splitlines()[-1] == expected
