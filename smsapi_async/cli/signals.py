"""Ctrl-C and SIGTERM, for commands that stop in order."""

import signal
from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus


async def receive_signals(stop: Callable[[], None], *, task_status: TaskStatus[None]) -> None:
    """Call `stop` at each SIGINT and SIGTERM, until cancelled."""
    try:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                stop()
    except NotImplementedError:  # asyncio on Windows: there the interrupt cancels the whole command
        task_status.started()
