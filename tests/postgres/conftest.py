"""Fixtures with a PostgreSQL server, and with a new account for each test."""

import secrets
from functools import partial

import pytest

from smsapi_async.ledger import Ledger
from tests.ledger.tools import Place
from tests.postgres.server import Server, shared_server, skip_without_server


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skip the tests of this folder if the server or the driver is not installed."""
    skip_without_server()


@pytest.fixture
def server() -> Server:
    """Return the server of this process. A test may stop the server if it starts the server again."""
    skip_without_server()
    return shared_server()


@pytest.fixture
def account() -> str:
    """Return the name of a new account."""
    return secrets.token_hex(8)


@pytest.fixture
def place(server: Server, account: str) -> Place:
    """Return the place of a ledger in the new account."""
    return partial(Ledger.postgres, server.dsn(), account=account)
