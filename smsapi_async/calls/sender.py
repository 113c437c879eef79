"""Sends one message, or one text to several recipients, in one request."""

from collections.abc import Sequence
from datetime import timedelta, tzinfo

import anyio
import attrs

from smsapi_async.calls.caller import Caller
from smsapi_async.calls.resource_check import check_resource
from smsapi_async.clock import Clock
from smsapi_async.errors import InvalidOperation, OutcomeUnknown, SegmentIdsUnattributed, SmsApiError
from smsapi_async.http.exchange import Evidence
from smsapi_async.models import Message, Receipt
from smsapi_async.privacy import Hidden, sealed, sealed_async
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.protocol.attribution import attribute
from smsapi_async.protocol.encoding import (
    Request,
    bulk_request,
    checked_recipients,
    prepared,
    send_request,
)
from smsapi_async.settings import checked_timeout
from smsapi_async.streams import read_all

Seconds = float | timedelta | None
"""The type of the parameter ``timeout``: seconds or a `timedelta`. None means no limit."""


class Sender:
    """Sends one message in one request, or one text to several recipients in one bulk.

    Args:
        caller: makes the calls to the gateway.
        clock: provides the time at which a message was accepted.
        source_address: the default source address of messages; None means that each message must have a
            source address.
        zone: the time zone of the gateway.

    Attributes:
        hub: gives events to the observers of the client.
        zone: the time zone of the gateway.
    """

    def __init__(self, caller: Caller, clock: Clock, source_address: str | None, zone: tzinfo) -> None:
        self._caller = caller
        self.hub = caller.hub
        self._clock = clock
        self._source_address = source_address
        self.zone = zone

    def source_address_of(self, given: str | None) -> str | None:
        """Return the source address of a message: the given source address, or the default."""
        return self._source_address if given is None else given

    async def send(
        self,
        message: Message,
        timeout: Seconds,  # noqa: ASYNC109
        evidence: Evidence | None = None,
    ) -> Receipt:
        """Send a message with ``Sms/Send`` or ``Sms/SendByTimeZone``.

        The method raises the same errors as `AsyncSmsClient.send`.

        Args:
            message: the message.
            timeout: the maximum time of the call.
            evidence: the same as for `Caller.send`.
        """
        seconds = checked_timeout(timeout)
        waited = 0.0
        if self._caller.is_crowded:
            waited = await self._caller.spread(lambda: single(message, self.zone)[1])
        message, request = single(message, self.zone)
        segment_ids = Hidden(await self._caller.send(request, evidence, seconds=seconds, waited=waited))
        return Receipt(message, segment_ids.value, self._clock.now())

    async def send_bulk(
        self,
        destination_addresses: Hidden[Sequence[str]],
        template: Message,
        timeout: Seconds,  # noqa: ASYNC109
    ) -> list[Receipt]:
        """Send a text to each destination address in one request.

        The resource is ``Sms/SendByTimeZoneToAddresses`` if ``by_time_zone`` of the template is true, and
        otherwise ``Sms/SendBulk``.

        The method raises the same errors as `AsyncSmsClient.send_bulk`.
        """
        seconds = checked_timeout(timeout)
        waited = 0.0
        if self._caller.is_crowded:
            waited = await self._caller.spread(
                lambda: bulk_request(template, destination_addresses.value, self.zone)
            )
        bulk, request = await _bulk(destination_addresses.value, template, self.zone)
        segment_ids = Hidden(await self._sent_bulk(request, seconds, waited))
        accepted_at = self._clock.now()
        template = bulk.value[0]
        messages = [attrs.evolve(template, destination_address=number) for number in bulk.value[1]]
        shares = attribute(len(messages), segment_ids.value)
        if shares is None:
            raise SegmentIdsUnattributed(tuple(messages), segment_ids.value)
        return [Receipt(message, share, accepted_at) for message, share in zip(messages, shares, strict=True)]

    async def _sent_bulk(self, request: Request, seconds: float | None, waited: float) -> tuple[str, ...]:
        """Send a bulk, and return the segment ids. See `Caller.send` for the arguments and the errors.

        Raises:
            ResourceNotFound: if the gateway does not have the resource of the request.
        """
        started = anyio.current_time() - waited
        try:
            return await self._caller.send(request, seconds=seconds, waited=waited)
        except (OutcomeUnknown, InvalidOperation) as error:
            failure: SmsApiError = error
        # Outside of the `except` block, the error of the check has no `__context__`.
        left = None if seconds is None else started + seconds - anyio.current_time()
        await check_resource(self._caller, request, failure, left)
        raise failure


@sealed
def single(message: Message, zone: tzinfo) -> tuple[Message, Request]:
    """Return a message in the form that is sent, and its request.

    Args:
        message: the message.
        zone: the time zone of the gateway.

    Raises:
        ValidationError: if a value is invalid.
    """
    message = prepared(message, None)
    return message, send_request(message, zone)


@sealed_async
async def _bulk(
    destination_addresses: Sequence[str], template: Message, zone: tzinfo
) -> tuple[Hidden[tuple[Message, list[str]]], Request]:
    """Return a message in the form that is sent with the digits of each destination address, and the request.

    The check of many addresses lets other tasks run.

    Raises:
        ValidationError: if the addresses are no sequence with at least one item, or a value is invalid.
    """
    numbers: list[str] = []

    async def check(address: str) -> None:
        parameter = f"destination_addresses[{len(numbers)}]"
        numbers.append(checked_destination_address(address, parameter))

    await read_all(checked_recipients(destination_addresses), check)
    template = prepared(attrs.evolve(template, destination_address=numbers[0]), None)
    return Hidden((template, numbers)), bulk_request(template, numbers, zone)
