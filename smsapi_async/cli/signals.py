"""Signal handling of the commands: Ctrl-C (SIGINT) and SIGTERM."""

import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Generic, Self, TypeVar

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import current_token

_Result = TypeVar("_Result")
# The Ctrl-C that ends the process at once, if the command did not end after the first Ctrl-C.
_LAST_INTERRUPT = 3


async def receive_signals(stop: Callable[[], None], *, task_status: TaskStatus[None]) -> None:
    """Call `stop` at each SIGINT and SIGTERM. Return only when the task is cancelled.

    With asyncio on Windows, the function cannot receive signals and returns at once.

    Args:
        stop: the function that is called at each signal.
        task_status: reports to the task group that the function now receives signals.
    """
    try:
        with signal_receiver() as signals:
            task_status.started()
            async for _ in signals:
                stop()
    except NotImplementedError:
        # On Windows, the event loop of asyncio does not support signal handlers, and Ctrl-C cancels the
        # command.
        task_status.started()


@contextmanager
def signal_receiver() -> Iterator[AsyncIterator[signal.Signals]]:
    """Receive SIGINT and SIGTERM in the block, and restore the earlier handler of SIGINT after the block.

    Raises:
        NotImplementedError: if the event loop does not support signal handlers.
    """
    earlier = signal.getsignal(signal.SIGINT)
    try:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            yield signals
    finally:
        # The event loop of asyncio sets the default handler after the block, and not the earlier handler.
        if _is_main_thread() and signal.getsignal(signal.SIGINT) is not earlier:
            signal.signal(signal.SIGINT, earlier)


class Interruptible(Generic[_Result]):
    """Runs a command, and handles Ctrl-C (SIGINT) during the command.

    The first Ctrl-C cancels the command. The third Ctrl-C ends the process. During the command no Ctrl-C
    raises `KeyboardInterrupt`: raised at an arbitrary place of asyncio, a `KeyboardInterrupt` can leave an
    event loop that waits for ever.

    Args:
        command: the async function that executes the command.
        end_process: the function that the third Ctrl-C calls.

    Attributes:
        is_interrupted: whether Ctrl-C cancelled the command, so that the command has no result.
    """

    def __init__(
        self, command: Callable[[], Coroutine[Any, Any, _Result]], end_process: Callable[[], None]
    ) -> None:
        self._command = command
        self._end_process = end_process
        self._count = 0
        # The function that cancels the command; None if the command does not run yet.
        self._cancel: Callable[[], object] | None = None
        self._handles = False
        self.is_interrupted = False

    def __enter__(self) -> Self:
        # A caller's own handler of SIGINT, or an ignored SIGINT, stays as it is.
        self._handles = _is_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._handles:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    async def run(self) -> _Result | None:
        """Execute the command, and return its result; None if Ctrl-C cancelled the command."""
        loop: Any = current_token().native_token
        # Both functions may be called by a signal handler: the first belongs to asyncio, the second to trio.
        wake = loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon
        with anyio.CancelScope() as scope:
            self._cancel = partial(wake, scope.cancel)
            if self._count:
                scope.cancel()
            return await self._command()
        self.is_interrupted = True
        return None

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        self._count += 1
        if self._count == 1 and self._cancel is not None:
            self._cancel()
        elif self._count >= _LAST_INTERRUPT:
            self._end_process()


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
