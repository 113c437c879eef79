"""The ledger in one SQLite file, with the module `sqlite3` of Python."""
