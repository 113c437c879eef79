"""Programs of many machines, which the README shows in parts. tests/postgres/test_examples.py runs them."""
