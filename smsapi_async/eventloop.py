"""Finds out whether asyncio runs the current task, for code that has a faster way on asyncio."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


def running_asyncio_task() -> asyncio.Task[Any] | None:
    """Return the current task of asyncio; None if asyncio does not run the current task.

    If trio runs in guest mode on asyncio, the result is None, because no asyncio task is current.
    """
    # If no module has imported asyncio, no event loop of asyncio can be running.
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        return None


def running_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of the current task of asyncio; None if asyncio does not run the current task."""
    task = running_asyncio_task()
    return None if task is None else task.get_loop()
