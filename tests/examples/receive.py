"""Receive the messages that the gateway pushes to a web backend, and try the backend with the sandbox."""

import socket

import anyio
import uvicorn
from starlette.applications import Starlette

from smsapi_async import IncomingReceiver, PushedMessage
from smsapi_async.contrib.starlette import incoming_route
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import run_sandbox


async def handle(message: PushedMessage) -> str | None:
    """Handle a message, and return the reply. If an exception is raised, the gateway pushes again."""
    print(message)  # the number and the text are masked
    return "Thank you, see you tomorrow." if message.text.casefold() == "yes" else None


def backend(ledger: Ledger, token: str) -> Starlette:
    """Return the web backend. The gateway calls /sms?token=... for each incoming message."""
    receiver = IncomingReceiver(handle, token=token, checkpoint=ledger.checkpoint("pushes"))
    return Starlette(routes=[incoming_route("/sms", receiver)])


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/sms?token=secret"
        async with (
            Ledger.sqlite("incoming.db") as ledger,
            run_sandbox(push_url=url) as gateway,
            anyio.create_task_group() as tasks,
        ):
            server = uvicorn.Server(uvicorn.Config(backend(ledger, token="secret")))
            tasks.start_soon(server.serve, [listener])
            gateway.receive(
                "79031234567", text="Yes"
            )  # somebody sends a message to the number of the account
            await gateway.wait_for_pushes()
            assert [reply.text for reply in gateway.account.replies] == ["Thank you, see you tomorrow."]
            server.should_exit = True


anyio.run(main)
