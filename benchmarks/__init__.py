"""Measurements against what users would write themselves, on loopback only: `python -m benchmarks`."""
