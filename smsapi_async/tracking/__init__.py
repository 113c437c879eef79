"""Following messages to their final states: when to ask, about which segment, when to stop."""

from smsapi_async.tracking.delivery import Delivery, DeliverySink
from smsapi_async.tracking.schedule import DEADLINE, Schedule
from smsapi_async.tracking.stream import Tracking
from smsapi_async.tracking.tracker import StateRequest, Tracker

__all__ = [
    "DEADLINE",
    "Delivery",
    "DeliverySink",
    "Schedule",
    "StateRequest",
    "Tracker",
    "Tracking",
]
