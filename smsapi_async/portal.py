"""The base of a client whose methods block: a thread with an event loop runs an async client."""

import asyncio
import atexit

# This module registers a function that takes a lock before a fork. The event loop may wait for the lock, so
# `_before_fork` must be called first. Python calls the function that was registered last first.
import concurrent.futures.thread as _registers_first  # noqa: F401
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar

import anyio
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import current_token

from smsapi_async.errors import ClientClosed, WrongEventLoop
from smsapi_async.eventloop import caller_from_threads
from smsapi_async.privacy import steady_repr
from smsapi_async.settings import checked_grace

_logger = logging.getLogger("smsapi_async")
_Value = TypeVar("_Value")
_END: Any = object()
# The time in seconds for which an interrupted send, and `close`, wait for the calls in progress.
_PATIENCE = 5.0


class CalledInEventLoop(WrongEventLoop):
    """A method of `SmsClient` was called in a thread that runs an event loop."""

    explanation = (
        "SmsClient would block the event loop of this thread; use AsyncSmsClient with `await`, or call"
        " SmsClient in another thread, for example with `anyio.to_thread.run_sync`"
    )


class AsyncClosable(Protocol):
    """A client with async methods."""

    async def __aenter__(self) -> object:
        """Import all modules that the calls need."""

    async def aclose(self, *, grace: float | timedelta = 0.0) -> None:
        """Close the client."""


_Client = TypeVar("_Client", bound=AsyncClosable)


class _PortalCall(Generic[_Value]):
    """A call of an async function from another thread.

    Attributes:
        outcome: the result or the exception of the function.
        ended: ends after the function, also if the function was cancelled.
    """

    def __init__(self, function: Callable[[], Awaitable[_Value]]) -> None:
        self._function = function
        self._scope: anyio.CancelScope | None = None
        self.outcome: Future[_Value] = Future()
        self.ended: Future[None] = Future()

    async def run(self) -> None:
        """Call the function. This method runs in the event loop."""
        try:
            with anyio.CancelScope() as self._scope:
                self.outcome.set_result(await self._function())
        except BaseException as error:
            self.outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise
        finally:
            if not self.outcome.done():
                self.outcome.cancel()
            self.ended.set_result(None)

    def cancel(self) -> None:
        """Cancel the function, if the function has not ended. This method runs in the event loop."""
        if self._scope is not None:
            self._scope.cancel()

    def report(self, interruption: BaseException) -> None:
        """Log the outcome, and add the outcome to the exception that interrupted the wait for the call."""
        outcome = "it is not known whether a message was sent"
        if self.outcome.done() and not self.outcome.cancelled():
            error = self.outcome.exception()
            outcome = "the call succeeded" if error is None else f"{type(error).__name__}: {error}"
        text = f"{type(interruption).__name__} interrupted a call that sends: {outcome}"
        _logger.warning(text)
        interruption.add_note(text)


@steady_repr
class PortalClient(Generic[_Client]):
    """A client for threads. A thread with an event loop of asyncio starts at the first call.

    Args:
        make: makes the async client. A forked process makes another client, because the connections of the
            first client belong to the event loop of the parent process.
    """

    def __init__(self, make: Callable[[], _Client]) -> None:
        self._make = make
        self._client = make()
        self._is_closed = False
        self._reset()
        _clients.add(self)

    def _reset(self) -> None:
        # A signal handler may close the client while its thread holds the lock.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._begun: Future[BlockingPortal] = Future()
        self._portal: BlockingPortal | None = None
        self._in_use: set[Future[None]] = set()
        self._entered: dict[object, Any] = {}
        self._exits = ExitStack()

    def _pause(self, resume: ExitStack) -> None:
        """Stop the event loop before a fork, at a place where its thread holds no lock.

        A forked process has no copy of the thread, so a lock of the thread would stay locked for ever in the
        forked process. While a thread imports a module, it holds a lock.
        """
        # If another thread starts or closes the client, the fork waits for the end.
        if not self._lock.acquire(timeout=_PATIENCE):
            return
        resume.callback(self._lock.release)
        if self._portal is not None and self._thread is not threading.current_thread():
            paused: Future[None] = Future()
            gate = threading.Lock()
            gate.acquire()
            resume.callback(gate.release)
            # If the event loop has ended, it raises a RuntimeError.
            with suppress(RuntimeError):
                self._call_soon(partial(_wait_at, gate, paused))
                wait([paused], _PATIENCE)

    def _forget(self) -> None:
        """Begin again in a forked process, without the event loop of the parent process."""
        _inherited.append(vars(self).copy())
        if self._thread is not None:
            self._client = self._make()
        self._reset()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._client!r}>"

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self) -> BlockingPortal:
        """Start the thread if it does not run, and return the portal to its event loop."""
        _check_thread()
        with self._lock:
            if self._is_closed:
                raise ClientClosed
            if self._portal is None:
                # If an interruption ended an earlier wait for the portal, the thread may still start.
                has_failed = self._begun.done() and self._begun.exception() is not None
                if self._thread is None or not self._thread.is_alive() or has_failed:
                    self._begun = Future()
                    # The thread is a daemon, so that a program can end that does not close the client.
                    self._thread = threading.Thread(
                        target=self._run_loop, name="smsapi-async loop", daemon=True
                    )
                    self._thread.start()
                self._portal = self._begun.result()
                atexit.register(self.close)
            return self._portal

    def _run_loop(self) -> None:
        try:
            anyio.run(self._serve)
        except BaseException as error:
            if not self._begun.done():
                self._begun.set_exception(error)
            # At the end of the process, Python 3.12.0 and 3.12.1 start no thread. asyncio would use a thread
            # to wait for the threads of its executor, which have ended already.
            elif threading.main_thread().is_alive():
                raise

    async def _serve(self) -> None:
        # A fork waits for the imports, because it waits for the start: see `_pause`.
        await self._client.__aenter__()
        async with BlockingPortal() as portal:
            self._call_soon = caller_from_threads()
            self._begun.set_result(portal)
            await portal.sleep_until_stopped()

    @contextmanager
    def _use(self, left: Future[None]) -> Iterator[BlockingPortal]:
        """Begin a use of the event loop, if the client is not closed. The use ends with the future `left`."""
        _check_thread()
        portal = self._portal or self._start()
        self._in_use.add(left)
        left.add_done_callback(self._in_use.discard)
        # `close` sets `_is_closed` before it reads `_in_use`, and waits for the futures that it reads.
        if self._is_closed:
            left.set_result(None)
            raise ClientClosed
        yield portal

    def call(self, function: Callable[[], Awaitable[_Value]]) -> _Value:
        """Call an async function in the event loop of the client, for example ``sms.call(ledger.summary)``.

        An interruption of the call has the same effect as for a send.
        """
        return self._call(function, sends=True)

    def _call(self, function: Callable[[], Awaitable[_Value]], *, sends: bool = False) -> _Value:
        call = _PortalCall(function)
        with self._use(call.ended) as portal:
            try:
                portal.start_task_soon(call.run)
                wait([call.outcome])
            except BaseException as interruption:
                try:
                    if sends:
                        wait([call.outcome], _PATIENCE)
                finally:
                    if sends:
                        call.report(interruption)
                    portal.start_task_soon(call.cancel)
                raise
        return call.outcome.result()

    @contextmanager
    def _items(
        self, make: Callable[[], AbstractAsyncContextManager[AsyncIterator[_Value]]]
    ) -> Iterator[Iterator[_Value]]:
        """Enter a stream in the event loop, and iterate over it in the calling thread."""
        left: Future[None] = Future()
        with self._use(left) as portal:
            try:
                with portal.wrap_async_context_manager(portal.call(make)) as stream:
                    step: Callable[[], Awaitable[_Value]] = partial(anext, stream, _END)
                    yield iter(lambda: self._call(step), _END)
            finally:
                left.set_result(None)

    def open(self, resource: AbstractAsyncContextManager[_Value]) -> _Value:
        """Open a ledger or a `Shared` in the event loop of the client, until the client closes.

        A second call with the same object returns the result of the first call.
        """
        if resource not in self._entered:
            with self._lock:
                portal = self._start()
                if resource not in self._entered:
                    entering = portal.wrap_async_context_manager(resource)
                    self._entered[resource] = self._exits.enter_context(entering)
                    # Python calls the functions of `atexit` in reverse order. The module of the ledger may
                    # have registered its own function meanwhile, which must not be called first.
                    atexit.register(self.close)
        value: _Value = self._entered[resource]
        return value

    def close(self, *, grace: float | timedelta = 0.0) -> None:
        """Close the client, then what it has opened. A second call does nothing.

        Args:
            grace: maximum time to wait for the requests in flight; see `AsyncSmsClient.aclose`.
        """
        end = partial(self._client.aclose, grace=checked_grace(grace))
        _check_thread()
        with self._lock:
            self._is_closed = True
            portal, self._portal = self._portal, None
            if portal is None or self._thread is None:
                return
            portal.call(end)
            # The calls in progress have ended in the event loop. Their threads leave their streams.
            wait([*self._in_use], _PATIENCE)
            self._exits.close()
            portal.start_task_soon(portal.stop, True)
            self._thread.join()
            atexit.unregister(self.close)


_clients: "weakref.WeakSet[PortalClient[Any]]" = weakref.WeakSet()
# A forked process keeps the event loops of its parent, because the end of an event loop would disturb the
# parent.
_inherited: list[object] = []
# For each thread that forks, the functions to call after the fork.
_forks: dict[int, ExitStack] = {}


def _before_fork() -> None:
    resume = _forks[threading.get_ident()] = ExitStack()
    for client in list(_clients):
        client._pause(resume)  # noqa: SLF001 - this function is a part of the class


def _after_fork() -> None:
    _forks.pop(threading.get_ident(), ExitStack()).close()


def _begin_again() -> None:
    _after_fork()
    for client in list(_clients):
        client._forget()  # noqa: SLF001 - this function is a part of the class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_begin_again)


def _wait_at(gate: threading.Lock, paused: Future[None]) -> None:
    paused.set_result(None)
    with gate:
        pass


def _check_thread() -> None:
    # In a callback of asyncio, which no task runs, `current_token` finds no event loop.
    for find in (asyncio.get_running_loop, current_token):
        try:
            find()
        except RuntimeError:
            continue
        raise CalledInEventLoop
