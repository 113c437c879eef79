"""A program that prints the modules that its event loop imports while it uses a client.

The first argument is the function that runs the event loop: ``asyncio``, ``trio``, ``anyio-asyncio`` or
``anyio-trio``. The second argument is the path for a ledger. The third argument says how the client is used:
``entered``, or ``not entered``.
"""

import sys
import threading
from datetime import UTC, datetime, timedelta
from importlib.abc import MetaPathFinder
from typing import Any

import anyio

import smsapi_async
from smsapi_async import Message
from smsapi_async.ledger import Ledger

NUMBER = "79031234567"


class Watch(MetaPathFinder):
    """Records each import in the main thread, which runs the event loop."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def find_spec(self, fullname: str, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            self.found.append(fullname)


async def use(sms: smsapi_async.AsyncSmsClient, path: str) -> None:
    """Make each kind of call."""
    now = datetime.now(UTC)
    receipt = await sms.send(NUMBER, "hello")
    await sms.balance()
    await sms.state(receipt.segment_ids[0])
    await sms.incoming(since=now - timedelta(days=1))
    await sms.statistics(now - timedelta(days=1), now)
    await sms.send_bulk([NUMBER, "79031234568"], "hello")
    await sms.wait_delivered(receipt, timeout=0.2)
    async with Ledger.sqlite(path) as ledger:
        await sms.send(NUMBER, "hello", key="login 17", ledger=ledger)
        messages = [Message(f"790312345{index:02}", "hello") for index in range(20)]
        async with sms.send_many(messages, ledger=ledger) as outcomes:
            print(len([outcome async for outcome in outcomes]), "outcomes")
        async with sms.track([receipt]) as deliveries:
            print((await anext(deliveries)).receipt == receipt)
    async with sms.watch_incoming(since=now - timedelta(days=1), every=0.01) as inbox:
        print((await anext(inbox)).source_address)


async def main(path: str, *, is_entered: bool) -> None:
    """Create, use and close a client. Without `is_entered`, only one call is made."""
    if is_entered:
        async with smsapi_async.AsyncSmsClient.from_env() as sms:
            await use(sms, path)
        return
    sms = smsapi_async.AsyncSmsClient.from_env()
    await sms.balance()
    await sms.aclose()


def run(way: str, path: str, use_of_client: str) -> list[str]:
    """Run the program, and return the modules that the event loop imported."""
    function: Any = lambda: main(path, is_entered=use_of_client == "entered")  # noqa: E731
    watch = Watch()
    if way in {"asyncio", "trio"}:
        loop = __import__(way)
        sys.meta_path.insert(0, watch)
        loop.run(function() if way == "asyncio" else function)
    else:

        async def watched() -> None:
            sys.meta_path.insert(0, watch)
            await function()
            sys.meta_path.remove(watch)

        anyio.run(watched, backend=way.partition("-")[2])
    if watch in sys.meta_path:
        sys.meta_path.remove(watch)
    return watch.found


if __name__ == "__main__":
    print("imported", *run(*sys.argv[1:]))
