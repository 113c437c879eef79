"""What every PostgreSQL part of this package needs, and the public names for many machines.

Only this room imports psycopg, and only when a connection is opened. ``pip install 'smsapi-async[postgres]'``
installs psycopg. The functions `enqueue` and `aenqueue` use the connection of the caller, and need no extra.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smsapi_async.postgres.outbox import aenqueue, enqueue
    from smsapi_async.postgres.shared import Shared

__all__ = ["Shared", "aenqueue", "enqueue"]

# The modules of the public names. The ledger imports modules of this package, and the public names use the
# ledger, so a public name is imported only when it is used for the first time (PEP 562).
_PUBLIC = {"Shared": "shared", "aenqueue": "outbox", "enqueue": "outbox"}

# `__getattr__` is hidden from type checkers, because with `__getattr__` a type checker would accept every
# misspelt name of this package.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _PUBLIC:
            value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
            return globals().setdefault(name, value)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
