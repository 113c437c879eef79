"""What every PostgreSQL part of this package needs: addresses, connections in threads, and the tables.

Only this room imports psycopg, and only when a connection is opened. ``pip install 'smsapi-async[postgres]'``
installs psycopg.
"""
