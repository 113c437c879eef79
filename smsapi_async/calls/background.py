"""Runs a task that belongs to no call, on asyncio and on trio.

The task of a login must outlive the call that began the login, so the task group of a call cannot hold the
task. A task group of the client cannot hold the task either: a client may be used without ``async with``, and
a fixture may leave the ``async with`` block of a client in another task, which a task group forbids. A task
group would also wrap each exception of the block in an `ExceptionGroup`. Therefore the event loop holds the
task: asyncio as a task, trio as a system task. `AsyncSmsClient.aclose` cancels the task and waits for its
end. If the client is not closed, the end of the event loop cancels the task.
"""

import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from anyio.lowlevel import current_token

# asyncio keeps only weak references to tasks, so this set keeps each task until the end of the task.
_running: set[object] = set()


def run_in_background(
    work: Callable[[], Coroutine[Any, Any, None]], finish: Callable[[], None], name: str
) -> None:
    """Start a task that is independent of the current task.

    Args:
        work: the async function that the task runs. The function must not raise an `Exception`, because no
            other task receives the exception.
        finish: a function that is called at the end of the task, also if the task is cancelled before its
            first step. The function may be called twice.
        name: the name of the task, for debuggers.
    """

    async def run() -> None:
        try:
            await work()
        finally:
            finish()

    native: Any = current_token().native_token
    if hasattr(native, "create_task"):
        task = native.create_task(run(), name=name)
        _running.add(task)

        def end(_: object) -> None:
            _running.discard(task)
            finish()

        task.add_done_callback(end)
        return
    # This module does not import trio, because a program on asyncio may not have trio. trio is already
    # imported, because the current task runs on trio. The task gets a copy of the context of the caller, as
    # asyncio does.
    trio: Any = sys.modules["trio"]
    trio.lowlevel.spawn_system_task(run, name=name, context=contextvars.copy_context())
