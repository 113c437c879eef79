"""Child processes that start in a few milliseconds, and that a test can kill at any time.

A server process imports the modules once, and then forks each child.
"""

import multiprocessing
import os
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import anyio

# The time in seconds in which a child must end or must send something.
PATIENCE = 50.0
_context = multiprocessing.get_context("forkserver")
# The client imports the transports and the ledger only when they are used.
_context.set_forkserver_preload(
    [
        "anyio._backends._asyncio",
        "anyio._backends._trio",
        "smsapi_async.client",
        "smsapi_async.http.asyncio_transport",
        "smsapi_async.http.httpcore_transport",
        "smsapi_async.ledger.postgres.postgres_ledger",
        "smsapi_async.postgres.shared",
        "smsapi_async.ledger.sqlite.sqlite_ledger",
        "tests.batch.child",
    ]
)


class Killable:
    """A child process that runs a function. The end of the block kills the process.

    Args:
        function: a function of a module. Its first argument is a `Connection` to this process.
        arguments: the other arguments of the function.
        options: the keyword arguments of the function.
    """

    def __init__(self, function: Callable[..., object], *arguments: Any, **options: Any) -> None:
        self.connection, self._end_of_child = multiprocessing.Pipe()
        self._process = _context.Process(
            target=function, args=(self._end_of_child, *arguments), kwargs=options, daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        # When the child ends, `recv` must raise `EOFError`, so no other process may have this end open.
        self._end_of_child.close()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        self.connection.close()
        self._process.close()

    def kill(self) -> None:
        """Kill the process with SIGKILL, and wait for its end."""
        self._process.kill()
        self._process.join(PATIENCE)

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        os.kill(self._process.pid or 0, number)

    def receive(self) -> Any:
        """Return the next object that the child sends, and block the thread until then.

        Raises:
            EOFError: if the child has ended.
        """
        assert self.connection.poll(PATIENCE), "the child process sends nothing"
        return self.connection.recv()

    async def received(self) -> Any:
        """Return the next object that the child sends; None if the child has ended."""
        with anyio.fail_after(PATIENCE):
            await anyio.wait_readable(self.connection.fileno())
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            return None


async def at_once(function: Callable[..., object], *arguments: Any, count: int) -> list[Any]:
    """Run a function in several processes, which go on at the same time. Return the report of each process.

    Args:
        function: a function of a module. Its first argument is a `Connection`, on which it sends "open",
            receives the permission to go on, and sends its report.
        arguments: the other arguments of the function.
        count: the number of processes.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(Killable(function, *arguments)) for _ in range(count)]
        for each in processes:
            assert await each.received() == "open"
        for each in processes:
            each.connection.send("go")
        return [await each.received() for each in processes]


__all__ = ["PATIENCE", "Connection", "Killable", "at_once"]
