"""Signal handling for commands that finish their work before they stop: Ctrl-C (SIGINT) and SIGTERM."""

import signal
from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus


async def receive_signals(stop: Callable[[], None], *, task_status: TaskStatus[None]) -> None:
    """Call `stop` at each SIGINT and SIGTERM. Return only when the task is cancelled.

    With asyncio on Windows, the function cannot receive signals and returns at once.

    Args:
        stop: the function that is called at each signal.
        task_status: reports to the task group that the function now receives signals.
    """
    try:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                stop()
    except NotImplementedError:
        # On Windows, the event loop of asyncio does not support signal handlers, and Ctrl-C cancels the
        # command.
        task_status.started()
