"""Ledgers: durable records of messages and their outcomes.

A ledger records each message before its request and the outcome after the response. A ledger also stores the
deliveries of accepted messages and the positions of inboxes.
"""

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable, LedgerVersion
from smsapi_async.ledger.interface import ENGINES, Ledger
from smsapi_async.ledger.postgres.postgres_ledger import PostgresLedger
from smsapi_async.ledger.records import MessageState, Record, Resolution, UnknownMessage
from smsapi_async.ledger.requests import Claimed, InFlight, RequestAnswer
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary

__all__ = [
    "Claimed",
    "DeliverySummary",
    "InFlight",
    "Ledger",
    "LedgerError",
    "LedgerInUse",
    "LedgerUnwritable",
    "LedgerVersion",
    "MessageState",
    "OutcomeState",
    "Record",
    "RequestAnswer",
    "Resolution",
    "Summary",
    "UnknownMessage",
]

ENGINES["sqlite"] = SqliteLedger
ENGINES["postgres"] = PostgresLedger
