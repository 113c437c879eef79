"""The contract, pure of I/O: what is put on the wire, and what comes back from it."""
