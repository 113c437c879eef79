"""Calls to the gateway: the limiter, the session, the attempts, and the verdict on each exchange."""
