"""The ledger in one SQLite file.

The package ``smsapi_async.ledger.sqlite`` does not import SQLAlchemy when it is imported. The import of
SQLAlchemy takes a few tenths of a second, so a worker thread imports SQLAlchemy when a ledger is opened.
"""
