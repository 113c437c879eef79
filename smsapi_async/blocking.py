"""A client for code without an event loop: WSGI servers, task queues, cron jobs and scripts."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import wraps
from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack

from smsapi_async.client import AsyncSmsClient
from smsapi_async.ledger import Ledger
from smsapi_async.observers import ClientStats
from smsapi_async.parameters import FurtherOptions, Options
from smsapi_async.portal import CalledInEventLoop, PortalClient
from smsapi_async.privacy import sealed

__all__ = ["CalledInEventLoop", "SmsClient"]

_SENDS = ("send", "send_by_time_zone", "send_bulk")
_P = ParamSpec("_P")
_Value = TypeVar("_Value")
_Method = Callable[Concatenate[AsyncSmsClient, _P], _Value]
_Blocking = Callable[Concatenate["SmsClient", _P], _Value]
_Stream = AbstractAsyncContextManager[AsyncIterator[_Value]]
_Items = AbstractContextManager[Iterator[_Value]]


def _blocking(method: _Method[_P, Awaitable[_Value]]) -> _Blocking[_P, _Value]:
    @sealed
    @wraps(method)
    def call(self: "SmsClient", /, *args: _P.args, **kwargs: _P.kwargs) -> _Value:
        client = self._with_open(*args, *kwargs.values())
        return self._call(lambda: method(client, *args, **kwargs), sends=method.__name__ in _SENDS)

    return call


def _stream(method: _Method[_P, _Stream[_Value]]) -> _Blocking[_P, _Items[_Value]]:
    @sealed
    @wraps(method)
    def call(self: "SmsClient", /, *args: _P.args, **kwargs: _P.kwargs) -> _Items[_Value]:
        client = self._with_open(*args, *kwargs.values())
        return self._items(lambda: method(client, *args, **kwargs))

    return call


class SmsClient(PortalClient[AsyncSmsClient]):
    """A client for threads: the parameters and methods of `AsyncSmsClient`, without ``await``.

    Create one client for the process. All threads share its login, its connections and the thread of its
    event loop, which starts at the first call. A forked process gets its own; fork while no other thread
    makes a call. The client closes at the end of the ``with`` block, or at the end of the process. A ledger
    that is not open is opened at its first use, and closes with the client. Use a stream as ``with
    sms.send_many(messages) as outcomes: ...``. The event loop of the client reads ``messages``, so pass a
    list if the iterable uses a database of Django. If Ctrl-C or a time limit interrupts a send, the send
    continues for up to five seconds. Its outcome is logged, and is added to the exception as a note.
    """

    @sealed
    def __init__(self, login: str, password: str, **options: Unpack[FurtherOptions]) -> None:
        super().__init__(lambda: AsyncSmsClient(login, password, **options))

    @classmethod
    @sealed
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """Create a client with settings from environment variables; see `AsyncSmsClient.from_env`."""
        self = cls.__new__(cls)
        super(SmsClient, self).__init__(lambda: AsyncSmsClient.from_env(**options))
        return self

    @property
    def stats(self) -> ClientStats:
        """What the client does now, and how its calls have ended."""
        return self._client.stats

    balance = _blocking(AsyncSmsClient.balance)
    send = _blocking(AsyncSmsClient.send)
    send_by_time_zone = _blocking(AsyncSmsClient.send_by_time_zone)
    send_bulk = _blocking(AsyncSmsClient.send_bulk)
    send_pending = _blocking(AsyncSmsClient.send_pending)
    state = _blocking(AsyncSmsClient.state)
    wait_delivered = _blocking(AsyncSmsClient.wait_delivered)
    incoming = _blocking(AsyncSmsClient.incoming)
    statistics = _blocking(AsyncSmsClient.statistics)
    send_many = _stream(AsyncSmsClient.send_many)
    track = _stream(AsyncSmsClient.track)
    watch_incoming = _stream(AsyncSmsClient.watch_incoming)

    def _with_open(self, *values: object) -> AsyncSmsClient:
        """Open the ledgers among the parameters of a call."""
        for ledger in values:
            if isinstance(ledger, Ledger):
                self.open(ledger)
        return self._client
