"""Tests of the role for web applications: the role may enqueue messages, and do nothing else."""

import json
import re
import secrets
from collections.abc import Iterator

import psycopg
import pytest

from smsapi_async import LedgerError, ValidationError
from smsapi_async.cli import main
from smsapi_async.postgres import enqueue
from smsapi_async.postgres.schema import create_tables
from tests.ledger.tools import message
from tests.postgres.outbox.callers import CALLERS, keys
from tests.postgres.server import Server

ATTEMPTS = ("SELECT FROM {}", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "DROP TABLE {}")


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """Return the name of a role that does not exist. The name must be quoted."""
    name = f"Web {secrets.token_hex(4)}"
    yield name
    if server.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", name):
        server.rows(f'DROP OWNED BY "{name}"')
        server.rows(f'DROP ROLE "{name}"')


def dsn_of(server: Server, role: str) -> str:
    """Return the URL of the database for a role."""
    return server.dsn(user=role.replace(" ", "%20"))


def test_the_role_may_only_enqueue(server: Server, role: str, account: str) -> None:
    """The role can enqueue messages, and can read no message, no session and no other table."""
    create_tables(server.dsn(), web_role=role)
    with CALLERS["psycopg"](dsn_of(server, role)) as caller:
        enqueue(caller.connection, message(), account=account)
        caller.commit()
        assert len(keys(server, account)) == 1
        rows = server.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'smsapi'")
        tables = [row[0] for row in rows]
        assert {"sessions", "messages", "contents", "requests"} <= {*tables}
        for table in tables:
            for statement in ATTEMPTS:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    caller.execute(statement.format(f"smsapi.{table}"))
                caller.rollback()
        for sequence in ("messages_id_seq", "requests_id_seq"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                caller.execute(f"SELECT nextval('smsapi.{sequence}')")
            caller.rollback()


def test_other_roles_may_not_enqueue(server: Server, role: str, account: str) -> None:
    """A role without the right cannot enqueue. The error names the command that grants the right."""
    server.rows(f'CREATE ROLE "{role}" LOGIN')
    with CALLERS["psycopg"](dsn_of(server, role)) as caller:
        with pytest.raises(LedgerError, match="init DSN --web-role ROLE"):
            enqueue(caller.connection, message(), account=account)
        caller.rollback()
        create_tables(server.dsn(), web_role=role)
        enqueue(caller.connection, message(), account=account)
        caller.commit()
    assert len(keys(server, account)) == 1


def test_a_search_path_changes_nothing(server: Server, role: str, account: str) -> None:
    """Functions and tables that the role itself creates are not used with the rights of the owner."""
    create_tables(server.dsn(), web_role=role)
    with CALLERS["psycopg"](dsn_of(server, role)) as caller:
        caller.execute("CREATE TEMP TABLE accounts (id int, name text, redacted boolean)")
        for function, deletion in (
            ("json_array_length(json) RETURNS int", "DELETE FROM smsapi.messages RETURNING 1"),
            ("starts_with(text, text) RETURNS bool", "DELETE FROM smsapi.messages RETURNING true"),
        ):
            caller.execute(f"CREATE FUNCTION pg_temp.{function} LANGUAGE sql AS '{deletion}'")
        caller.execute("SET search_path = pg_temp, pg_catalog")
        enqueue(caller.connection, message(), account=account)
        enqueue(caller.connection, [message(1), message(2)], account=account)
        caller.commit()
    assert len(keys(server, account)) == 3


def test_the_command(server: Server, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`postgres init --web-role` creates the role if it is missing, and can be repeated."""
    for is_new in (True, False):
        assert main(["postgres", "init", server.dsn(), "--web-role", role, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["web_role"], document["web_role_created"]) == (role, is_new)
    assert main(["postgres", "init", server.dsn(), "--web-role", role]) == 0
    assert f"the role {role} may enqueue messages" in re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.mark.parametrize("name", ["", "public", "none", "pg_monitor", "a\0", "a\n", "a" * 64, 5])
def test_what_is_no_role(server: Server, name: str) -> None:
    """A name that means all roles, or that cannot be a role, is refused."""
    with pytest.raises(ValidationError, match="web_role"):
        create_tables(server.dsn(), web_role=name)
