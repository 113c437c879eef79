"""Keeping what the contract puts in URLs away from everybody who prints URLs."""

import logging
from contextvars import ContextVar
from typing import Final

import httpx

in_exchange: Final[ContextVar[bool]] = ContextVar("smsapi_async_in_exchange", default=False)
"""True inside an exchange of this package's."""

# At DEBUG httpcore prints response headers and exceptions, in which a server may repeat what it was
# sent (a redirect's Location repeats the whole query).
_TALKATIVE_LOGGERS = (
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    # A caller's HTTP/2 client brings these, which print every header with the path in it.
    "hpack.hpack",
    "hpack.table",
)


class PrivateURL(httpx.URL):
    """A URL whose query is on the wire but in no text."""

    def __str__(self) -> str:
        return str(httpx.URL(self).copy_with(query=None))

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


def _outside_exchanges(_: logging.LogRecord) -> bool:
    return not in_exchange.get()


def quieten() -> None:
    """Drop httpcore's records of this package's own exchanges; everybody else's are untouched."""
    for name in _TALKATIVE_LOGGERS:
        # Adding the same filter again does nothing.
        logging.getLogger(name).addFilter(_outside_exchanges)
