"""Sending: a message or a bulk in, receipts out."""

from collections.abc import Sequence

import anyio
import attrs

from smsapi_async.calls import Caller
from smsapi_async.clock import Clock
from smsapi_async.errors import NotSent, OutcomeUnknown, SegmentIdsUnattributed
from smsapi_async.http.exchange import Evidence
from smsapi_async.models import Message, Receipt
from smsapi_async.protocol.encoding import Request, bulk_request, send_request
from smsapi_async.session import SessionManager


class Sender:
    """Sends checked messages."""

    def __init__(self, caller: Caller, sessions: SessionManager, clock: Clock) -> None:
        self._caller = caller
        self._sessions = sessions
        self._clock = clock

    async def send(self, message: Message, timeout: float | None) -> Receipt:  # noqa: ASYNC109
        """One message by ``Sms/Send`` or ``Sms/SendByTimeZone``, within so many seconds."""
        segment_ids = await self._call(send_request(message), timeout)
        return Receipt(message, segment_ids, self._clock.now())

    async def send_bulk(
        self,
        template: Message,
        numbers: Sequence[str],
        timeout: float | None,  # noqa: ASYNC109
    ) -> list[Receipt]:
        """A checked message to each of the checked numbers, in one ``Sms/SendBulk``, within so many seconds.

        Raises:
            SegmentIdsUnattributed: they were accepted, and whose ids are whose cannot be told.
        """
        segment_ids = await self._call(bulk_request(template, numbers), timeout)
        messages = [attrs.evolve(template, destination_address=number) for number in numbers]
        shares = attribute(len(messages), segment_ids)
        if shares is None:
            raise SegmentIdsUnattributed(tuple(messages), segment_ids)
        accepted_at = self._clock.now()
        return [Receipt(message, share, accepted_at) for message, share in zip(messages, shares, strict=True)]

    async def _call(self, request: Request, timeout: float | None) -> tuple[str, ...]:  # noqa: ASYNC109
        if timeout is None:
            return await self._caller.send(self._sessions, request)
        evidence = Evidence()
        with anyio.move_on_after(timeout):
            return await self._caller.send(self._sessions, request, evidence)
        if evidence.proves_not_sent():
            raise NotSent(f"the {timeout:g} seconds were over before anything was written")
        raise OutcomeUnknown(f"no answer came within {timeout:g} seconds")


def attribute(count: int, segment_ids: tuple[str, ...]) -> list[tuple[str, ...]] | None:
    """Split the flat list of ids: all segments of the first message, then all of the second.

    None where the ids do not divide by the number of messages: then they are not guessed at.
    """
    share, rest = divmod(len(segment_ids), count)
    if rest or not share:
        return None
    return [segment_ids[start : start + share] for start in range(0, len(segment_ids), share)]
