"""Several reads at once, without an exception group for the caller to unpack."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from smsapi_async.errors import SmsApiError

_Value = TypeVar("_Value")


async def gather(calls: Sequence[Callable[[], Awaitable[_Value]]]) -> list[_Value]:
    """The results in order; the first error ends the other calls and is raised as it is."""
    results: dict[int, _Value] = {}
    errors: list[SmsApiError] = []

    async def run(index: int, call: Callable[[], Awaitable[_Value]]) -> None:
        try:
            results[index] = await call()
        except SmsApiError as error:
            errors.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for index, call in enumerate(calls):
            group.start_soon(run, index, call)
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(calls))]
