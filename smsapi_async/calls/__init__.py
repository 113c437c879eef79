"""Calls to the gateway: the limit of requests, the session, the attempts, and the verdict on each result."""
