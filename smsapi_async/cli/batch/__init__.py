"""The command ``batch``: reads a table, sends a message to each row, and reports."""
