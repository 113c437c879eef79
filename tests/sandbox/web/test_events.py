"""The stream of events and the waiters of the control API."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path

import anyio
import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.web import event_stream
from tests.cli.test_process import running_sandbox
from tests.sandbox.web.support import WebCaller, served, until, web_client

pytestmark = pytest.mark.anyio

Event = dict[str, str]


@asynccontextmanager
async def events(caller: WebCaller, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
    """Open a stream and yield its events and comments as dictionaries."""
    url = f"{caller.page_url}api/v1/events{query}"
    async with caller.client.stream("GET", url, headers=headers) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"

        async def read() -> AsyncIterator[Event]:
            event: Event = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    event[name or "comment"] = value
                else:
                    yield event
                    event = {}

        yield read()


async def test_ids_and_kinds(anyio_backend: str) -> None:
    """Each event has its number as id, its kind, and the object that changed."""
    async with served() as (sandbox, caller):
        last = (await caller.get("state"))["last"]
        async with events(caller, f"?after={last}") as stream:
            assert "comment" in await anext(stream)
            await caller.send(text="Your code is 4711")
            found = [await anext(stream) for _ in range(5)]
        assert [each["event"] for each in found] == ["request", "answer", "request", "message", "answer"]
        assert [int(each["id"]) for each in found] == list(range(last + 1, last + 6))
        assert json.loads(found[3]["data"]) | {"state": 0, "label": ""} == (
            await caller.get("messages/1") | {"state": 0, "label": ""}
        )
        assert json.loads(found[4]["data"]) == await caller.get("requests/1")
        # A browser that connects again names the last event that it got.
        async with events(caller, f"?after={last}", **{"Last-Event-ID": found[2]["id"]}) as stream:
            await anext(stream)
            assert (await anext(stream))["id"] == found[3]["id"]
        sandbox.pause()
        async with events(caller, f"?after={sandbox.feed.last - 1}") as stream:
            await anext(stream)
            event = await anext(stream)
            assert (event["event"], json.loads(event["data"])["running"]) == ("clock", False)


async def test_only_new_events(anyio_backend: str) -> None:
    """Without a number, a stream begins with the next event."""
    async with served() as (sandbox, caller):
        await caller.send()
        async with events(caller) as stream:
            await anext(stream)
            sandbox.clear()
            assert (await anext(stream))["event"] == "cleared"


@pytest.mark.parametrize(
    "query", ["?after=0", "?after=1000000", "?instance=another", "?after=0&instance=another"]
)
async def test_reset_after_a_gap(query: str, anyio_backend: str) -> None:
    """After a gap and after a restart, the first event is `reset`; the next events follow."""
    async with served(keep=1) as (sandbox, caller):
        for _ in range(sandbox.feed.last + 1001):
            sandbox.feed.append("clock")
        async with events(caller, query) as stream:
            await anext(stream)
            assert (await anext(stream)) == {"id": str(sandbox.feed.last), "event": "reset", "data": "{}"}
            sandbox.pause()
            assert (await anext(stream))["id"] == str(sandbox.feed.last)


@pytest.mark.parametrize("last_id", ["x", "-1", "1000000", "1.5", "٣", "9" * 30])
async def test_reset_after_an_unknown_id(last_id: str, anyio_backend: str) -> None:
    """An id that the sandbox cannot have sent leads to `reset`."""
    async with served() as (_, caller):
        headers = {"Last-Event-ID": last_id.encode()}
        url = f"{caller.page_url}api/v1/events"
        async with caller.client.stream("GET", url, headers=headers) as response:  # type: ignore[arg-type]
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    assert line == "event: reset"
                    break


async def test_the_same_instance(anyio_backend: str) -> None:
    """With the `instance` of the sandbox, a stream continues after the number."""
    async with served() as (sandbox, caller):
        instance = (await caller.get("info"))["instance"]
        sandbox.pause()
        async with events(caller, f"?after=0&instance={instance}") as stream:
            await anext(stream)
            assert (await anext(stream))["event"] == "clock"
    async with served() as (_, caller):
        assert (await caller.get("info"))["instance"] != instance


async def test_comments(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream without events sends a comment each 15 seconds."""
    assert event_stream.KEEP_ALIVE_SECONDS == 15
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.05)
    async with served() as (_, caller), events(caller) as stream:
        assert [list(await anext(stream))[-1] for _ in range(3)] == ["comment"] * 3


async def test_most_streams(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of streams has a limit. A closed stream makes room for another one."""
    monkeypatch.setattr(event_stream, "MOST_STREAMS", 1)
    async with served() as (_, caller):
        async with events(caller) as stream:
            await anext(stream)
            assert (await caller.call("GET", "events")).status_code == 503
        with anyio.fail_after(10):
            while True:
                async with caller.client.stream("GET", f"{caller.page_url}api/v1/events") as response:
                    if response.status_code == 200:
                        break


async def test_latest_waits(anyio_backend: str) -> None:
    """`messages/latest` answers when the message arrives, and not with an earlier or another message."""
    async with served() as (_, caller):
        await caller.send(text="code 1111")
        number = (await caller.get("messages/latest", to="79031234567"))["number"]
        found: list[str] = []

        async def wait() -> None:
            query = {"to": "+79031234567", "after": number, "wait": 30, "text": "CODE"}
            found.append((await caller.get("messages/latest", **query))["code"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.05)
            for to, text in (
                ("79031234568", "code 2222"),
                ("79031234567", "Hello"),
                ("79031234567", "code 3333"),
            ):
                assert found == []
                await caller.send(to, text)
        assert found == ["3333"]


@pytest.mark.parametrize("query", ["", "?to=79031234567", "?to=&text=&after=&wait="])
async def test_latest_waits_by_default(query: str, anyio_backend: str) -> None:
    """Without `wait`, `messages/latest` waits up to 10 seconds for a message that is still on its way."""
    async with served() as (sandbox, caller), anyio.create_task_group() as tasks:
        found: list[int] = []

        async def wait() -> None:
            found.append((await caller.get(f"messages/latest{query}"))["number"])

        tasks.start_soon(wait)
        await until(lambda: len(sandbox.feed._wakers) == 1)
        await caller.send()
        await until(lambda: found == [1])
        document = await caller.get("openapi.json")
        parameters = document["paths"]["/messages/latest"]["get"]["parameters"]
        assert [each["schema"]["default"] for each in parameters if each["name"] == "wait"] == [10]


async def test_latest_does_not_wait(anyio_backend: str) -> None:
    """With `wait=0`, `messages/latest` answers at once."""
    async with served() as (_, caller):
        with anyio.fail_after(5):
            assert (await caller.call("GET", "messages/latest?wait=0")).status_code == 404


async def test_nothing_came(anyio_backend: str) -> None:
    """If no message fulfils the conditions in time, the answer lists the other messages."""
    async with served() as (_, caller):
        answer = await caller.call("GET", "messages/latest?to=79031234567&wait=0")
        assert (answer.status_code, answer.json()["others"]) == (404, [])
        await caller.send("79031234568", "one")
        await caller.send("79031234569", "two")
        answer = await caller.call("GET", "messages/latest?to=79031234567&wait=0.05&after=1")
        assert answer.status_code == 404
        assert [each["text"] for each in answer.json()["others"]] == ["two"]
        assert "1 other message came" in answer.json()["error"]


async def test_waiter_disconnects(anyio_backend: str) -> None:
    """If a client stops waiting, nothing of its wait remains."""
    async with served() as (sandbox, caller):
        with pytest.raises(httpx.ReadTimeout):
            await caller.call("GET", "messages/latest?wait=300", timeout=0.2)
        await until(lambda: not sandbox.feed._wakers)


async def test_stop_with_streams_and_waiters(anyio_backend: str) -> None:
    """A sandbox with 10 streams and 5 waiters stops within a second. Each of them gets a complete answer."""
    sandbox = Sandbox()
    paths = ["events"] * 10 + ["messages/latest?wait=300"] * 5
    answers: list[tuple[int, str]] = []
    async with web_client() as client, anyio.create_task_group() as tasks:
        async with run_sandbox(sandbox):

            async def ask(path: str) -> None:
                answer = await client.get(f"{sandbox.page_url}api/v1/{path}")
                answers.append((answer.status_code, answer.headers["content-type"]))

            for path in paths:
                tasks.start_soon(ask, path)
            await until(lambda: len(sandbox.feed._wakers) == len(paths))
            started = time.monotonic()
        assert time.monotonic() - started < 1
    stream, refused = (200, "text/event-stream; charset=utf-8"), (503, "application/json")
    assert sorted(answers) == [stream] * 10 + [refused] * 5


async def test_stop_with_a_stalled_stream(anyio_backend: str) -> None:
    """A client that reads nothing, and a held answer of the gateway, do not delay the stop."""
    sandbox = Sandbox()
    async with web_client() as client, anyio.create_task_group() as tasks:
        async with run_sandbox(sandbox):
            caller = WebCaller(client, sandbox.base_url, sandbox.page_url or "")
            stalled = stalled_stream(caller)
            await until(lambda: len(sandbox.feed._wakers) == 1)
            for _ in range(5):
                sandbox.receive("79031234567", text="x" * 2_000_000)
            gate = sandbox.hold()

            async def lost(url: str) -> None:
                with pytest.raises(httpx.TransportError):
                    await client.get(url)

            tasks.start_soon(lost, f"{sandbox.base_url}/User/Balance")
            await gate.arrived()
            # Meanwhile the stream fills the buffers. A wait that is too short only makes the test weaker.
            await anyio.sleep(0.2)
            started = time.monotonic()
        assert time.monotonic() - started < 1
        stalled.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_of_the_command(number: signal.Signals) -> None:
    """The command ends within a second after a signal. Streams and waiters get a complete answer."""
    with running_sandbox("--json") as (process, announced), ExitStack() as stack:
        address = httpx.URL(json.loads(announced)["page_url"])

        def ask(path: str) -> HTTPConnection:
            connection = stack.enter_context(closing(HTTPConnection(address.host, address.port, timeout=30)))
            connection.request("GET", f"/api/v1/{path}")
            return connection

        streams = [ask("events").getresponse() for _ in range(10)]
        waiters = [ask("messages/latest?wait=300") for _ in range(5)]
        assert ask("livez").getresponse().read()
        delayed, started = _delay_by_others(process.pid), time.monotonic()
        process.send_signal(number)
        _wait_for_end(process)
        seconds = time.monotonic() - started - (_delay_by_others(process.pid) - delayed)
        assert process.wait() == 0
        assert all(stream.read().startswith(b"retry: 1000") for stream in streams)
        answers = [waiter.getresponse() for waiter in waiters]
        assert [answer.status for answer in answers] == [503] * 5
        assert all("stops" in json.load(answer)["error"] for answer in answers)
    assert seconds < 1


def _wait_for_end(process: subprocess.Popen[str]) -> None:
    """Wait until a process ends. On Linux, `_delay_by_others` still works after the end."""
    if sys.platform == "linux":
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _delay_by_others(process: int) -> float:
    """Return the seconds for which a process waited because others used the processor; 0 except on Linux."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text("ascii").split()[1]) / 1e9
    except OSError:
        return 0


async def test_stalled_streams(anyio_backend: str) -> None:
    """20 streams whose clients read nothing do not stop the gateway, and slow it by less than half."""
    async with served(keep=100) as (sandbox, caller):

        async def seconds() -> float:
            """Return the processor time of 200 messages."""
            started = time.process_time()
            for _ in range(200):
                assert (await caller.send(text="Your code is 4711")).status_code == 200
            return time.process_time() - started

        await caller.get("state")
        await seconds()
        ratio = math.inf
        for _ in range(4):
            # The processor time also depends on other processes, so a slow round is repeated.
            if ratio >= 1.5:
                usual = await seconds()
                with ExitStack() as stack:
                    for _ in range(20):
                        stack.enter_context(stalled_stream(caller))
                    await until(lambda: len(sandbox.feed._wakers) == 20)
                    ratio = min([await seconds() for _ in range(2)]) / usual
                await until(lambda: not sandbox.feed._wakers)
        assert ratio < 1.5


def stalled_stream(caller: WebCaller) -> socket.socket:
    """Open a stream of events whose client reads nothing."""
    connection = socket.socket()
    # With small buffers, the server soon has to wait for the client.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", httpx.URL(caller.page_url).port or 0))
    connection.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return connection
