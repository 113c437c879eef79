"""Log entries of a client, with the library structlog.

Pass a `Structlog` to the client::

    from smsapi_async.contrib.structlog import Structlog

    sms = AsyncSmsClient.from_env(observers=[Structlog()])

Each event becomes one entry, with the fields of the event::

    event="smsapi.request_ended" level="info" resource="Sms/Send" outcome="accepted" http_status=200 ...

`smsapi_async.observers` describes the events and their fields. An entry has no field whose value is None. The
processor ``structlog.contextvars.merge_contextvars`` adds the variables of the code that called the client.

| Level     | Events                                                                                      |
|-----------|---------------------------------------------------------------------------------------------|
| `warning` | a request, call, login, batch, claim or round of the inbox failed                           |
| `info`    | a request, login or batch succeeded; the inbox recovered                                    |
| `debug`   | a request began; a claim succeeded; a batch made progress; a read was cancelled             |

No entry contains a password, a session id, a text, a phone number or a segment id.
"""

import re
from types import CoroutineType
from typing import Any, get_args

from smsapi_async.contrib.missing import needs

with needs(__name__, {"structlog"}, "structlog"):
    import structlog
    from structlog.typing import BindableLogger

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.observers import (
    BatchProgress,
    Event,
    InboxRoundFailed,
    LedgerClaim,
    LoginFailed,
    RequestBegun,
    RequestEnded,
    RequestNotMade,
)
from smsapi_async.privacy import type_name

__all__ = ["Structlog"]

_LEVELS = {"accepted": "info", "succeeded": "info", "cancelled": "debug"}

# For each class of events, the name of the entry and the names of the fields.
_ENTRIES: dict[type, tuple[str, list[str]]] = {
    kind: (
        "smsapi." + re.sub(r"(?<=.)(?=[A-Z])", "_", kind.__name__).lower(),
        [field.name for field in attrs.fields(kind)],
    )
    for kind in get_args(Event)
}


class Structlog:
    """An observer that logs each event of a client.

    Several clients may share an observer.

    Args:
        logger: a logger of structlog. None means ``structlog.get_logger("smsapi_async")``. The program may
            configure structlog later. An `AsyncBoundLogger` logs with its synchronous logger ``sync_bl``.

    Raises:
        ValidationError: if ``logger`` is not a logger of structlog.
    """

    def __init__(self, logger: BindableLogger | None = None) -> None:
        # We look at the class, because a lazy logger reads the configuration when its attributes are read.
        if logger is not None and not hasattr(type(logger), "bind"):
            raise ValidationError("logger", type_name(logger), "pass a logger of structlog")
        self._logger: Any = structlog.get_logger("smsapi_async") if logger is None else logger

    def __call__(self, event: Event) -> None:
        """Log an event."""
        name, fields = _ENTRIES[type(event)]
        values = {field: value for field in fields if (value := getattr(event, field)) is not None}
        level = _level(event)
        logged = getattr(self._logger, level)(name, **values)
        if isinstance(logged, CoroutineType):
            # Nobody would await the coroutine of an `AsyncBoundLogger`. A coroutine that is closed before it
            # starts gives no warning.
            logged.close()
            getattr(self._logger.sync_bl, level)(name, **values)


def _level(event: Event) -> str:
    if isinstance(event, RequestBegun):
        return "debug"
    if isinstance(event, RequestEnded | RequestNotMade | LoginFailed):
        return _LEVELS.get(event.outcome, "warning")
    if isinstance(event, InboxRoundFailed):
        return "warning"
    if isinstance(event, BatchProgress | LedgerClaim):
        if event.error_type is not None:
            return "warning"
        return "info" if isinstance(event, BatchProgress) and event.has_ended else "debug"
    return "info"
