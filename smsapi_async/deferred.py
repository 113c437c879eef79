"""Modules that are imported when a client is entered, and not with the client.

The import of an HTTP library, of the ledgers and of the streams takes longer than the import of the client.
A program that defines functions with a client, or catches an error, does not wait for these modules.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any


class Deferred:
    """Stands for a module. The module is imported when one of its names is used for the first time.

    Args:
        name: the name of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any name of a module
        # `import_module` also waits for the end of an import in another thread.
        value = getattr(import_module(self._name), name)
        # Each send uses two names. Python calls this method only for a name that is not stored.
        setattr(self, name, value)
        return value


def are_imported(names: Iterable[str]) -> bool:
    """Return whether all modules are imported."""
    return all(name in sys.modules for name in names)


def import_all(names: Iterable[str]) -> None:
    """Import the modules that are not imported yet.

    A module that cannot be imported while Python exits is left out: the function that needs the module then
    raises the error.
    """
    for name in names:
        # `concurrent.futures.thread` raises a RuntimeError after the end of the main thread.
        with suppress(RuntimeError):
            import_module(name)
