"""Follow the messages of the demo until their states are final."""

from collections.abc import Callable, Iterable

import anyio

from smsapi_async.client import AsyncSmsClient
from smsapi_async.models import Receipt, SegmentState
from smsapi_async.tracking import Schedule


async def follow(
    sms: AsyncSmsClient,
    receipts: Iterable[Receipt],
    observe: Callable[[SegmentState], None],
    *,
    interval: float,
    limit: float,
) -> None:
    """Follow messages until all are final or the time limit is over.

    Args:
        sms: the open client that requests the states.
        receipts: the receipts of the messages to follow.
        observe: a function that is called with the latest state of each segment whenever a message changes.
        interval: the seconds between two requests about the same message.
        limit: the seconds after which the function returns, even if some messages are not final.
    """
    # The demo is fast, because with `factor=0` the time between two requests does not grow with the age of a
    # message.
    evenly = Schedule(first=interval, factor=0, maximum=interval, jitter=0)
    with anyio.move_on_after(limit):
        async with sms.track(receipts, schedule=evenly) as deliveries:
            async for delivery in deliveries:
                for state in delivery.states:
                    if state is not None:
                        observe(state)
