"""A durable account of every message of a batch: its intent before the request, its outcome after.

What is known of the delivery of accepted messages is kept beside it, and how far incoming ones were seen.

This package needs the extra ``ledger``; importing it does not. SQLAlchemy is imported in a worker thread
when a ledger is opened.
"""

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable, LedgerVersion
from smsapi_async.ledger.interface import ENGINES, Ledger
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary

__all__ = [
    "DeliverySummary",
    "Ledger",
    "LedgerError",
    "LedgerInUse",
    "LedgerUnwritable",
    "LedgerVersion",
    "OutcomeState",
    "Summary",
]

ENGINES["sqlite"] = SqliteLedger
