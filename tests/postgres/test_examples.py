"""The programs of many machines, parts of which the README shows."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smsapi_async.postgres.schema import create_tables
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.postgres.server import Server

EXAMPLES = Path(__file__).parents[1] / "examples" / "machines"
ROOT = Path(__file__).parents[2]
DATABASE = "examples"

_WITH_SQLALCHEMY = """
import asyncio, os
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from tests.examples.machines.shop import Base, Order, ship

async def main():
    url = make_url(os.environ["SMSAPI_POSTGRES_DSN"]).set(drivername="postgresql+psycopg")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await ship(engine, Order(phone="79031234567"))
    await engine.dispose()

asyncio.run(main())
"""
_WITH_DJANGO = """
import os, types
import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

given = conninfo_to_dict(os.environ["SMSAPI_POSTGRES_DSN"])
database = {"ENGINE": "django.db.backends.postgresql", "NAME": given["dbname"], "HOST": given["host"]}
settings.configure(DATABASES={"default": {**database, "USER": given["user"]}})
django.setup()
from tests.examples.machines.django_shop import ship

ship(types.SimpleNamespace(phone="79161234567", pk=1, save=lambda: None))
"""


@pytest.fixture
def environment(server: Server) -> Iterator[dict[str, str]]:
    """Create a database with the tables, and return the variables of a program that uses the database."""
    server.rows(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    server.rows(f"CREATE DATABASE {DATABASE}")
    dsn = server.dsn(database=DATABASE)
    create_tables(dsn)
    yield {**os.environ, "SMSAPI_POSTGRES_DSN": dsn, "SMSAPI_SOURCE_ADDRESS": "Shop"}
    server.rows(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def _of(sandbox: Sandbox, environment: dict[str, str]) -> dict[str, str]:
    account = {"SMSAPI_LOGIN": sandbox.login, "SMSAPI_PASSWORD": sandbox.password}
    return {**environment, **account, "SMSAPI_BASE_URL": sandbox.base_url}


@contextmanager
def _running(name: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("backend", "number"), [(_WITH_SQLALCHEMY, "79031234567"), (_WITH_DJANGO, "79161234567")]
)
def test_an_order_is_enqueued_sent_and_followed(
    backend: str, number: str, environment: dict[str, str]
) -> None:
    """A web backend enqueues a message, the worker sends it once, and the follower sees its delivery."""
    subprocess.run([sys.executable, "-c", backend], env=environment, cwd=ROOT, check=True)
    with run_sandbox(speed=20) as sandbox, _running("worker", _of(sandbox, environment)):
        sent = sandbox.wait_for_message(number, "Your order has shipped", timeout=30)
        assert sent.source_address == "Shop"
        with _running("follow", _of(sandbox, environment)) as follower:
            assert follower.stdout is not None
            phases = {"enroute"}
            started = time.monotonic()
            while "delivered" not in phases and time.monotonic() - started < 30:
                phases.add(follower.stdout.readline().strip())
        assert phases <= {"enroute", "delivered"}
        assert len(sandbox.account.messages) == 1
