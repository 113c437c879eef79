"""Sending one message, or one text to many recipients, in one request each."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import attrs

from smsapi_async.calls.caller import Caller
from smsapi_async.clock import Clock
from smsapi_async.errors import NotSent, OutcomeUnknown, SegmentIdsUnattributed
from smsapi_async.http.exchange import Evidence
from smsapi_async.models import Message, Receipt
from smsapi_async.protocol.encoding import Request, bulk_request, prepared, prepared_bulk, send_request
from smsapi_async.settings import checked_seconds

Seconds = float | timedelta | None


class Sender:
    """Sends messages, each in a request of its own, or the same text to several in one request.

    Args:
        caller: makes the calls.
        clock: the time.
        source_address: of messages that name none; None means that each message must name one.
    """

    def __init__(self, caller: Caller, clock: Clock, source_address: str | None) -> None:
        self._caller = caller
        self._clock = clock
        self._source_address = source_address

    async def send(self, message: Message, timeout: Seconds) -> Receipt:  # noqa: ASYNC109
        """Send a message by ``Sms/Send`` or ``Sms/SendByTimeZone``; errors as `AsyncSmsClient.send`."""
        message = prepared(message, self._source_address)
        segment_ids = await self._call(send_request(message), timeout)
        return Receipt(message, segment_ids, self._clock.now())

    async def send_bulk(
        self,
        destination_addresses: Sequence[str],
        template: Message,
        timeout: Seconds,  # noqa: ASYNC109
    ) -> list[Receipt]:
        """Send a message to each address by one ``Sms/SendBulk``; errors as `AsyncSmsClient.send_bulk`."""
        template, numbers = prepared_bulk(destination_addresses, template, self._source_address)
        segment_ids = await self._call(bulk_request(template, numbers), timeout)
        messages = [attrs.evolve(template, destination_address=number) for number in numbers]
        shares = attribute(len(messages), segment_ids)
        if shares is None:
            raise SegmentIdsUnattributed(tuple(messages), segment_ids)
        accepted_at = self._clock.now()
        return [Receipt(message, share, accepted_at) for message, share in zip(messages, shares, strict=True)]

    async def _call(self, request: Request, timeout: Seconds) -> tuple[str, ...]:  # noqa: ASYNC109
        if timeout is None:
            return await self._caller.send(request)
        seconds = checked_seconds("timeout", timeout)
        evidence = Evidence()
        with anyio.move_on_after(seconds):
            return await self._caller.send(request, evidence)
        if evidence.proves_not_sent():
            raise NotSent(f"the {seconds:g} seconds were over before anything was written")
        raise OutcomeUnknown(f"no answer came within {seconds:g} seconds")


def attribute(count: int, segment_ids: tuple[str, ...]) -> list[tuple[str, ...]] | None:
    """Split the flat list of ids: all segments of the first message, then all of the second.

    None where the ids do not divide by the number of messages: then they are not guessed at.
    """
    share, rest = divmod(len(segment_ids), count)
    if rest or not share:
        return None
    return [segment_ids[start : start + share] for start in range(0, len(segment_ids), share)]
