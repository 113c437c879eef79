"""Programs that report failures of sends to Sentry and structlog without private values."""
