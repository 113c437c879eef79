"""The ledgers that the commands use: a file, or a PostgreSQL database."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import overload
from urllib.parse import unquote

import anyio

from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.postgres.postgres_ledger import AccountMissing
from smsapi_async.postgres.address import is_database

_ACCOUNT = "account="


def ledger_at(place: str, *, redact: bool = False, read_only: bool = False) -> Ledger:
    """Return the ledger at a place. Open the ledger with ``async with``.

    Args:
        place: the path of a file, or the URL of a PostgreSQL database. In the URL, the parameter ``account``
            is the name of the account in the tables; by default ``main``.
        redact: see `Ledger.sqlite`.
        read_only: see `Ledger.sqlite`.
    """
    if not is_database(place):
        return Ledger.sqlite(place, redact=redact, read_only=read_only)
    dsn, account = split_account(place, None)
    return Ledger.postgres(dsn, account=account, redact=redact, read_only=read_only)


@asynccontextmanager
async def existing_ledger(place: str) -> AsyncIterator[Ledger]:
    """Open a ledger for writing, in a block. A file or an account that does not exist is not created.

    Args:
        place: the path of a file, or the URL of a PostgreSQL database, as for `ledger_at`.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the account does not exist, or the ledger cannot be written.
    """
    check_ledger_exists(place)
    if is_database(place):
        async with ledger_at(place, read_only=True):
            pass
    async with ledger_at(place) as ledger:
        yield ledger


async def opened_if_exists(place: str, stack: AsyncExitStack, *, redact: bool) -> Ledger | None:
    """Open a ledger for reading only. Return None if there is no such file or account.

    Raises:
        LedgerError: if the ledger cannot be read.
    """
    if not is_database(place) and not await anyio.Path(place).exists():
        return None
    try:
        return await stack.enter_async_context(ledger_at(place, redact=redact, read_only=True))
    except AccountMissing:
        return None


def check_ledger_exists(place: str) -> None:
    """Check that the file of a ledger exists. If the file is missing, `Ledger` would create an empty ledger.

    Args:
        place: the path of the file, or the URL of a PostgreSQL database, which is not checked here.

    Raises:
        ValidationError: if the ledger file does not exist.
    """
    if not is_database(place) and not os.path.exists(place):
        raise ValidationError("LEDGER", repr(place), "pass the file that `batch --ledger` wrote")


def check_is_file(place: str) -> None:
    """Check that a ledger is in a file.

    Raises:
        ValidationError: if the ledger is in a PostgreSQL database.
    """
    if is_database(place):
        raise ValidationError("LEDGER", "a PostgreSQL database", "pass the file of a ledger")


def files_of_ledger(place: str | None) -> list[str | None]:
    """Return the paths of all files of a ledger; no paths if the ledger is in a PostgreSQL database."""
    if place is None or is_database(place):
        return []
    return [f"{place}{ending}" for ending in ("", "-wal", "-shm", "-lock")]


@overload
def split_account(url: str, account: str | None) -> tuple[str, str]: ...
@overload
def split_account(url: str, account: str | None, *, default: None) -> tuple[str, str | None]: ...
def split_account(url: str, account: str | None, *, default: str | None = "main") -> tuple[str, str | None]:
    """Return a URL without the parameter ``account``, which libpq does not know, and the name of the account.

    Args:
        url: the URL of a database.
        account: the value of the option ``--account``, which has priority over the URL, or None.
        default: the name if neither contains an account.
    """
    head, _, query = url.partition("?")
    parts = query.split("&") if query else []
    names = [unquote(part.removeprefix(_ACCOUNT)) for part in parts if part.startswith(_ACCOUNT)]
    rest = "&".join(part for part in parts if not part.startswith(_ACCOUNT))
    name = account if account is not None else names[-1] if names else default
    return f"{head}?{rest}" if rest else head, name
