"""Following messages to their final states: when to ask, about which segment, when to stop."""

from smsapi_async.poller.delivery import Delivery, DeliveryRecord
from smsapi_async.poller.schedule import DEADLINE, Schedule, seconds
from smsapi_async.poller.tracker import Ask, Tracker
from smsapi_async.poller.tracking import Tracking, TrackingNotEntered

__all__ = [
    "DEADLINE",
    "Ask",
    "Delivery",
    "DeliveryRecord",
    "Schedule",
    "Tracker",
    "Tracking",
    "TrackingNotEntered",
    "seconds",
]
