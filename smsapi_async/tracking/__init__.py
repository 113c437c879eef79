"""Follow sent messages to their final states.

The package ``tracking`` decides when the client requests the state of which segment, and when tracking ends.
"""

from smsapi_async.schedule import DEADLINE, Schedule
from smsapi_async.tracking.delivery import Delivery, DeliverySink
from smsapi_async.tracking.state_reading import StartTracking, read_state, tracker_for, tracking_with
from smsapi_async.tracking.stream import Tracking
from smsapi_async.tracking.tracker import StateRequest, Tracker

__all__ = [
    "DEADLINE",
    "Delivery",
    "DeliverySink",
    "Schedule",
    "StartTracking",
    "StateRequest",
    "Tracker",
    "Tracking",
    "read_state",
    "tracker_for",
    "tracking_with",
]
