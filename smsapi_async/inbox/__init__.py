"""Watch incoming messages.

The stream `Inbox` returns each incoming message once, even if the gateway stores the message late. After a
restart, the stream continues after the last message that was handled.

An `IncomingReceiver` receives the messages that the gateway pushes, and can run together with an `Inbox`.
"""

from smsapi_async.inbox.checkpoints import CallbackCheckpoint, Checkpoint, MemoryCheckpoint
from smsapi_async.inbox.handled import Snapshot
from smsapi_async.inbox.position import Position, checked_ids, snapshot_of
from smsapi_async.inbox.progress import GatewayTime, Progress, Window, open_end
from smsapi_async.inbox.push_requests import PushedMessage
from smsapi_async.inbox.reading import read_incoming, read_period
from smsapi_async.inbox.receiver import IncomingReceiver
from smsapi_async.inbox.rounds import InboxSettings
from smsapi_async.inbox.stream import Inbox

__all__ = [
    "CallbackCheckpoint",
    "Checkpoint",
    "GatewayTime",
    "Inbox",
    "InboxSettings",
    "IncomingReceiver",
    "MemoryCheckpoint",
    "Position",
    "Progress",
    "PushedMessage",
    "Snapshot",
    "Window",
    "checked_ids",
    "open_end",
    "read_incoming",
    "read_period",
    "snapshot_of",
]
