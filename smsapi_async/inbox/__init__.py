"""Incoming messages as a stream: each once, also when it was filed late or the process was restarted."""

from smsapi_async.inbox.checkpoints import CallbackCheckpoint, Checkpoint, MemoryCheckpoint
from smsapi_async.inbox.position import Position
from smsapi_async.inbox.progress import Progress, Window
from smsapi_async.inbox.rounds import InboxSettings
from smsapi_async.inbox.stream import Inbox

__all__ = [
    "CallbackCheckpoint",
    "Checkpoint",
    "Inbox",
    "InboxSettings",
    "MemoryCheckpoint",
    "Position",
    "Progress",
    "Window",
]
