"""HTTP: the transports, one exchange with the gateway, and the proof that a request was not sent."""
