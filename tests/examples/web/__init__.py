"""Web backends with FastAPI and Django. tests/test_web_examples.py runs them."""
