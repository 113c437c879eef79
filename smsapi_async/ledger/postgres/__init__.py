"""The ledger in a PostgreSQL database. The other packages use it only through `Ledger`."""
