"""Makes an async context manager usable in a plain `with` statement, too."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from smsapi_async.sandbox.gate import Signal

_Parameters = ParamSpec("_Parameters")
_Value = TypeVar("_Value")


class EitherContext(Generic[_Value]):
    """A context manager for `async with`, on asyncio and trio, and for `with`, also without an event loop.

    In a `with` statement, the asynchronous work runs in an event loop in another thread.

    Args:
        make: a function that returns a new async generator, which yields once.
    """

    def __init__(self, make: Callable[[], AsyncIterator[_Value]]) -> None:
        self._manager = asynccontextmanager(make)()
        self._began: Future[_Value] = Future()
        self._ended: Future[None] = Future()
        self._stop = Signal()
        self._thread = threading.Thread(target=self._run, name="smsapi-with", daemon=True)

    async def __aenter__(self) -> _Value:
        return await self._manager.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, trace)

    def __enter__(self) -> _Value:
        if self._thread.ident is not None:
            raise RuntimeError("the context manager was used before; make a new one for each block")
        # A thread that is no daemon would keep a program alive that never leaves the block, for example an
        # interactive session.
        self._thread.start()
        return self._began.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._ended.result()

    def _run(self) -> None:
        try:
            asyncio.run(self._hold())
        except BaseException as error:  # noqa: BLE001 - the thread of the `with` statement raises the error
            (self._ended if self._began.done() else self._began).set_exception(error)
        else:
            self._ended.set_result(None)

    async def _hold(self) -> None:
        async with self._manager as value:
            self._began.set_result(value)
            await self._stop.wait()


def either_context(
    function: Callable[_Parameters, AsyncIterator[_Value]],
) -> Callable[_Parameters, EitherContext[_Value]]:
    """Decorate an async generator function like `asynccontextmanager`, for `async with` and for `with`."""

    @wraps(function)
    def make(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> EitherContext[_Value]:
        return EitherContext(lambda: function(*args, **kwargs))

    return make
