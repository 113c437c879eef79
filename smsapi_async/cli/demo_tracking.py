"""TrackTally the messages of the demo until their states are final."""

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
    """Follow until all are final.

    Args:
        sms: the client.
        receipts: whom to follow.
        observe: told what is known of each segment whenever its message changes.
        interval: seconds between two requests about a message.
        limit: seconds after which the rest is left as it is.
    """
    evenly = Schedule(first=interval, factor=0, maximum=interval, jitter=0)
    with anyio.move_on_after(limit):
        async with sms.track(receipts, schedule=evenly) as deliveries:
            async for delivery in deliveries:
                for state in delivery.states:
                    if state is not None:
                        observe(state)
