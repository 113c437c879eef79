"""Signal handling of the commands: Ctrl-C (SIGINT), SIGTERM, and the end of the terminal (SIGHUP)."""

import math
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Generic, Self, TypeVar

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import current_token
from anyio.streams.memory import MemoryObjectSendStream

from smsapi_async.cli.exit_codes import ExitCode

_Result = TypeVar("_Result")
# The Ctrl-C that ends the process at once, if the command did not end after the first Ctrl-C.
_LAST_INTERRUPT = 3
# Windows has no SIGHUP.
_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)
_ALL = (signal.SIGINT, signal.SIGTERM, *(() if _HANG_UP is None else (_HANG_UP,)))


async def receive_signals(stop: Callable[[], None], *, task_status: TaskStatus[None]) -> None:
    """Call `stop` at each SIGINT, SIGTERM and SIGHUP. Return only when the task is cancelled.

    Outside the main thread, the function cannot receive signals and returns at once.

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
        task_status.started()


async def wait_for_signal(announce: Callable[[], None]) -> None:
    """Wait for SIGINT, SIGTERM or SIGHUP; outside the main thread, until the task is cancelled.

    Args:
        announce: a function that is called when a signal already ends the wait. The function may print that
            the command is ready.
    """
    try:
        with signal_receiver() as signals:
            announce()
            async for _ in signals:
                return
    except NotImplementedError:
        announce()
        await anyio.sleep_forever()


@contextmanager
def signal_receiver() -> Iterator[AsyncIterator[signal.Signals]]:
    """Receive SIGINT, SIGTERM and SIGHUP in the block, and restore the earlier handlers after the block.

    An ignored SIGHUP stays ignored, as `nohup` needs it. After the first SIGHUP, every further SIGHUP is
    ignored until the process ends: the shell and the kernel may both send the signal, and the end of the
    command must not be interrupted.

    Raises:
        NotImplementedError: outside the main thread, because Python handles signals only in the main thread.
    """
    if not _is_main_thread():
        raise NotImplementedError
    writer, reader = anyio.create_memory_object_stream[signal.Signals](math.inf)
    deliver = partial(_waker(), _deliver, writer)

    def handle(number: int, _: FrameType | None) -> None:
        if number == _HANG_UP:
            _ignore_hang_ups()
        deliver(signal.Signals(number))

    # The function does not use the signal handlers of the event loop, because the event loop sets the default
    # handlers after the block. Until the earlier handlers were restored, a signal would end the process.
    is_ignored = _HANG_UP is not None and signal.getsignal(_HANG_UP) == signal.SIG_IGN
    received = [each for each in _ALL if not (each is _HANG_UP and is_ignored)]
    earlier = {each: signal.signal(each, handle) for each in received}
    try:
        with writer, reader:
            yield reader
    finally:
        for each, handler in earlier.items():
            if signal.getsignal(each) is handle:
                # The earlier handler is None if it was not set in Python.
                signal.signal(each, handler or signal.SIG_DFL)


def _deliver(writer: MemoryObjectSendStream[signal.Signals], number: signal.Signals) -> None:
    # The event loop may call this function after the end of the block.
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        writer.send_nowait(number)


class Interruptible(Generic[_Result]):
    """Runs a command, and handles Ctrl-C (SIGINT), SIGTERM and SIGHUP during the command.

    The first signal cancels the command. The third signal ends the process; a second and later SIGHUP do not
    count. During the command no Ctrl-C raises `KeyboardInterrupt`: raised at an arbitrary place of asyncio, a
    `KeyboardInterrupt` can leave an event loop that waits for ever.

    Args:
        command: the async function that executes the command.
        end_process: the function that the third signal calls.

    Attributes:
        is_interrupted: whether a signal cancelled the command, so that the command has no result.
    """

    def __init__(
        self, command: Callable[[], Coroutine[Any, Any, _Result]], end_process: Callable[[], None]
    ) -> None:
        self._command = command
        self._end_process = end_process
        self._count = 0
        # The function that cancels the command; None if the command does not run.
        self._cancel: Callable[[], object] | None = None
        self._earlier: dict[signal.Signals, Any] = {}
        self.is_interrupted = False

    def __enter__(self) -> Self:
        # A caller's own handler, or an ignored signal, stays as it is.
        for each in _ALL if _is_main_thread() else ():
            default = signal.default_int_handler if each is signal.SIGINT else signal.SIG_DFL
            if signal.getsignal(each) == default:
                self._earlier[each] = signal.signal(each, self._interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        for each, handler in self._earlier.items():
            # After a SIGHUP, further SIGHUPs stay ignored.
            if signal.getsignal(each) == self._interrupt:
                signal.signal(each, handler)

    async def run(self) -> _Result | None:
        """Execute the command, and return its result; None if a signal cancelled the command."""
        with anyio.CancelScope() as scope:
            self._cancel = partial(_waker(), scope.cancel)
            if self._count:
                scope.cancel()
            try:
                return await self._command()
            finally:
                # A later signal may arrive after the end of the event loop.
                self._cancel = None
        self.is_interrupted = True
        return None

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        if number == _HANG_UP:
            _ignore_hang_ups()
        self._count += 1
        if self._count == 1 and self._cancel is not None:
            self._cancel()
        elif self._count >= _LAST_INTERRUPT:
            try:
                self._end_process()
            except OSError:  # Standard error is closed, so nobody reads the error line.
                os._exit(ExitCode.INTERRUPTED)


def _waker() -> Callable[..., object]:
    """Return the function that a signal handler calls to run another function in the current event loop."""
    loop: Any = current_token().native_token
    # The first function belongs to asyncio, the second to trio.
    wake: Callable[..., object] = (
        loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon
    )
    return wake


def _ignore_hang_ups() -> None:
    # SIG_IGN would also apply to the processes that this process starts later.
    assert _HANG_UP is not None  # noqa: S101 - for the type checker
    signal.signal(_HANG_UP, _ignore)


def _ignore(_: int, __: FrameType | None) -> None:
    pass


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
