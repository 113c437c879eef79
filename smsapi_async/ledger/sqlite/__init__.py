"""The ledger in one SQLite file.

The import of this package does not import SQLAlchemy. The import of SQLAlchemy takes a few tenths of a
second, so a worker thread imports SQLAlchemy when a ledger is opened.
"""
