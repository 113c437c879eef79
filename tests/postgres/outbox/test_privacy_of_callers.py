"""Tests that no error and no log record of `enqueue` contains a number or a text."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from smsapi_async import LedgerError, Message
from smsapi_async.postgres import aenqueue, enqueue
from tests.postgres.outbox.callers import ASYNC_CALLERS, CALLERS
from tests.postgres.server import Server
from tests.postgres.test_privacy import NUMBER, TEXT, secrets_in

MESSAGE = Message(NUMBER, TEXT, key=NUMBER)
_OWN_ERROR = "ALTER TABLE smsapi.{} ADD CONSTRAINT refused CHECK (account_id < 0) NOT VALID"
_UNDO = "ALTER TABLE smsapi.{} DROP CONSTRAINT IF EXISTS refused"


@contextmanager
def refused_rows(server: Server) -> Iterator[None]:
    """Let PostgreSQL refuse each new message, with an error that quotes the row."""
    server.rows(_OWN_ERROR.format("messages"))
    yield
    server.rows(_UNDO.format("messages"))


@contextmanager
def missing_function(server: Server) -> Iterator[None]:
    """Let the function be missing. The error then quotes the statement with its parameter."""
    server.rows("ALTER FUNCTION smsapi.enqueue(text) RENAME TO other")
    yield
    server.rows("ALTER FUNCTION smsapi.other(text) RENAME TO enqueue")


@contextmanager
def quoted_parameters(server: Server) -> Iterator[None]:
    """Let the errors of PostgreSQL quote the parameters of statements, and let a statement fail."""
    server.rows("ALTER SYSTEM SET log_parameter_max_length_on_error = 1000")
    server.rows("SELECT pg_reload_conf()")
    with refused_rows(server):
        yield
    server.rows("ALTER SYSTEM RESET log_parameter_max_length_on_error")
    server.rows("SELECT pg_reload_conf()")


FAILURES: dict[str, tuple[Callable[[Server], Any], str]] = {
    "refused rows": (refused_rows, "PostgreSQL reports 23514"),
    "missing function": (missing_function, "run: smsapi-async postgres init"),
    "quoted parameters": (quoted_parameters, "PostgreSQL reports 23514"),
}


def words_of(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """Return all that a log, a traceback and a crash report show, with the local variables of all frames.

    The frames of this module and of pytest are left out.
    """
    assert error.__context__ is None
    assert error.__cause__ is None
    words = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    step = error.__traceback__
    while step is not None:
        if not step.tb_frame.f_globals.get("__name__", "").startswith(("tests", "_pytest")):
            words += repr(step.tb_frame.f_locals)
        step = step.tb_next
    return words + "".join(map(logging.Formatter().format, caplog.records))


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("library", CALLERS)
def test_errors_quote_nothing(
    library: str, failure: str, server: Server, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL quotes rows and parameters in its errors. No error and no log record contains them."""
    caplog.set_level(logging.DEBUG)
    fails, words = FAILURES[failure]
    with fails(server), CALLERS[library](server.dsn()) as caller:
        with pytest.raises(LedgerError, match=words) as caught:
            enqueue(caller.connection, [MESSAGE], account=account)
        caller.rollback()
    assert secrets_in(words_of(caught.value, caplog)) == []
    # The check can fail: the server really quotes the row.
    assert NUMBER in server.log() or failure == "missing function"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("library", ASYNC_CALLERS)
async def test_async_errors_quote_nothing(
    library: str, failure: str, server: Server, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL quotes rows and parameters in its errors. No error and no log record contains them."""
    caplog.set_level(logging.DEBUG)
    fails, words = FAILURES[failure]
    with fails(server):
        async with ASYNC_CALLERS[library](server.dsn()) as caller:
            with pytest.raises(LedgerError, match=words) as caught:
                await aenqueue(caller.connection, [MESSAGE], account=account)
            await caller.rollback()
    assert secrets_in(words_of(caught.value, caplog)) == []


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_the_log_of_sqlalchemy(
    driver: str, server: Server, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With ``echo=True``, SQLAlchemy logs statements with their parameters, but no number and no text."""
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    with CALLERS[f"Session over {driver}"](server.dsn()) as caller:
        enqueue(caller.connection, MESSAGE, account=account)
    log = "".join(map(logging.Formatter().format, caplog.records))
    assert "smsapi.enqueue" in log
    assert secrets_in(log.replace(server.dsn(), "")) == []


def test_the_log_of_django(
    server: Server, account: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``DEBUG``, Django keeps and logs statements with their parameters, but no number and no text."""
    with CALLERS["Django"](server.dsn()) as caller:
        monkeypatch.setattr(caller.connection, "force_debug_cursor", True)
        caplog.set_level(logging.DEBUG)
        caller.execute("SELECT 1")
        enqueue(caller.connection, MESSAGE, account=account)
        kept = repr(caller.connection.queries)
    log = "".join(map(logging.Formatter().format, caplog.records))
    assert "SELECT 1" in log
    assert secrets_in(log + kept) == []
