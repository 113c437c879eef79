"""The command ``batch``: read a table, send one message for each row, and write a report."""
