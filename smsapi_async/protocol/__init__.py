"""The gateway's HTTP API as described in CONTRACT.md: builds requests and decodes responses, without I/O."""
