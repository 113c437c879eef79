"""The sandbox on a real socket."""

import logging
import socket
import subprocess
import sys
import threading
import time

import anyio
import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.sandbox.support import message

pytestmark = pytest.mark.anyio


def servers() -> list[threading.Thread]:
    """The threads in which sandboxes are served."""
    return [thread for thread in threading.enumerate() if thread.name == "smsapi-sandbox"]


async def log_in(client: httpx.AsyncClient, sandbox: Sandbox) -> str:
    """A session id, over the client given."""
    answer = await client.get(
        f"{sandbox.base_url}/user/sessionid", params={"login": sandbox.login, "password": sandbox.password}
    )
    session: str = answer.json()
    return session


async def test_ready_when_it_yields() -> None:
    """Inside the block the sandbox answers on a free port; after it nobody listens and no thread is left."""
    async with run_sandbox(login="me", balance=5) as sandbox, httpx.AsyncClient() as client:
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
    """Two sandboxes run side by side and keep their accounts apart."""
    async with run_sandbox() as one, run_sandbox() as other, httpx.AsyncClient() as client:
        assert one.base_url != other.base_url
        await log_in(client, one)
        assert (one.account.logins, other.account.logins) == (1, 0)


async def test_own_sandbox_again() -> None:
    """One sandbox can be served, restarted on the same port, and used in process in between."""
    sandbox = Sandbox()
    async with run_sandbox(sandbox) as served, httpx.AsyncClient() as client:
        assert served is sandbox
        await log_in(client, sandbox)
        port = httpx.URL(sandbox.base_url).port or 0
    async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app)) as client:
        await log_in(client, sandbox)
    async with run_sandbox(sandbox, port), httpx.AsyncClient() as client:
        assert httpx.URL(sandbox.base_url).port == port
        await log_in(client, sandbox)
    assert sandbox.account.sessions == 3


async def test_ends_while_answers_are_held() -> None:
    """The end of the block cuts held and delayed answers at once instead of waiting for them."""
    sandbox = Sandbox()
    failures: list[Exception] = []

    async def call(client: httpx.AsyncClient, resource: str, url: str) -> None:
        try:
            await client.post(f"{url}/{resource}", data=message())
        except httpx.TransportError as error:
            failures.append(error)

    began = time.monotonic()
    async with httpx.AsyncClient() as client, anyio.create_task_group() as tasks, run_sandbox(sandbox):
        gate = sandbox.hold("Sms/Send")
        tasks.start_soon(call, client, "Sms/Send", sandbox.base_url)
        await gate.arrived()
        sandbox.latency = 3600
        delayed = sandbox.hold("Sms/SendBulk")
        tasks.start_soon(call, client, "Sms/SendBulk", sandbox.base_url)
        await delayed.arrived()
    assert len(failures) == 2
    assert time.monotonic() - began < 5
    assert servers() == []


async def test_ends_when_the_block_fails() -> None:
    """An exception or a cancellation inside the block ends the server as well."""
    with pytest.raises(KeyError):
        async with run_sandbox():
            raise KeyError
    with anyio.CancelScope() as scope:
        async with run_sandbox():
            scope.cancel()
            await anyio.sleep_forever()
    assert servers() == []


async def test_port_in_use() -> None:
    """A port that is taken is an OSError, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with run_sandbox(port=taken.getsockname()[1]):
            pytest.fail("it started")
    assert servers() == []


async def test_sandbox_or_arguments() -> None:
    """A sandbox and arguments for one are not both accepted."""
    with pytest.raises(TypeError, match="not both"):
        async with run_sandbox(Sandbox(), login="me"):
            pytest.fail("it started")


async def test_half_a_request_is_no_arrival() -> None:
    """A request whose body never ends is not processed and not entered."""
    async with run_sandbox() as sandbox:
        port = httpx.URL(sandbox.base_url).port or 0
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"POST /rest/Sms/Send HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nData=")
        async with httpx.AsyncClient() as client:
            await log_in(client, sandbox)
        assert sandbox.account.count() == 1


async def test_no_secrets_in_logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every logger at DEBUG the server writes no request line, so no password and no session."""
    caplog.set_level(logging.DEBUG)
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
    """Hundreds of concurrent sends over sockets are each accepted once, with ids of their own."""
    async with run_sandbox() as sandbox, httpx.AsyncClient() as client:
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
    """Anything but HTTP is refused by the application."""
    with pytest.raises(NotImplementedError, match="lifespan"):
        await Sandbox().app({"type": "lifespan"}, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_without_the_extra(library: str) -> None:
    """Where the extra is missing, the import says what to install."""
    code = f"import sys; sys.modules[{library!r}] = None; import smsapi_async.sandbox"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = f"ModuleNotFoundError: the sandbox needs {library}: pip install 'smsapi-async[sandbox]'"
    assert done.stderr.splitlines()[-1] == expected
