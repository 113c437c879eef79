"""Tests of the tables: their creation, their version, and what the command ``postgres init`` prints."""

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from smsapi_async.cli import main
from smsapi_async.errors import LedgerError, LedgerVersion, ValidationError
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.postgres import enqueue
from smsapi_async.postgres.schema import VERSION, create_tables
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import client_for
from tests.postgres.server import PASSWORD, Server
from tests.postgres.worker.tools import messages

pytestmark = pytest.mark.anyio
NAME = "empty_database"
VERSION_1 = Path(__file__).with_name("version_1.sql")
# What version 0.6.0 of the package passed to `smsapi.enqueue` for `messages(3)`.
OLD_PARAMETER = Path(__file__).with_name("version_1_parameter.json").read_text()


@pytest.fixture
def empty(server: Server) -> Iterator[str]:
    """Return the URL of a new database without tables."""
    server.rows(f"CREATE DATABASE {NAME}")
    yield server.dsn(database=NAME)
    server.rows(f"DROP DATABASE {NAME} WITH (FORCE)")


def test_the_command_creates_the_tables_once(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`postgres init` creates the tables, and a second call changes nothing."""
    for before in (None, VERSION):
        assert main(["postgres", "init", empty, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["version"], document["version_before"]) == (VERSION, before)
        assert PASSWORD not in document["database"]
    assert main(["postgres", "init", empty]) == 0
    assert "nothing was changed" in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_the_command_reads_the_dsn_from_the_environment(
    empty: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an argument, `postgres init` uses the variable SMSAPI_POSTGRES_DSN."""
    monkeypatch.setenv("SMSAPI_POSTGRES_DSN", empty)
    assert main(["postgres", "init"]) == 0
    assert f"the tables of version {VERSION} were created" in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_several_processes_may_create_the_tables(empty: str) -> None:
    """If several processes create the tables at the same time, one creates the tables, and nobody fails."""
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: create_tables(empty), range(4)))
    assert sorted(each.before for each in done) == [0, VERSION, VERSION, VERSION]


def test_another_encoding_is_refused(server: Server) -> None:
    """A database that cannot store each text is refused before the first message."""
    server.rows(f"CREATE DATABASE {NAME} ENCODING 'LATIN1' TEMPLATE template0")
    try:
        with pytest.raises(
            LedgerError, match="has the encoding LATIN1; use a database with the encoding UTF8"
        ):
            create_tables(server.dsn(database=NAME))
    finally:
        server.rows(f"DROP DATABASE {NAME} WITH (FORCE)")


async def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg, the error says which extra to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ledger = Ledger.postgres("postgresql://host/shop")
    with pytest.raises(LedgerError, match=r"run: pip install 'smsapi-async\[postgres\]'"):
        await ledger.__aenter__()


async def test_a_newer_version_is_refused(server: Server, empty: str) -> None:
    """The tables of a newer version are not changed and not used, and the error says what to do."""
    create_tables(empty)
    server.rows("UPDATE smsapi.properties SET version = version + 1", database=NAME)
    with pytest.raises(LedgerVersion, match="use the version of the package"):
        create_tables(empty)
    with pytest.raises(LedgerVersion, match="use the version of the package"):
        await Ledger.postgres(empty).__aenter__()
    assert server.rows("SELECT version FROM smsapi.properties", database=NAME) == [(VERSION + 1,)]


@pytest.fixture
def old(server: Server, empty: str) -> str:
    """Return the URL of a database with the tables of version 1, and with three pending messages."""
    for statement in VERSION_1.read_text(), "SELECT smsapi.enqueue($p$" + OLD_PARAMETER + "$p$)":
        server.rows(statement, database=NAME)
    return empty


@pytest.mark.parametrize("read_only", [False, True])
async def test_an_older_version_is_refused(old: str, read_only: bool) -> None:
    """Before the upgrade, a ledger and `enqueue` refuse the older tables, and name the command."""
    with pytest.raises(LedgerVersion, match="run: smsapi-async postgres init DSN"):
        await Ledger.postgres(old, read_only=read_only).__aenter__()
    with psycopg.connect(old, autocommit=True) as connection:
        with pytest.raises(LedgerVersion, match="run: smsapi-async postgres init DSN"):
            enqueue(connection, messages(1, first=7))
        assert connection.execute("SELECT count(*) FROM smsapi.messages").fetchone() == (3,)


async def test_an_older_version_is_changed(server: Server, old: str) -> None:
    """`postgres init` keeps all messages and rights. Web backends may still use the older package."""
    server.rows("CREATE ROLE old_web LOGIN", database=NAME)
    server.rows("GRANT USAGE ON SCHEMA smsapi TO old_web", database=NAME)
    server.rows("GRANT EXECUTE ON FUNCTION smsapi.enqueue(text) TO old_web", database=NAME)
    try:
        done = create_tables(old)
        assert (done.before, done.version) == (1, VERSION)
        assert create_tables(old).before == VERSION
        with psycopg.connect(server.dsn(user="old_web", database=NAME), autocommit=True) as connection:
            enqueue(connection, messages(5)[3:])
            connection.execute("SELECT smsapi.enqueue(%s)", [OLD_PARAMETER.replace("order ", "other ")])
            connection.execute("SELECT smsapi.enqueue(%s)", [OLD_PARAMETER])
            enqueue(connection, messages(1))
        async with run_sandbox() as sandbox, Ledger.postgres(old) as ledger, client_for(sandbox) as sms:
            assert await ledger.summary() == Summary(pending=8)
            assert await sms.send_pending(ledger, once=True) == Summary(accepted=8, segments=8)
            assert len(sandbox.account.messages) == 8
            records = await ledger.records([f"order {number}" for number in range(5)])
            assert [record.state for record in records if record is not None] == ["accepted"] * 5
    finally:
        server.rows("DROP OWNED BY old_web", database=NAME)
        server.rows("DROP ROLE old_web")


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_database_without_tables_is_refused(server: Server, empty: str, read_only: bool) -> None:
    """Opening a ledger creates no tables. The error names the command that creates the tables."""
    with pytest.raises(LedgerError, match="run: smsapi-async postgres init"):
        await Ledger.postgres(empty, read_only=read_only).__aenter__()
    server.rows("CREATE SCHEMA smsapi", database=NAME)
    with pytest.raises(LedgerError, match="a schema smsapi that this package did not create"):
        await Ledger.postgres(empty, read_only=read_only).__aenter__()
    with pytest.raises(LedgerError, match="a schema smsapi that this package did not create"):
        create_tables(empty)


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("postgresql://user:{}@127.0.0.1:1/shop", "no server listens at this address"),
        ("postgresql://user:{}@/shop?host=/nowhere", "no server listens at this address"),
        ("host=nohost.invalid password={} dbname=shop", "the name of the host is unknown"),
        # The part after the first `@` looks like the host.
        ("postgresql://user:a@{}!@nohost.invalid/shop", "the name of the host is unknown"),
    ],
)
async def test_a_server_that_cannot_be_reached(dsn: str, words: str) -> None:
    """Opening fails at once if there is no server. The error has a reason, and no password."""
    ledger = Ledger.postgres(dsn.format(PASSWORD))
    with pytest.raises(LedgerError, match=words) as caught:
        await ledger.__aenter__()
    assert PASSWORD not in f"{caught.value!r} {ledger!r}"
    assert caught.value.__context__ is None
    with pytest.raises(LedgerError, match="is not open"):
        await ledger.summary()


@pytest.mark.parametrize("dsn", ["", "  ", None, 5, f"host=a {PASSWORD}"])
async def test_what_is_no_dsn_is_refused(dsn: str) -> None:
    """A value that is no connection string is refused, and the error does not show the value."""
    with pytest.raises(ValidationError, match="pass a URL such as postgresql://") as caught:
        await Ledger.postgres(dsn).__aenter__()
    assert PASSWORD not in repr(caught.value)


@pytest.mark.parametrize("account", ["", "a\nb", None, 5])
def test_what_is_no_account_is_refused(account: str) -> None:
    """The name of an account is a text without control characters."""
    with pytest.raises(ValidationError, match="account"):
        Ledger.postgres("postgresql://host/x", account=account)


async def test_a_reader_needs_an_account(server: Server, account: str) -> None:
    """With ``read_only=True``, a missing account is an error and is not created."""
    for _ in range(2):
        with pytest.raises(LedgerError, match="there is no account"):
            await Ledger.postgres(server.dsn(), account=account, read_only=True).__aenter__()


async def test_an_account_is_not_redacted_afterwards(server: Server, account: str) -> None:
    """If an account was created without `redact`, opening it with ``redact=True`` raises `LedgerError`."""
    async with Ledger.postgres(server.dsn(), account=account):
        pass
    with pytest.raises(LedgerError, match="created without `redact`"):
        await Ledger.postgres(server.dsn(), account=account, redact=True).__aenter__()
