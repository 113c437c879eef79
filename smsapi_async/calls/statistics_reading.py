"""Reads the statistics of a period."""

from datetime import datetime, timedelta, tzinfo
from functools import partial

from smsapi_async.calls.caller import Caller
from smsapi_async.calls.decoders import decoding
from smsapi_async.calls.gathering import gather
from smsapi_async.models import Statistics
from smsapi_async.protocol.encoding import statistics_requests
from smsapi_async.settings import checked_timeout


async def read_statistics(
    caller: Caller,
    start: datetime,
    end: datetime,
    zone: tzinfo,
    timeout: float | timedelta | None,  # noqa: ASYNC109
) -> Statistics:
    """Return the statistics of a period. See `AsyncSmsClient.statistics` for the parameters and the errors.

    Args:
        caller: makes the requests, at the same time.
        start: the beginning of the period, aware.
        end: the end of the period, aware.
        zone: the time zone of the gateway.
        timeout: the maximum time of the call.
    """
    read = partial(caller.read, decode=decoding.decode_statistics, seconds=checked_timeout(timeout))
    requests = statistics_requests(start, end, zone)
    return Statistics.sum(await gather([partial(read, request) for request in requests]))
