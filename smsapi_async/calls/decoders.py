"""The module `decoding`, which is imported when a client is entered: the module needs cattrs."""

from typing import TYPE_CHECKING

from smsapi_async.deferred import Deferred

if TYPE_CHECKING:
    from smsapi_async.protocol import decoding
else:
    decoding = Deferred("smsapi_async.protocol.decoding")

__all__ = ["decoding"]
