"""The ledger in one SQLite file.

Importing this package does not import SQLAlchemy: it takes a few tenths of a second, and so is imported in
a worker thread when a ledger is opened.
"""
