"""Measurements: each prints its table, and none of them is a test."""
