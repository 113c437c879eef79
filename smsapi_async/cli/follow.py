"""Following segments until their states are final."""

from collections.abc import Callable, Iterable

import anyio

from smsapi_async.client import AsyncSmsClient
from smsapi_async.models import SegmentState


async def look(
    sms: AsyncSmsClient, segment_ids: Iterable[str], observe: Callable[[SegmentState], None]
) -> list[str]:
    """Ask once about each segment; returns the ids of those that are not final yet."""
    pending = []
    for segment_id in segment_ids:
        state = await sms.state(segment_id)
        observe(state)
        if not state.is_final:
            pending.append(segment_id)
    return pending


async def follow(
    sms: AsyncSmsClient,
    segment_ids: Iterable[str],
    observe: Callable[[SegmentState], None],
    *,
    interval: float,
    limit: float,
) -> None:
    """Ask until all are final.

    Args:
        sms: the client.
        segment_ids: whom to follow.
        observe: told every state, changed or not.
        interval: seconds between two rounds.
        limit: seconds after which the rest is left as it is.
    """
    pending = list(segment_ids)
    with anyio.move_on_after(limit):
        while True:
            pending = await look(sms, pending, observe)
            if not pending:
                return
            await anyio.sleep(interval)
