"""Ledgers: durable records of messages and their outcomes.

A ledger records each message before its request and the outcome after the response. A ledger also stores the
deliveries of accepted messages and the positions of inboxes.

A ledger needs the extra ``ledger`` (``pip install 'smsapi-async[ledger]'``). The package
``smsapi_async.ledger`` can be imported without the extra. SQLAlchemy is imported in a worker thread when a
ledger is opened: the import takes a few tenths of a second and must not block the event loop.
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
