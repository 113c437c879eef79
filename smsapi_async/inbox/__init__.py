"""Incoming messages as a stream: each once, also when it was filed late or the process was restarted."""

from smsapi_async.inbox.checkpoints import CallbackCheckpoint, Checkpoint, MemoryCheckpoint
from smsapi_async.inbox.position import Position
from smsapi_async.inbox.progress import Progress, Window
from smsapi_async.inbox.settings import InboxSettings
from smsapi_async.inbox.stream import Inbox, InboxInUse, InboxNotEntered

__all__ = [
    "CallbackCheckpoint",
    "Checkpoint",
    "Inbox",
    "InboxInUse",
    "InboxNotEntered",
    "InboxSettings",
    "MemoryCheckpoint",
    "Position",
    "Progress",
    "Window",
]
