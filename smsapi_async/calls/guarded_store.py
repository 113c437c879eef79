"""Uses the session store of the caller. A fault of the store never becomes an error of a call."""

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

import anyio
import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.session import Session, SessionStore

logger = logging.getLogger("smsapi_async")
# The longest time in seconds for one call of `load` or `save`, and for the release of the lock.
_STORE_SECONDS = 10.0
# The longest time in seconds to wait for the lock of the store.
_LOCK_SECONDS = 60.0
_Value = TypeVar("_Value")


class GuardedStore:
    """Uses a session store, and logs a warning if the store fails.

    Args:
        store: the session store of the caller, with or without a lock.

    Attributes:
        has_lock: whether the store has a lock, so that several processes log in only once.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        lock = getattr(store, "login_lock", None)
        self._lock: Callable[[], AbstractAsyncContextManager[object]] | None
        self._lock = lock if callable(lock) else None
        self.has_lock = self._lock is not None

    async def load(self) -> Session | None:
        """Return the stored session; None if the store has no session or fails."""
        problem = "load took too long"
        with anyio.move_on_after(_STORE_SECONDS):
            try:
                session: object = await self._store.load()
                if session is None or isinstance(session, Session):
                    # A store can make a `Session` without its constructor, for example with `pickle`.
                    return None if session is None else _validated(session)
                problem = f"load returned an object of the type {type(session).__name__}, not a Session"
            except Exception as error:  # noqa: BLE001 - the caller's store may raise any exception
                problem = _name(error)
        logger.warning("the session store could not be read (%s)", problem)
        return None

    async def save(self, session: Session) -> None:
        """Save a session. The session is valid even if the store fails."""
        problem = "save took too long"
        with anyio.move_on_after(_STORE_SECONDS):
            try:
                await self._store.save(session)
            except Exception as error:  # noqa: BLE001 - the caller's store may raise any exception
                problem = _name(error)
            else:
                return
        logger.warning("the session store could not be written (%s)", problem)

    async def locked(self, work: Callable[[], Awaitable[_Value]]) -> _Value:
        """Do the work while this client holds the lock of the store, and return the result.

        If the store has no lock, or if the lock fails, the work is done without the lock.
        """
        if self._lock is None:
            return await work()
        done = _Work(work)
        with anyio.move_on_after(_LOCK_SECONDS) as limit:
            try:
                async with self._lock():
                    limit.deadline = math.inf
                    await done.run()
                    limit.deadline = anyio.current_time() + _STORE_SECONDS
            except Exception as error:  # noqa: BLE001 - the caller's lock may raise any exception
                logger.warning("the lock of the session store failed (%s)", _name(error))
        if limit.cancelled_caught:
            logger.warning("the lock of the session store took too long")
        if not done.has_ended:
            await done.run()
        return done.result()


class _Work(Generic[_Value]):
    """Keeps the result or the exception of a function, so that no exception passes through a lock."""

    def __init__(self, work: Callable[[], Awaitable[_Value]]) -> None:
        self._work = work
        self._results: list[_Value] = []
        self._error: Exception | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the function returned or raised an exception."""
        return self._error is not None or bool(self._results)

    async def run(self) -> None:
        """Call the function."""
        try:
            self._results.append(await self._work())
        except Exception as error:  # noqa: BLE001 - `result` raises the exception
            self._error = error

    def result(self) -> _Value:
        """Return the result of the function, or raise the exception of the function."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def _validated(session: Session) -> Session:
    attrs.validate(session)
    return session


def _name(error: Exception) -> str:
    """Return the type of an exception. The text of an exception may contain the session id."""
    # The text of a `ValidationError` of this package contains no secret.
    return str(error) if type(error) is ValidationError else type(error).__name__
