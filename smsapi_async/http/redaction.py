"""Keeps the secrets in URLs out of log records and other texts.

The query of a GET request contains the password or the session id (contract, "Requests").
"""

import logging
from contextvars import ContextVar
from typing import Final

import httpx

in_exchange: Final[ContextVar[bool]] = ContextVar("smsapi_async_in_exchange", default=False)
"""Whether this package makes an exchange in the current context."""

# At level DEBUG, httpcore logs exceptions and response headers. A server may repeat parts of the request in a
# response header. For example, the Location header of a redirect can contain the whole query.
_TALKATIVE_LOGGERS = (
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    # An HTTP/2 client of the caller uses `hpack`, which logs every header. One of the headers contains the
    # path and the query.
    "hpack.hpack",
    "hpack.table",
)


class PrivateURL(httpx.URL):
    """A URL for a request. The query is sent, but `str` and `repr` do not show the query."""

    def __str__(self) -> str:
        return str(httpx.URL(self).copy_with(query=None))

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


def _outside_exchanges(_: logging.LogRecord) -> bool:
    return not in_exchange.get()


def quieten() -> None:
    """Drop the log records of httpcore and hpack during this package's exchanges.

    Log records of requests that this package does not make are kept.
    """
    for name in _TALKATIVE_LOGGERS:
        # `addFilter` does nothing if the logger already has the filter.
        logging.getLogger(name).addFilter(_outside_exchanges)
