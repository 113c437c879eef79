"""The timeout of a read. The timeout of a send is in `Sender`, because the error depends on the evidence."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from smsapi_async.calls.sender import Seconds
from smsapi_async.errors import TransportFailed
from smsapi_async.settings import checked_seconds

_Value = TypeVar("_Value")


async def read_within(timeout: Seconds, read: Callable[[], Awaitable[_Value]]) -> _Value:  # noqa: ASYNC109
    """Make a read, and limit the time of the whole read.

    Args:
        timeout: the maximum time, which includes the wait for other calls, the login and all attempts:
            seconds or a `timedelta`. None means no limit.
        read: an async function that makes the read.

    Raises:
        ValidationError: if the timeout is wrong. The read was not made.
        TransportFailed: if the timeout passed.
    """
    if timeout is None:
        return await read()
    seconds = checked_seconds("timeout", timeout)
    with anyio.move_on_after(seconds):
        return await read()
    raise TransportFailed(f"no response arrived within the timeout of {seconds:g} seconds")
