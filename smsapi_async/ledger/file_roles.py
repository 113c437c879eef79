"""Roles in a ledger that only one process uses. They exclude the other tasks of the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from smsapi_async.errors import LedgerInUse, ValidationError
from smsapi_async.privacy import mask_word


def checked_role(name: object) -> str:
    """Check the name of a role.

    Raises:
        ValidationError: if the name is not a `str`, is empty, or contains control characters.
    """
    if type(name) is not str or not name or not name.isprintable():
        raise ValidationError("name", mask_word(name), "pass a name without control characters")
    return name


class FileRoles:
    """The roles of a ledger in a file."""

    def __init__(self) -> None:
        self._semaphores: dict[str, anyio.Semaphore] = {}

    @asynccontextmanager
    async def held(self, name: str, timeout: float | None) -> AsyncIterator[None]:  # noqa: ASYNC109
        """Hold a role during the block.

        Raises:
            LedgerInUse: if another task holds the role for longer than the timeout.
        """
        semaphore = self._semaphores.setdefault(name, anyio.Semaphore(1))
        with anyio.move_on_after(timeout) as scope:
            await semaphore.acquire()
        if scope.cancelled_caught:
            raise LedgerInUse(f"the role {name!r} is held by another task")
        try:
            yield
        finally:
            semaphore.release()
