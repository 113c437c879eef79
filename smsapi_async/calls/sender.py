"""Sends one message, or one text to several recipients, in one request."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import attrs

from smsapi_async.calls.caller import Caller
from smsapi_async.clock import Clock
from smsapi_async.errors import NotSent, OutcomeUnknown, SegmentIdsUnattributed
from smsapi_async.http.exchange import Evidence
from smsapi_async.models import Message, Receipt
from smsapi_async.privacy import Hidden
from smsapi_async.protocol.encoding import Request, bulk_request, prepared, prepared_bulk, send_request
from smsapi_async.settings import checked_seconds

Seconds = float | timedelta | None


class Sender:
    """Sends one message in one request, or one text to several recipients in one bulk.

    Args:
        caller: makes the calls to the gateway.
        clock: provides the time at which a message was accepted.
        source_address: the default source address of messages; None means that each message must have a
            source address.
    """

    def __init__(self, caller: Caller, clock: Clock, source_address: str | None) -> None:
        self._caller = caller
        self._clock = clock
        self._source_address = source_address

    async def send(self, message: Message, timeout: Seconds) -> Receipt:  # noqa: ASYNC109
        """Send a message with ``Sms/Send`` or ``Sms/SendByTimeZone``.

        The method raises the same errors as `AsyncSmsClient.send`.
        """
        message = prepared(message, self._source_address)
        segment_ids = Hidden(await self._call(send_request(message), timeout))
        return Receipt(message, segment_ids.value, self._clock.now())

    async def send_bulk(
        self,
        destination_addresses: Hidden[Sequence[str]],
        template: Message,
        timeout: Seconds,  # noqa: ASYNC109
    ) -> list[Receipt]:
        """Send a text to each destination address with one ``Sms/SendBulk``.

        The method raises the same errors as `AsyncSmsClient.send_bulk`.
        """
        bulk = Hidden(prepared_bulk(destination_addresses.value, template, self._source_address))
        segment_ids = Hidden(await self._call(bulk_request(*bulk.value), timeout))
        accepted_at = self._clock.now()
        template = bulk.value[0]
        messages = [attrs.evolve(template, destination_address=number) for number in bulk.value[1]]
        shares = attribute(len(messages), segment_ids.value)
        if shares is None:
            raise SegmentIdsUnattributed(tuple(messages), segment_ids.value)
        return [Receipt(message, share, accepted_at) for message, share in zip(messages, shares, strict=True)]

    async def _call(self, request: Request, timeout: Seconds) -> tuple[str, ...]:  # noqa: ASYNC109
        if timeout is None:
            return await self._caller.send(request)
        seconds = checked_seconds("timeout", timeout)
        evidence = Evidence()
        with anyio.move_on_after(seconds):
            return await self._caller.send(request, evidence)
        # The code below runs only if the timeout has passed.
        if evidence.proves_not_sent():
            raise NotSent(f"the timeout of {seconds:g} seconds passed before the request was written")
        raise OutcomeUnknown(f"no response arrived within {seconds:g} seconds")


def attribute(count: int, segment_ids: tuple[str, ...]) -> list[tuple[str, ...]] | None:
    """Divide the segment ids of a bulk among the messages.

    The gateway returns all ids of the first message, then all ids of the second message, and so on
    (contract, "Sms/SendBulk"). All messages of a bulk have the same number of segments, because they have
    the same text.

    Args:
        count: the number of messages of the bulk.
        segment_ids: all segment ids, in the order of the response.

    Returns:
        The segment ids of each message. None if the ids cannot be divided evenly, because a guess could
        assign an id to the wrong message.
    """
    share, rest = divmod(len(segment_ids), count)
    if rest or not share:
        return None
    return [segment_ids[start : start + share] for start in range(0, len(segment_ids), share)]
