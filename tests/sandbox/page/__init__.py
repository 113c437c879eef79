"""Tests of the page of the sandbox in a real browser."""
