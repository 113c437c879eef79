"""The modules that wait until a client is entered, among them the streams.

The import of an HTTP library, of the ledgers and of the streams takes longer than the import of the client. A
program that only defines a client, or only catches its errors, does not wait for these modules. A client that
is entered imports them in a thread, so that the event loop continues. A program that gives up the permission
to read the installed packages must enter its client before.
"""

from typing import TYPE_CHECKING

from smsapi_async.deferred import Deferred

if TYPE_CHECKING:
    import pathlib
    import ssl

    from smsapi_async import batch, inbox, tracking
    from smsapi_async import ledger as ledgers
else:
    batch = Deferred("smsapi_async.batch")
    inbox = Deferred("smsapi_async.inbox")
    ledgers = Deferred("smsapi_async.ledger")
    tracking = Deferred("smsapi_async.tracking")
    # These two modules are only in annotations.
    pathlib, ssl = Deferred("pathlib"), Deferred("ssl")

__all__ = ["STREAMS", "batch", "inbox", "ledgers", "pathlib", "ssl", "tracking"]

STREAMS = ("smsapi_async.ledger", "smsapi_async.inbox", "smsapi_async.tracking", "smsapi_async.batch")
"""The names of the modules of the streams."""
