"""Tests of workers, which send the pending messages of a PostgreSQL ledger on many machines."""
