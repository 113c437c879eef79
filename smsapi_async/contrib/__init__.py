"""Modules that need a library which the client itself does not need. Each module names its library."""
