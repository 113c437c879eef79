"""Many messages: grouped, sent with bounded concurrency, and accounted for one by one."""

from smsapi_async.bulk.batch import Batch
from smsapi_async.bulk.delivery import Delivery
from smsapi_async.bulk.grouping import BatchSettings

__all__ = ["Batch", "BatchSettings", "Delivery"]
