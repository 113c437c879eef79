"""Makes several reads at the same time, and raises a single error in place of an `ExceptionGroup`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

_Value = TypeVar("_Value")


async def gather(calls: Sequence[Callable[[], Awaitable[_Value]]]) -> list[_Value]:
    """Make the calls at the same time, and return the results in the order of the calls.

    The first error cancels the other calls.

    Raises:
        Exception: if a call fails. The error of the first failed call is raised unchanged.
    """
    results: dict[int, _Value] = {}
    errors: list[Exception] = []

    async def run(index: int, call: Callable[[], Awaitable[_Value]]) -> None:
        try:
            results[index] = await call()
        except Exception as error:  # noqa: BLE001 - a transport of the caller may raise any exception
            # We store the error, because a raised error would leave the task group inside an
            # `ExceptionGroup`.
            errors.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for index, call in enumerate(calls):
            group.start_soon(run, index, call)
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(calls))]
