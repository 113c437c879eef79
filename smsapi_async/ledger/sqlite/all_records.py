"""All records of an open SQLite ledger. Its functions are synchronous and run in the thread of the ledger."""

from collections.abc import Callable
from typing import TypeVar

from smsapi_async.ledger.sqlite.checkpoint_records import CheckpointRecords
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.delivery_records import DeliveryRecords
from smsapi_async.ledger.sqlite.failures import guarded
from smsapi_async.ledger.sqlite.message_reader import MessageReader
from smsapi_async.ledger.sqlite.request_records import RequestRecords
from smsapi_async.ledger.sqlite.resolutions import Resolutions

_Value = TypeVar("_Value")


class Records:
    """All records of a ledger. The constructor opens the file.

    Args:
        path: the path of the SQLite file.
        redact: whether a new file stores only digests of numbers and texts.
        read_only: whether the file is opened only for reading.
        accept_copy: whether a copy of a ledger may be opened for writing.

    Attributes:
        database: the open database.
        requests: the requests with their messages.
        reader: reads messages, outcomes and deliveries.
        resolutions: what a person decides.
        deliveries: the deliveries of accepted messages.
        checkpoints: the positions of inboxes.

    Raises:
        LedgerError: if the file cannot be used as a ledger. The file is then closed again.
    """

    def __init__(self, path: str, *, redact: bool, read_only: bool, accept_copy: bool) -> None:
        self._path = path
        self._read_only = read_only
        self.database = Database(path, redact=redact, read_only=read_only, accept_copy=accept_copy)
        try:
            self.guarded(self.database.open)
            self.requests = self.guarded(lambda: RequestRecords(self.database))
        except BaseException:
            self.database.close()
            raise
        self.reader = MessageReader(self.database, self.requests)
        self.resolutions = Resolutions(self.database, self.requests)
        self.deliveries = DeliveryRecords(self.database, self.requests)
        self.checkpoints = CheckpointRecords(self.database)

    def guarded(self, work: Callable[[], _Value]) -> _Value:
        """Run a function, and convert its errors; see `failures.guarded`."""
        return guarded(self._path, work, read_only=self._read_only)

    def close(self) -> None:
        """Close the file."""
        self.guarded(self.database.close)
