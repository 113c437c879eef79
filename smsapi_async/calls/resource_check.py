"""Finds out whether the gateway has the resource ``Sms/SendByTimeZoneToAddresses``.

Only later documents of the vendor describe this resource (contract, "Sms/SendByTimeZoneToAddresses").
"""

import attrs

from smsapi_async.calls.caller import Caller
from smsapi_async.errors import (
    InvalidOperation,
    OutcomeUnknown,
    ReadFailed,
    RequestRejected,
    ResourceNotFound,
    SmsApiError,
)
from smsapi_async.protocol.encoding import Request
from smsapi_async.protocol.resources import SEND_BULK_BY_TIME_ZONE

_NOT_FOUND = 404
# The maximum time of the check in seconds. Meanwhile the outcome of the send is not known.
_SECONDS = 30.0
# The request has no destination address and no text. The gateway therefore refuses it before it sends
# anything (contract, "Checks before a send").
_EMPTY_BULK = Request(attrs.evolve(SEND_BULK_BY_TIME_ZONE, sends=False), "SendDate=2011-01-28T16%3A00%3A00")


async def check_resource(
    caller: Caller, request: Request, error: SmsApiError, seconds: float | None = None
) -> bool:
    """Check after a failed bulk whether the gateway has the resource of the request.

    HTTP status 404 alone does not prove that nothing was sent: a proxy may have replaced the response. Code 6
    may also mean a wrong recipient. Therefore the check makes a request that can send nothing.

    Args:
        caller: makes the request.
        request: the request of the bulk.
        error: the error of the bulk.
        seconds: the maximum time of the check; None means 30 seconds.

    Returns:
        Whether it is proved that the gateway has the resource of a bulk at the recipients' local time.

    Raises:
        ResourceNotFound: if the gateway does not have the resource. The bulk was not sent.
    """
    if request.resource is not SEND_BULK_BY_TIME_ZONE or not _may_be_missing(error):
        return False
    found = await _answer(caller, _SECONDS if seconds is None else min(seconds, _SECONDS))
    if found is None:
        return False
    if _may_be_missing(found):
        raise ResourceNotFound(
            found.code,
            f"the gateway has no resource {SEND_BULK_BY_TIME_ZONE.name}; send the messages with "
            "send_by_time_zone or send_many",
            found.http_status or _NOT_FOUND,
        )
    return found.code is not None


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


def _may_be_missing(error: SmsApiError) -> bool:
    """Return whether an error can mean that the gateway does not have the resource."""
    if isinstance(error, OutcomeUnknown | ReadFailed | RequestRejected):
        return error.http_status == _NOT_FOUND or isinstance(error, InvalidOperation)
    return False
