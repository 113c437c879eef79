"""Reads the incoming messages of a period, and reports the rows that are malformed."""

import logging
from datetime import datetime

from smsapi_async.calls.caller import Caller
from smsapi_async.calls.verdicts import Dated
from smsapi_async.protocol.decoding import IncomingRows, decode_incoming
from smsapi_async.protocol.encoding import incoming_request

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


def report_skipped(count: int) -> None:
    """Log a warning about malformed rows in a response. The warning contains nothing of the rows."""
    if count:
        rows = "1 row of the response is" if count == 1 else f"{count} rows of the response are"
        logger.warning("Sms/In: %s malformed, so these incoming messages are missing", rows)


def reported(rows: IncomingRows) -> IncomingRows:
    """Return the incoming messages, and log a warning if rows of the response are malformed."""
    report_skipped(len(rows.skipped))
    return rows
