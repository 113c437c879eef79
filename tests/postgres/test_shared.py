"""Tests of `Shared`: its life, its errors, and what it shows."""

import logging
from typing import Any

import pytest

from smsapi_async import AsyncSmsClient, LedgerError, LedgerUnwritable, ValidationError
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.postgres import Shared
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import NUMBER, TEXT, until
from tests.ledger.tools import keyed
from tests.postgres.server import PASSWORD, Server

pytestmark = pytest.mark.anyio


async def test_ledger_session_and_pace(
    server: Server, account: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client from the environment uses the ledger, the session and the pace, and logs nothing private."""
    caplog.set_level(logging.DEBUG)
    async with run_sandbox() as sandbox:
        for name, value in (
            ("LOGIN", sandbox.login), ("PASSWORD", sandbox.password),
            ("BASE_URL", sandbox.base_url), ("SOURCE_ADDRESS", "Shop"),
        ):  # fmt: skip
            monkeypatch.setenv(f"SMSAPI_{name}", value)
        for _ in range(2):
            async with (
                Shared.postgres(server.dsn(), account=account) as shared,
                AsyncSmsClient.from_env(
                    session_store=shared.sessions, pace=shared.pace(per_second=50)
                ) as sms,
            ):
                receipt = await sms.send(NUMBER, TEXT, ledger=shared.ledger)
                assert await shared.ledger.summary() == Summary(accepted=1, segments=1)
        assert sandbox.account.logins == len(sandbox.account.messages) == 1
        session = await _session_of(server, account)
    for secret in (PASSWORD, sandbox.password, session, NUMBER, TEXT, receipt.segment_ids[0]):
        assert secret not in caplog.text


async def _session_of(server: Server, account: str) -> str:
    async with Shared.postgres(server.dsn(), account) as shared:
        session = await shared.sessions.load()
    assert session is not None
    return str(session.session_id.reveal())


async def test_all_connections_are_closed(server: Server, account: str) -> None:
    """After the block, the server has no connection of the object any more, and `aclose` does nothing."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    shared = Shared.postgres(f"{server.dsn()}&application_name={account}", account)
    async with shared, shared.sessions.login_lock():
        await shared.sessions.load()
        await shared.pace(50).wait()
        await shared.ledger.summary()
        assert server.rows(query, account)[0][0] >= 3
    await shared.aclose()
    # The server notices the end of a connection a little later.
    await until(lambda: not server.rows(query, account)[0][0])


async def test_opened_again(server: Server, account: str) -> None:
    """A closed object can be opened again, and an open object cannot be opened twice."""
    shared = Shared.postgres(server.dsn(), account)
    for _ in range(2):
        async with shared:
            with pytest.raises(LedgerError, match="open already"):
                await shared.__aenter__()
            await shared.ledger.record_pending(keyed(shared.ledger, 3))
    for use in (shared.ledger.summary(), shared.sessions.load()):
        with pytest.raises(LedgerError, match="use `async with"):
            await use


async def test_two_accounts(server: Server, account: str) -> None:
    """Each account has a ledger of its own, and the ledger is that of `Ledger.postgres`."""
    async with (
        Shared.postgres(server.dsn(), account) as one,
        Shared.postgres(server.dsn(), f"{account}2") as two,
    ):
        await one.ledger.record_pending(keyed(one.ledger, 3))
        assert await two.ledger.summary() == Summary()
        async with Ledger.postgres(server.dsn(), account=account) as ledger:
            assert await ledger.summary() == Summary(pending=3)


async def test_redacted(server: Server, account: str) -> None:
    """With `redact`, the ledger of the object stores no phone numbers and texts."""
    async with Shared.postgres(server.dsn(), account, redact=True) as shared:
        await shared.ledger.record_pending(keyed(shared.ledger, 1))
    assert keyed(shared.ledger, 1)[0][1].destination_address not in server.content_of(account)


async def test_the_server_is_away(server: Server, account: str) -> None:
    """If the server is away, opening raises an error without the password; later the object can be opened."""
    shared = Shared.postgres(server.dsn(), account)
    with server.away(), pytest.raises(LedgerUnwritable, match="no server listens") as caught:
        await shared.__aenter__()
    assert PASSWORD not in str(caught.value)
    async with shared:
        assert await shared.sessions.load() is None


@pytest.mark.parametrize(
    ("dsn", "options", "parameter"),
    [
        (f"nonsense {PASSWORD}", {}, "dsn"),
        ("", {}, "dsn"),
        (5, {}, "dsn"),
        ("postgresql://h/d", {"account": ""}, "account"),
        ("postgresql://h/d", {"account": 5}, "account"),
    ],
)
async def test_bad_input(dsn: Any, options: Any, parameter: str) -> None:
    """A wrong address or name raises `ValidationError` with the name of the parameter, before any request."""
    pytest.importorskip("psycopg")
    with pytest.raises(ValidationError, match=f"^{parameter}: ") as caught:
        await Shared.postgres(dsn, **options).__aenter__()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("is_open", [False, True])
async def test_the_repr(server: Server, account: str, is_open: bool) -> None:
    """The repr shows the account and whether the object is open, and never the password."""
    shared = Shared.postgres(server.dsn(), account)
    if is_open:
        await shared.__aenter__()
    shown = [repr(each) for each in (shared, shared.sessions, shared.pace(5), shared.ledger)]
    await shared.aclose()
    assert PASSWORD not in "".join(shown)
    assert all(account in each for each in shown)
    assert ("open>" in shown[0]) is is_open
