"""Tests of the observers of a client: events, stats, and observers that misbehave."""
