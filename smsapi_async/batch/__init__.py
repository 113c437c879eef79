"""Sends batches, and single messages with a ledger.

A batch groups messages into chunks, sends chunks concurrently, and returns outcomes.
"""

from smsapi_async.batch.chunk_sender import ChunkSender
from smsapi_async.batch.chunks import BatchSettings
from smsapi_async.batch.pending import PendingOptions, queue_run
from smsapi_async.batch.recorded_send import send_one
from smsapi_async.batch.stream import Batch

__all__ = ["Batch", "BatchSettings", "ChunkSender", "PendingOptions", "queue_run", "send_one"]
