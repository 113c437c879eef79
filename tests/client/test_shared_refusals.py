"""Tests of session stores that also store refused logins."""

from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import AsyncSmsClient, InvalidCredentials, MemorySessionStore, Session
from smsapi_async.calls import shared_refusals
from smsapi_async.sandbox import Sandbox
from smsapi_async.session import LoginRefusal
from tests.client.tools import ManualClock, client_for

pytestmark = pytest.mark.anyio
WRONG = "wrong-Passw0rd"


class RefusalMemory(MemorySessionStore):
    """A session store in memory that also stores a refused login.

    Attributes:
        refusal: the stored refusal, or None.
        fault: an exception that the methods for refusals raise, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Any = None
        self.fault: Exception | None = None

    async def save(self, session: Session) -> None:
        await super().save(session)
        self.refusal = None

    async def load_refusal(self) -> LoginRefusal | None:
        if self.fault is not None:
            raise self.fault
        refusal: LoginRefusal | None = self.refusal
        return refusal

    async def save_refusal(self, refusal: LoginRefusal) -> None:
        if self.fault is not None:
            raise self.fault
        self.refusal = refusal


def _client(sandbox: Sandbox, store: Any, password: str = WRONG, **options: Any) -> AsyncSmsClient:
    transport = httpx.ASGITransport(sandbox.app)
    return client_for(sandbox, transport=transport, session_store=store, password=password, **options)


async def _refused(sms: AsyncSmsClient) -> None:
    with pytest.raises(InvalidCredentials):
        await sms.balance()


async def test_one_refusal_for_several_clients() -> None:
    """Clients with one store try a wrong password once, and again when the store has no refusal any more."""
    sandbox, store = Sandbox(), RefusalMemory()
    async with _client(sandbox, store) as one, _client(sandbox, store) as two:
        for sms in (one, two, one):
            await _refused(sms)
        assert sandbox.account.logins == 1
        store.refusal = None
        for sms in (two, one):
            await _refused(sms)
        assert sandbox.account.logins == 2


async def test_the_stored_refusal_contains_no_password() -> None:
    """The mark of a refusal contains neither the password nor a hash that identifies the password."""
    sandbox, store = Sandbox(), RefusalMemory()
    async with _client(sandbox, store) as sms:
        await _refused(sms)
    salt, _, digest = store.refusal.mark.partition(":")
    assert len(salt) == 16
    assert len(digest) == 4
    assert WRONG not in repr(store.refusal)


@pytest.mark.parametrize("fault", [None, OSError("a secret")])
async def test_a_faulty_store_keeps_the_cool_down(fault: Exception | None, caplog: Any) -> None:
    """If the store fails or returns an object of a wrong type, each client keeps to its own cool-down."""
    sandbox, store, clock = Sandbox(), RefusalMemory(), ManualClock()
    store.fault = fault
    async with _client(sandbox, store, clock=clock) as sms:
        await _refused(sms)
        store.refusal = "nonsense"
        await _refused(sms)
        assert sandbox.account.logins == 1
        clock.advance(seconds=61)
        await _refused(sms)
    assert sandbox.account.logins == 2
    assert ("OSError" in caplog.text) is (fault is not None)
    assert "a secret" not in caplog.text


async def test_a_slow_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer delays a login by a limited time."""
    monkeypatch.setattr(shared_refusals, "_STORE_SECONDS", 0.01)

    class SlowStore(RefusalMemory):
        async def load_refusal(self) -> LoginRefusal | None:
            await anyio.sleep_forever()
            raise AssertionError

    sandbox = Sandbox()
    async with _client(sandbox, SlowStore(), sandbox.password) as sms:
        await sms.balance()
    assert sandbox.account.logins == 1


async def test_a_refusal_of_another_password() -> None:
    """A refusal of another password neither stops a client nor ends the client's own cool-down."""
    sandbox, store = Sandbox(), RefusalMemory()
    async with _client(sandbox, store) as one, _client(sandbox, store, "another wrong one") as two:
        for sms in (one, two, one, two):
            await _refused(sms)
        assert sandbox.account.logins == 2
        async with _client(sandbox, store, sandbox.password) as right:
            await right.balance()
        await one.balance()
        assert sandbox.account.logins == 3
