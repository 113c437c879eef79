"""The route for pushed messages in an application of Starlette, with the pushes of a sandbox."""

import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from smsapi_async import (
    Inbox,
    IncomingMessage,
    IncomingReceiver,
    MemoryCheckpoint,
    PushedMessage,
    ValidationError,
)
from smsapi_async.contrib.starlette import incoming_route
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import client_for
from tests.inbox.pushing import NUMBER, PUSH, TEXT, TOKEN, Handler, client_of

pytestmark = pytest.mark.anyio


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI application with uvicorn in a thread, and yield its URL."""
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(30)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("is_alone", [False, True])
async def test_the_sandbox_pushes_to_the_receiver(is_alone: bool, anyio_backend: str) -> None:
    """A web backend gets a message, fails once, handles the repeat, and replies; the reply is billed."""
    handler = Handler("Спасибо")
    handler.error = LookupError()
    receiver = IncomingReceiver(handler, token=TOKEN)
    app: Any = receiver if is_alone else Starlette(routes=[incoming_route("/sms", receiver)])
    async with run_sandbox(start=datetime(2026, 3, 1, tzinfo=UTC)) as sandbox, client_for(sandbox) as sms:
        with served(app) as url:
            sandbox.push_to(f"{url}/sms?token={TOKEN}")
            message_id = sandbox.receive(NUMBER, text=TEXT, destination_address="4443", prefix="ok")
            await sandbox.wait_for_pushes()
            handler.error = None
            sandbox.advance(seconds=60)
            await sandbox.wait_for_pushes()
            sandbox.push_to(f"{url}/sms?token=wrong")
            sandbox.receive(NUMBER, text="not for us")
            await sandbox.wait_for_pushes()
        assert [each.status for each in sandbox.account.pushes] == [503, 200, 404]
        assert [reply.text for reply in sandbox.account.replies] == ["Спасибо"]
        [read, other] = await sms.incoming()
        assert other.text == "not for us"
    pushed = handler.messages[-1]
    assert len(handler.messages) == 2
    assert pushed.id == read.id == str(message_id)
    assert (pushed.text, pushed.source_address, pushed.destination_address) == (
        read.text,
        read.source_address,
        read.destination_address,
    )
    assert pushed.prefix == "ok"


@pytest.mark.parametrize("path", ["/x7", "/hooks/x7"])
async def test_a_mounted_secret_path(path: str, anyio_backend: str) -> None:
    """The secret path may contain the path of the mount, or not. All other paths get the status 404."""
    handler = Handler("thanks")
    receiver = IncomingReceiver(handler, path=path)
    app = Starlette(routes=[Mount("/hooks", routes=[incoming_route("/x7", receiver)])])
    async with client_of(app) as client:
        response = await client.post("/hooks/x7", data=PUSH)
        assert (response.status_code, response.text) == (200, "{sms=thanks}")
        assert (await client.get("/hooks/x7", params=PUSH)).text == "{sms=thanks}"
        assert (await client.put("/hooks/x7")).status_code == 405
        assert (await client.post("/hooks/x8", data=PUSH)).status_code == 404
    assert len(handler.messages) == 1


async def test_a_route_that_is_appended(anyio_backend: str) -> None:
    """The route can be appended to an application that exists."""
    app = Starlette()
    app.router.routes.append(incoming_route("/sms", IncomingReceiver(Handler(), token=TOKEN)))
    async with client_of(app) as client:
        assert (await client.post(f"/sms?token={TOKEN}", data=PUSH)).status_code == 200


def test_the_test_client_of_starlette() -> None:
    """The test client of Starlette, which runs each request in a new event loop, can be used."""
    handler = Handler("thanks")
    receiver = IncomingReceiver(handler, token=TOKEN, checkpoint=MemoryCheckpoint())
    client = TestClient(Starlette(routes=[incoming_route("/sms", receiver)]))
    for _ in range(3):
        response = client.post("/sms", params={"token": TOKEN}, data=PUSH)
        assert (response.status_code, response.text) == (200, "{sms=thanks}")
    assert len(handler.messages) == 1


async def test_a_mounted_receiver(anyio_backend: str) -> None:
    """A receiver can be mounted without a route."""
    app = Starlette(routes=[Mount("/hooks", app=IncomingReceiver(Handler(), path="/hooks/x7"))])
    async with client_of(app) as client:
        assert (await client.post("/hooks/x7", data=PUSH)).status_code == 200
        assert (await client.post("/hooks/x8", data=PUSH)).status_code == 404


def test_wrong_arguments() -> None:
    """Another path than the secret path of the receiver, and an object that is no receiver, are refused."""
    receiver = IncomingReceiver(Handler(), path="/sms/x7")
    with pytest.raises(ValidationError, match="secret path") as caught:
        incoming_route("/sms/x8", receiver)
    assert "x8" not in str(caught.value)
    with pytest.raises(ValidationError, match="IncomingReceiver"):
        incoming_route("/sms", Handler())  # type: ignore[arg-type]


def test_a_missing_library() -> None:
    """Without Starlette, the import of the module names the package to install."""
    script = "import sys; sys.modules['starlette'] = None; import smsapi_async.contrib.starlette"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "needs starlette: pip install starlette" in done.stderr


async def test_the_server_does_not_wait_for_the_receiver(anyio_backend: str) -> None:
    """A sandbox stops while the handler of a receiver still works."""
    started = threading.Event()
    release = threading.Event()

    async def handle(_: object) -> None:
        started.set()
        await anyio.to_thread.run_sync(release.wait)

    with served(IncomingReceiver(handle, token=TOKEN)) as url, anyio.fail_after(20):
        async with run_sandbox(push_url=f"{url}/?token={TOKEN}") as sandbox:
            sandbox.receive(NUMBER, text=TEXT)
            await anyio.to_thread.run_sync(started.wait)
        release.set()
    assert [each.error for each in sandbox.account.pushes] == ["stopped"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_pushes_and_an_inbox_at_the_same_time(tmp_path: Path, anyio_backend: str) -> None:
    """With pushes that fail at random, and an inbox that runs meanwhile, each message is given once."""
    texts: list[str] = []
    all_given = anyio.Event()
    chance = random.Random(5)

    async def handle(message: PushedMessage) -> None:
        await anyio.sleep(chance.random() / 50)
        if chance.random() < 0.4:
            raise LookupError
        give(message)

    def give(message: IncomingMessage) -> None:
        texts.append(message.text)
        if len({*texts}) == 60:
            all_given.set()

    async def read(inbox: Inbox) -> None:
        async for message in inbox:
            give(message)
            await anyio.sleep(chance.random() / 20)

    # The server needs its socket until the end of its task.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with (
            Ledger.sqlite(tmp_path / "ledger.db") as ledger,
            run_sandbox(speed=60) as sandbox,
            client_for(sandbox) as sms,
            anyio.create_task_group() as tasks,
        ):
            receiver = IncomingReceiver(handle, token=TOKEN, checkpoint=ledger.checkpoint("pushes"))
            app = Starlette(routes=[incoming_route("/sms", receiver)])
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
            tasks.start_soon(server.serve, [listener])
            sandbox.push_to(f"http://127.0.0.1:{listener.getsockname()[1]}/sms?token={TOKEN}")
            watched = sms.watch_incoming(every=0.1, checkpoint=ledger.checkpoint(), receiver=receiver)
            async with watched as inbox:
                tasks.start_soon(read, inbox)
                for number in range(60):
                    sandbox.receive(NUMBER, text=str(number))
                    await anyio.sleep(0.005)
                with anyio.fail_after(30):
                    await all_given.wait()
                    # The last attempt of a push begins four minutes after the first attempt.
                    sandbox.advance(minutes=5)
                    await sandbox.wait_for_pushes()
                server.should_exit = True
                tasks.cancel_scope.cancel()
    assert Counter(texts) == Counter(map(str, range(60)))
