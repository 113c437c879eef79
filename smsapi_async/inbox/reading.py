"""Reads the incoming messages of a period, and reports the rows that are malformed."""

import logging
from datetime import datetime, timedelta

from smsapi_async.calls.caller import Caller
from smsapi_async.calls.verdicts import Dated
from smsapi_async.inbox.progress import REACH, earlier, open_end
from smsapi_async.models import IncomingMessage
from smsapi_async.protocol.dates import aware
from smsapi_async.protocol.decoding import IncomingRows, decode_incoming
from smsapi_async.protocol.encoding import incoming_request
from smsapi_async.settings import checked_timeout

logger = logging.getLogger("smsapi_async")


async def read_incoming(caller: Caller, *, since: datetime, until: datetime) -> Dated[IncomingRows]:
    """Return the incoming messages of a period with the time of the response on the clock of the gateway.

    Args:
        caller: makes the request.
        since: the start of the period, aware.
        until: the end of the period, aware.

    Raises:
        RequestRejected: if the gateway refused the request or the login.
        ReadFailed: if no usable response arrived.
    """
    return await caller.read_dated(incoming_request(since, until), decode_incoming)


async def read_period(
    caller: Caller,
    now: datetime,
    *,
    since: datetime | None,
    until: datetime | None,
    timeout: float | timedelta | None,  # noqa: ASYNC109
) -> list[IncomingMessage]:
    """Return the incoming messages of a period, and log a warning if rows of the response are malformed.

    The parameters, the result and the errors are those of `AsyncSmsClient.incoming`.

    Args:
        caller: makes the request.
        now: the current time, aware.
        since: the beginning of the period, or None.
        until: the end of the period, or None.
        timeout: the maximum time of the call.
    """
    request = incoming_request(*checked_period(since, until, now))
    rows = await caller.read(request, decode_incoming, seconds=checked_timeout(timeout))
    report_skipped(len(rows.skipped))
    return rows


def checked_period(
    since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """Return the period of a request for incoming messages, with defaults for a missing beginning or end.

    Some gateways require a beginning that is at most one year ago (contract, "Sms/In").

    Args:
        since: the beginning of the period. None means the earliest beginning that each gateway accepts, also
            if its clock is ahead: 363 days ago, or 363 days before an end that is not later than that.
        until: the end of the period. None means a time that is later than the time of the gateway, also if
            the local clock is behind.
        now: the current time, aware.

    Raises:
        ValidationError: if ``until`` is not an aware datetime.
    """
    end = open_end(now) if until is None else aware("until", until)
    if since is None:
        start = earlier(now, REACH)
        since = start if start < end else earlier(end, REACH)
    return since, end


def report_skipped(count: int) -> None:
    """Log a warning about malformed rows in a response. The warning contains nothing of the rows."""
    if count:
        rows = "1 row of the response is" if count == 1 else f"{count} rows of the response are"
        logger.warning("Sms/In: %s malformed, so these incoming messages are missing", rows)
