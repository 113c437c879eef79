"""A client of an SMS gateway for asyncio and trio.

The gateway bills every message that it accepts. This package never sends a message twice by itself. The
package reports an outcome for every message. Passwords, texts and phone numbers do not appear in logs or
errors. A local gateway (`smsapi_async.sandbox`) makes tests free of charge.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smsapi_async.batch import Batch
    from smsapi_async.client import AsyncSmsClient
    from smsapi_async.clock import Clock, SystemClock
    from smsapi_async.errors import (
        ArgumentNullOrEmpty,
        BatchHalted,
        ClientClosed,
        Forbidden,
        GatewayFault,
        InboxInUse,
        InternalServerError,
        InvalidAnswer,
        InvalidArgument,
        InvalidCredentials,
        InvalidOperation,
        InvalidSession,
        LedgerError,
        LedgerInUse,
        LedgerUnwritable,
        LedgerVersion,
        NotEnoughCredits,
        NotSent,
        OutcomeUnknown,
        RateLimited,
        ReadFailed,
        RealSendBlocked,
        RequestRejected,
        ResourceNotFound,
        SegmentIdsUnattributed,
        SmsApiError,
        StreamLeftElsewhere,
        StreamNotEntered,
        TransportFailed,
        Unauthorized,
        UsageError,
        ValidationError,
        WrongEventLoop,
    )
    from smsapi_async.inbox import (
        CallbackCheckpoint,
        Checkpoint,
        Inbox,
        IncomingReceiver,
        MemoryCheckpoint,
        Position,
        PushedMessage,
    )
    from smsapi_async.json import from_json, to_json
    from smsapi_async.models import (
        Encoding,
        IncomingMessage,
        Message,
        Receipt,
        Segmentation,
        SegmentState,
        Statistics,
    )
    from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
    from smsapi_async.pace import Pace
    from smsapi_async.privacy import Secret
    from smsapi_async.protocol.segments import segment
    from smsapi_async.schedule import Schedule
    from smsapi_async.session import LockingSessionStore, MemorySessionStore, Session, SessionStore
    from smsapi_async.settings import RetryPolicy, Timeouts
    from smsapi_async.states import Phase, State
    from smsapi_async.tracking import Delivery, DeliverySink, Tracking
    from smsapi_async.version import __version__

__all__ = [
    "Accepted",
    "ArgumentNullOrEmpty",
    "AsyncSmsClient",
    "Batch",
    "BatchHalted",
    "CallbackCheckpoint",
    "Checkpoint",
    "ClientClosed",
    "Clock",
    "Delivery",
    "DeliverySink",
    "Encoding",
    "Forbidden",
    "GatewayFault",
    "Inbox",
    "InboxInUse",
    "IncomingMessage",
    "IncomingReceiver",
    "InternalServerError",
    "InvalidAnswer",
    "InvalidArgument",
    "InvalidCredentials",
    "InvalidOperation",
    "InvalidSession",
    "LedgerError",
    "LedgerInUse",
    "LedgerUnwritable",
    "LedgerVersion",
    "LockingSessionStore",
    "MemoryCheckpoint",
    "MemorySessionStore",
    "Message",
    "NotEnoughCredits",
    "NotSent",
    "Outcome",
    "OutcomeUnknown",
    "Pace",
    "Phase",
    "Position",
    "PushedMessage",
    "RateLimited",
    "ReadFailed",
    "RealSendBlocked",
    "Receipt",
    "Rejected",
    "RequestRejected",
    "ResourceNotFound",
    "RetryPolicy",
    "Schedule",
    "Secret",
    "SegmentIdsUnattributed",
    "SegmentState",
    "Segmentation",
    "Session",
    "SessionStore",
    "SmsApiError",
    "State",
    "Statistics",
    "StreamLeftElsewhere",
    "StreamNotEntered",
    "SystemClock",
    "Timeouts",
    "Tracking",
    "TransportFailed",
    "Unauthorized",
    "Unknown",
    "UsageError",
    "ValidationError",
    "WrongEventLoop",
    "__version__",
    "from_json",
    "segment",
    "to_json",
]

# The modules that define the public names of this package. A public name is imported only when it is used for
# the first time (PEP 562), so that a program that only catches an error does not wait for other modules.
_HOMES = {
    "batch": ("Batch",),
    "client": ("AsyncSmsClient",),
    "clock": (
        "Clock",
        "SystemClock",
    ),
    "errors": (
        "ArgumentNullOrEmpty",
        "BatchHalted",
        "ClientClosed",
        "Forbidden",
        "GatewayFault",
        "InboxInUse",
        "InternalServerError",
        "InvalidAnswer",
        "InvalidArgument",
        "InvalidCredentials",
        "InvalidOperation",
        "InvalidSession",
        "LedgerError",
        "LedgerInUse",
        "LedgerUnwritable",
        "LedgerVersion",
        "NotEnoughCredits",
        "NotSent",
        "OutcomeUnknown",
        "RateLimited",
        "ReadFailed",
        "RealSendBlocked",
        "RequestRejected",
        "ResourceNotFound",
        "SegmentIdsUnattributed",
        "SmsApiError",
        "StreamLeftElsewhere",
        "StreamNotEntered",
        "TransportFailed",
        "Unauthorized",
        "UsageError",
        "ValidationError",
        "WrongEventLoop",
    ),
    "inbox": (
        "CallbackCheckpoint",
        "Checkpoint",
        "Inbox",
        "IncomingReceiver",
        "MemoryCheckpoint",
        "Position",
        "PushedMessage",
    ),
    "json": (
        "from_json",
        "to_json",
    ),
    "models": (
        "Encoding",
        "IncomingMessage",
        "Message",
        "Receipt",
        "SegmentState",
        "Segmentation",
        "Statistics",
    ),
    "outcomes": (
        "Accepted",
        "Outcome",
        "Rejected",
        "Unknown",
    ),
    "pace": ("Pace",),
    "privacy": ("Secret",),
    "protocol.segments": ("segment",),
    "schedule": ("Schedule",),
    "session": (
        "LockingSessionStore",
        "MemorySessionStore",
        "Session",
        "SessionStore",
    ),
    "settings": (
        "RetryPolicy",
        "Timeouts",
    ),
    "states": (
        "Phase",
        "State",
    ),
    "tracking": (
        "Delivery",
        "DeliverySink",
        "Tracking",
    ),
    "version": ("__version__",),
}

# `__getattr__` is hidden from type checkers, because with `__getattr__` a type checker would accept every
# misspelt name of this package.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in __all__:
            home = next(home for home, names in _HOMES.items() if name in names)
            return globals().setdefault(name, getattr(import_module(f"{__name__}.{home}"), name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
