"""An open file behind one lock: one worker thread at a time. Synchronous."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from smsapi_async.errors import LedgerError

if TYPE_CHECKING:
    from smsapi_async.ledger.account import Account
    from smsapi_async.ledger.database import Database

_Value = TypeVar("_Value")


class Store:
    """A ledger's file, and the account in it. Importing this module does not import SQLAlchemy.

    Args:
        path: the file.
        redact: whether to create it for hashes only.
        read_only: whether to leave it as it is.
    """

    def __init__(self, path: str, *, redact: bool, read_only: bool) -> None:
        self._path = path
        self._redact = redact
        self._read_only = read_only
        self._database: Database | None = None
        self._account: Account | None = None
        # asyncio's own `Task.cancel` goes through a shield: the next call may then come while a
        # thread is still at work.
        self._one_at_a_time = threading.Lock()

    def open(self) -> None:
        """Open the file and recover what an earlier process left.

        Raises:
            LedgerError: it cannot be used; nothing is left open.
        """
        # It takes a few tenths of a second, which an event loop must not lose.
        from smsapi_async.ledger.account import Account  # noqa: PLC0415
        from smsapi_async.ledger.database import Database  # noqa: PLC0415
        from smsapi_async.ledger.failures import guarded  # noqa: PLC0415

        def work() -> Account:
            path = os.path.realpath(self._path)
            self._database = Database(path, redact=self._redact, read_only=self._read_only)
            self._database.open()
            account = Account(self._database)
            if not self._read_only:
                account.recover()
            return account

        with self._one_at_a_time:
            try:
                self._account = guarded(self._path, work)
            except BaseException:
                self._close()
                raise

    def close(self) -> None:
        """Close the file. May be called more than once, and while `open` is at work elsewhere."""
        with self._one_at_a_time:
            self._close()

    def _close(self) -> None:
        self._account = None
        database, self._database = self._database, None
        if database is not None:
            from smsapi_async.ledger.failures import guarded  # noqa: PLC0415

            guarded(self._path, database.close)

    def run(self, work: Callable[[Account], _Value]) -> _Value:
        """Do something with the account.

        Raises:
            LedgerError: the file is not open, or it could not be done.
        """
        from smsapi_async.ledger.failures import guarded  # noqa: PLC0415

        with self._one_at_a_time:
            account = self._account
            if account is None:
                raise LedgerError(f"{self._path} is not open")
            return guarded(self._path, lambda: work(account))
