"""All that knows HTTP: the client and its transports, one exchange, and what a failure of it proves."""
