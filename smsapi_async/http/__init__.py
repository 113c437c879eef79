"""The only place that imports httpx: builds the client, runs one exchange, says what a failure proves."""
