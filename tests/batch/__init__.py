"""Tests of batches: one call of `send_many` sends many messages."""
