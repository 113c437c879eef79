"""Benchmarks that compare this package with hand-written code, on loopback only: `python -m benchmarks`."""
