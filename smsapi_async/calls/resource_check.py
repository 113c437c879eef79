"""Finds out whether the gateway has the resource ``Sms/SendByTimeZoneToAddresses``.

Only later documents of the vendor describe this resource (contract, "Sms/SendByTimeZoneToAddresses").
"""

import attrs

from smsapi_async.calls.caller import Caller
from smsapi_async.calls.decoders import decoding
from smsapi_async.errors import (
    InvalidOperation,
    InvalidSession,
    OutcomeUnknown,
    ReadFailed,
    RequestRejected,
    ResourceNotFound,
    SmsApiError,
    Unauthorized,
)
from smsapi_async.protocol.encoding import Request, balance_request
from smsapi_async.protocol.resources import SEND_BULK_BY_TIME_ZONE

_NOT_FOUND = 404
# The maximum time of the check in seconds. The sends wait for the end of the check.
_SECONDS = 30.0
# The request has no destination address and no text. The gateway therefore refuses it before it sends
# anything (contract, "Checks before a send").
_EMPTY_BULK = Request(attrs.evolve(SEND_BULK_BY_TIME_ZONE, sends=False), "SendDate=2011-01-28T16%3A00%3A00")


async def check_resource(
    caller: Caller, request: Request, error: SmsApiError, seconds: float | None = None
) -> None:
    """Check after a failed bulk whether the gateway has the resource of the request.

    HTTP status 404 alone does not prove that nothing was sent: a proxy may have replaced the response. Code 6
    may also mean a wrong recipient.

    Args:
        caller: makes the requests of the check.
        request: the request of the bulk.
        error: the error of the bulk.
        seconds: the maximum time of the check; None means 30 seconds.

    Raises:
        ResourceNotFound: if the gateway does not have the resource. The bulk was not sent.
    """
    if request.resource is SEND_BULK_BY_TIME_ZONE and _may_be_missing(error):
        await has_local_bulks(caller, seconds)


async def has_local_bulks(caller: Caller, seconds: float | None = None) -> bool:
    """Check whether the gateway has the resource of a bulk at the recipients' local time.

    The check makes a request that can send nothing. After status 404, the check reads the balance: a proxy
    that responds to each request with 404 proves nothing.

    Args:
        caller: makes the requests.
        seconds: the maximum time of the check; None means 30 seconds.

    Returns:
        True if it is proved that the gateway has the resource; False if nothing is proved.

    Raises:
        ResourceNotFound: if the gateway does not have the resource.
    """
    seconds = _SECONDS if seconds is None else min(seconds, _SECONDS)
    found = await _answer(caller, seconds)
    if found is None:
        return False
    if _may_be_missing(found):
        if not isinstance(found, InvalidOperation) and not await _is_reached(caller, seconds):
            return False
        raise ResourceNotFound(
            found.code,
            f"the gateway has no resource {SEND_BULK_BY_TIME_ZONE.name}; send the messages with "
            "send_by_time_zone or send_many",
            found.http_status or _NOT_FOUND,
        )
    # The response to a login, or to an old session, can come without a look at the resource.
    return found.code is not None and not isinstance(found, Unauthorized | InvalidSession)


async def _answer(caller: Caller, seconds: float) -> RequestRejected | ReadFailed | None:
    """Return the error of a request that can send nothing; None if the request has no such error."""
    try:
        await caller.read(_EMPTY_BULK, lambda _: None, seconds=seconds)
    except (RequestRejected, ReadFailed) as error:
        return error
    except SmsApiError:
        # The client was closed, for example. The error of the bulk remains.
        return None
    return None


async def _is_reached(caller: Caller, seconds: float) -> bool:
    """Return whether the gateway responds to a request that each gateway supports."""
    try:
        await caller.read(balance_request(), decoding.decode_balance, seconds=seconds)
    except SmsApiError:
        return False
    return True


def _may_be_missing(error: SmsApiError) -> bool:
    """Return whether an error can mean that the gateway does not have the resource."""
    if isinstance(error, OutcomeUnknown | ReadFailed | RequestRejected):
        return error.http_status == _NOT_FOUND or isinstance(error, InvalidOperation)
    return False
