"""Batches: messages grouped into chunks and sent with bounded concurrency, one outcome for each message."""

from smsapi_async.batch.chunk_sender import ChunkSender
from smsapi_async.batch.chunks import BatchSettings
from smsapi_async.batch.stream import Batch

__all__ = ["Batch", "BatchSettings", "ChunkSender"]
