"""Shares refused logins between processes, so that each wrong password is tried once and not once a process.

A store keeps a mark of the refused credentials: another login or password may be tried at once. The mark is a
slow hash of 16 bits. A process recognises its own password, but nobody can find the password with the mark,
because 1 of 65,536 other passwords has the same mark.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio
from anyio import to_thread

from smsapi_async.deferred import Deferred
from smsapi_async.errors import RequestRejected
from smsapi_async.privacy import Secret
from smsapi_async.session import LoginRefusal, SessionStore

if TYPE_CHECKING:
    import hashlib
    import secrets
else:
    hashlib, secrets = Deferred("hashlib"), Deferred("secrets")

logger = logging.getLogger("smsapi_async")
# The longest time in seconds for one call of the store.
_STORE_SECONDS = 10.0
_ROUNDS, _MARK_BYTES, _SALT_BYTES = 100_000, 2, 8
OTHER: Final = "other"


class SharedRefusals:
    """Reads and writes the refused logins in the session store of the caller.

    Args:
        store: the session store. If it does not have the methods of `RefusalStore`, nothing is shared.
        credentials: the login and the password of this client.

    Attributes:
        are_shared: whether the store has the methods of `RefusalStore`.
    """

    def __init__(self, store: SessionStore, credentials: Secret) -> None:
        self._load = getattr(store, "load_refusal", None)
        self._save = getattr(store, "save_refusal", None)
        self._credentials = credentials
        self.are_shared = callable(self._load) and callable(self._save)
        # The last mark, and whether it is a mark of the credentials of this client.
        self._last_mark: tuple[str, bool] = ("", False)

    async def load(self) -> LoginRefusal | Literal["other"] | None:
        """Return the last refused login if it had the credentials of this client.

        Returns:
            The refused login. None if the store has no refused login. `OTHER` if the store failed, or if the
            last refused login had other credentials: then the store knows nothing about this client.
        """
        if not callable(self._load):
            return None
        done, refusal = await _guarded("read", self._load)
        if not done or not (refusal is None or isinstance(refusal, LoginRefusal)):
            return OTHER
        return refusal if refusal is None or await self._is_own(refusal.mark) else OTHER

    async def save(self, error: RequestRejected) -> bool:
        """Store a refused login. Return whether other processes can see it."""
        save = self._save
        if not callable(save):
            return False
        mark = await self._mark(secrets.token_hex(_SALT_BYTES))
        self._last_mark = (mark, True)
        done, _ = await _guarded("written", lambda: save(LoginRefusal(error, mark)))
        return done

    async def _is_own(self, mark: str) -> bool:
        if self._last_mark[0] != mark:
            salt = mark.partition(":")[0]
            self._last_mark = (mark, await self._mark(salt) == mark)
        return self._last_mark[1]

    @cached_property
    def _threads(self) -> anyio.CapacityLimiter:
        # A mark takes some 30 ms, so a thread makes the mark.
        return anyio.CapacityLimiter(1)

    async def _mark(self, salt: str) -> str:
        return await to_thread.run_sync(_mark_of, self._credentials, salt, limiter=self._threads)


def _mark_of(credentials: Secret, salt: str) -> str:
    digest = hashlib.pbkdf2_hmac(
        "sha256", credentials.reveal().encode(), salt.encode(), _ROUNDS, dklen=_MARK_BYTES
    )
    return f"{salt}:{digest.hex()}"


async def _guarded(action: str, call: Callable[[], Awaitable[Any]]) -> tuple[bool, Any]:
    """Call a method of the store. Return whether it returned in time, and its result."""
    problem = "it took too long"
    with anyio.move_on_after(_STORE_SECONDS):
        try:
            return True, await call()
        except Exception as error:  # noqa: BLE001 - the caller's store may raise any exception
            problem = type(error).__name__
    logger.warning("a refused login could not be %s in the session store (%s)", action, problem)
    return False, None
