"""Sends batches: groups messages into chunks, sends chunks concurrently, and returns outcomes."""

from smsapi_async.batch.chunk_sender import ChunkSender
from smsapi_async.batch.chunks import BatchSettings
from smsapi_async.batch.stream import Batch

__all__ = ["Batch", "BatchSettings", "ChunkSender"]
