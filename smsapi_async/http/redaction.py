"""Keeps the secrets in URLs out of log records.

The query of a GET request contains the password or the session id (contract, "Requests").
"""

import logging
from contextvars import ContextVar
from typing import Final

in_exchange: Final[ContextVar[bool]] = ContextVar("smsapi_async_in_exchange", default=False)
"""Whether this package makes an exchange in the current context."""

# At level DEBUG, httpcore and httpcore2 log exceptions and response headers. A server may repeat parts of the
# request in a response header. For example, the Location header of a redirect can contain the whole query.
_TALKATIVE_LOGGERS = (
    *(
        f"{core}.{module}"
        for core in ("httpcore", "httpcore2")
        for module in ("connection", "http11", "http2", "proxy", "socks")
    ),
    # An HTTP/2 client of the caller uses `hpack`, which logs every header. One of the headers contains the
    # path and the query.
    "hpack.hpack",
    "hpack.table",
)


def _outside_exchanges(_: logging.LogRecord) -> bool:
    return not in_exchange.get()


def quieten() -> None:
    """Drop the log records of httpcore, httpcore2 and hpack during this package's exchanges.

    Log records of requests that this package does not make are kept.
    """
    for name in _TALKATIVE_LOGGERS:
        # `addFilter` does nothing if the logger already has the filter.
        logging.getLogger(name).addFilter(_outside_exchanges)
