"""Tests of session stores: shared, rounding, locking and faulty stores."""

import json
import logging
import math
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import (
    AsyncSmsClient,
    MemorySessionStore,
    Secret,
    Session,
    SessionStore,
    Unauthorized,
    ValidationError,
)
from smsapi_async.calls import guarded_store
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for, until

pytestmark = pytest.mark.anyio
ID = "Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _in_process(sandbox: Sandbox, store: Any, **options: Any) -> AsyncSmsClient:
    return client_for(sandbox, transport=httpx.ASGITransport(sandbox.app), session_store=store, **options)


class _RoundingStore(MemorySessionStore):
    """Drops the fractions of a second, as a database may do, and returns the first session for good."""

    async def save(self, session: Session) -> None:
        if await self.load() is None:
            await super().save(Session(session.session_id, session.obtained_at.replace(microsecond=0)))


class _StoreOfDeadSessions(MemorySessionStore):
    """Returns another session at each call of `load`. The gateway knows none of the sessions.

    Attributes:
        loads: the number of calls of `load`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0

    async def load(self) -> Session | None:
        self.loads += 1
        return Session(Secret(f"{self.loads:036}"), datetime.now(UTC))


class _LockedStore(MemorySessionStore):
    """A session store with a lock for clients of one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = anyio.Lock()

    def login_lock(self) -> AbstractAsyncContextManager[object]:
        return self.lock


class _LockedStoreOfDeadSessions(_StoreOfDeadSessions):
    """A store of dead sessions with a lock."""

    def login_lock(self) -> AbstractAsyncContextManager[object]:
        return anyio.Lock()


async def _start_together(sandbox: Sandbox, *clients: AsyncSmsClient) -> None:
    """Make the first call of each client at the same time."""
    with sandbox.hold("User/SessionId") as gate:
        async with anyio.create_task_group() as group:
            for client in clients:
                group.start_soon(client.balance)
            await gate.arrived()
            await anyio.wait_all_tasks_blocked()
            gate.release()


@pytest.mark.parametrize("code", [3, 4])
async def test_workers_with_different_sessions_recover(code: Any) -> None:
    """If two workers started at once with different sessions and both sessions end, no send fails.

    A send tries the session in the store once. Then the client logs in.
    """
    sandbox, store = Sandbox(expired_session_code=code), MemorySessionStore()
    async with _in_process(sandbox, store) as one, _in_process(sandbox, store) as two:
        await _start_together(sandbox, one, two)
        assert sandbox.account.logins == 2
        sandbox.expire_sessions()
        for sms in (one, two, one, two):
            await sms.send(NUMBER, TEXT)
    assert sandbox.account.logins == 3
    assert len(sandbox.account.messages) == 4


async def test_many_sends_of_workers_with_different_sessions_recover() -> None:
    """If the sessions of two workers end during 200 sends, all sends succeed with one or two more logins."""
    sandbox, store = Sandbox(), MemorySessionStore()
    async with _in_process(sandbox, store) as one, _in_process(sandbox, store) as two:
        await _start_together(sandbox, one, two)
        sandbox.expire_sessions()
        async with anyio.create_task_group() as group:
            for sms in (one, two) * 100:
                group.start_soon(sms.send, NUMBER, TEXT)
    assert sandbox.account.logins in {3, 4}
    assert len(sandbox.account.messages) == 200


async def test_a_store_that_rounds_the_time_does_not_return_a_refused_session() -> None:
    """If the store rounds the time of a session, a session that the gateway refused is not used again."""
    sandbox, store = Sandbox(), _RoundingStore()
    async with _in_process(sandbox, store) as sms:
        for logins in (1, 2, 3):
            await sms.send(NUMBER, TEXT)
            assert sandbox.account.logins == logins
            sandbox.expire_sessions()
    assert len(sandbox.account.messages) == 3


@pytest.mark.parametrize(("kind", "tries"), [(_StoreOfDeadSessions, 1), (_LockedStoreOfDeadSessions, 2)])
async def test_a_dead_session_in_the_store_is_tried_once(
    kind: type[_StoreOfDeadSessions], tries: int
) -> None:
    """If the store contains only sessions that the gateway refuses, a send logs in and succeeds.

    A store with a lock is read once more under the lock, because another process may have logged in.
    """
    sandbox, store = Sandbox(), kind()
    async with _in_process(sandbox, store) as sms:
        await sms.send(NUMBER, TEXT)
        assert (sandbox.account.logins, sandbox.account.count("Sms/Send")) == (1, tries + 1)
        sandbox.expire_sessions()
        await sms.send(NUMBER, TEXT)
        assert (sandbox.account.logins, sandbox.account.count("Sms/Send")) == (2, 2 * tries + 3)
    assert len(sandbox.account.messages) == 2


async def test_dead_sessions_and_refused_logins_end_in_an_error() -> None:
    """If the gateway refuses the stored session and each new session, a send raises `Unauthorized`."""
    sandbox = Sandbox()
    sandbox.refuse_next("Sms/Send", 4, desc="SessionID expired", times=100)
    async with _in_process(sandbox, _StoreOfDeadSessions()) as sms:
        for _ in range(5):
            with pytest.raises(Unauthorized):
                await sms.send(NUMBER, TEXT)
    assert (sandbox.account.logins, sandbox.account.count("Sms/Send")) == (1, 2)


async def test_a_lock_makes_clients_log_in_once() -> None:
    """If the session store has a lock, clients that start or renew at the same time share one login."""
    sandbox, store = Sandbox(), _LockedStore()
    async with (
        _in_process(sandbox, store) as one,
        _in_process(sandbox, store) as two,
        _in_process(sandbox, store) as three,
    ):
        for logins in (1, 2):
            await _start_together(sandbox, one, two, three)
            assert sandbox.account.logins == logins
            sandbox.expire_sessions()
    assert not store.lock.locked()


_PROCESS = """
import json, os, sys
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
import anyio
from smsapi_async import AsyncSmsClient, Secret, Session

class FileStore:
    def __init__(self, folder):
        self.file, self.lock, self.folder = folder / "session", folder / "lock", folder
    async def load(self):
        if not self.file.exists():
            return None
        session_id, at = json.loads(self.file.read_text())
        return Session(Secret(session_id), datetime.fromisoformat(at))
    async def save(self, session):
        self.file.write_text(json.dumps([session.session_id.reveal(), session.obtained_at.isoformat()]))
    @asynccontextmanager
    async def login_lock(self):
        (self.folder / f"waits-{os.getpid()}").touch()
        while True:
            try:
                os.close(os.open(self.lock, os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                await anyio.sleep(0.01)
        try:
            yield
        finally:
            self.lock.unlink()

async def main():
    store = FileStore(Path(sys.argv[3]))
    login, password, url = json.loads(sys.argv[1])
    async with AsyncSmsClient(login, password, base_url=url, session_store=store) as sms:
        await sms.balance()

anyio.run(main, backend=sys.argv[2])
"""


async def test_processes_with_a_lock_log_in_once(
    sandbox: Sandbox, anyio_backend: tuple[str, Any], tmp_path: Path
) -> None:
    """Three processes that start together and share a store with a lock make one login."""
    account = json.dumps([sandbox.login, sandbox.password, sandbox.base_url])
    command = [sys.executable, "-c", _PROCESS, account, anyio_backend[0], str(tmp_path)]
    with sandbox.hold("user/sessionid") as gate:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(anyio.run_process, command)
            await until(lambda: len([*tmp_path.glob("waits-*")]) == 3)
            gate.release()
    assert sandbox.account.logins == 1
    assert sandbox.account.count("User/Balance", status=200) == 3


class _FaultyLock(MemorySessionStore):
    """A session store whose lock fails.

    Args:
        fault: the method of the lock that fails, or the way in which the lock fails.
    """

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = fault

    @asynccontextmanager
    async def login_lock(self) -> AsyncIterator[None]:
        if self._fault == "enter":
            raise OSError(ID)
        if self._fault == "hang":
            await anyio.sleep(math.inf)
        yield
        if self._fault == "exit":
            raise OSError(ID)
        if self._fault == "hang at the exit":
            await anyio.sleep(math.inf)


@pytest.mark.parametrize("fault", ["enter", "exit", "hang", "hang at the exit"])
async def test_a_lock_that_fails_does_not_fail_a_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """If the lock of the store fails or never ends, the client logs a warning and logs in once."""
    monkeypatch.setattr(guarded_store, "_LOCK_SECONDS", 0.01)
    monkeypatch.setattr(guarded_store, "_STORE_SECONDS", 0.01)
    sandbox = Sandbox()
    async with _in_process(sandbox, _FaultyLock(fault)) as sms:
        await sms.send(NUMBER, TEXT)
    assert sandbox.account.logins == 1
    assert "the lock of the session store" in caplog.text
    assert ID not in caplog.text


async def test_a_refused_login_releases_the_lock() -> None:
    """If a login fails while the client holds the lock of the store, the lock becomes free."""
    sandbox, store = Sandbox(), _LockedStore()
    async with _in_process(sandbox, store, password="wrong") as sms:
        with pytest.raises(Unauthorized):
            await sms.send(NUMBER, TEXT)
    assert not store.lock.locked()


async def test_a_close_during_a_login_releases_the_lock(sandbox: Sandbox) -> None:
    """If the client is closed during a login, the lock of the store becomes free."""
    store = _LockedStore()
    with sandbox.hold("user/sessionid"):
        async with client_for(sandbox, session_store=store) as sms:
            with anyio.move_on_after(0.05):
                await sms.balance()
            assert store.lock.locked()
    assert not store.lock.locked()


class _Returns:
    """A session store whose `load` returns or raises the given object."""

    def __init__(self, result: object) -> None:
        self._result = result

    async def load(self) -> Any:
        if isinstance(self._result, BaseException):
            raise self._result
        if self._result == "hang":
            await anyio.sleep(math.inf)
        return self._result

    async def save(self, session: Session) -> None:
        raise OSError(session.session_id.reveal())


def _unchecked(session_id: object, obtained_at: object) -> Session:
    """Return a session that was made without the checks of its constructor, as `pickle` does."""
    session = Session.__new__(Session)
    object.__setattr__(session, "session_id", session_id)
    object.__setattr__(session, "obtained_at", obtained_at)
    return session


FAULTS: dict[str, tuple[object, str]] = {
    "a naive time": (_unchecked(Secret(ID), NOON.replace(tzinfo=None)), "Session.obtained_at: a naive date"),
    "a number for the time": (_unchecked(Secret(ID), 5), "Session.obtained_at: <int>"),
    "a str for the id": (_unchecked(ID, NOON), "Session.session_id: <str>"),
    "an empty id": (_unchecked(Secret(""), NOON), "Session.session_id: an empty"),
    "a lone surrogate": (_unchecked(Secret(ID + "\ud800"), NOON), "Session.session_id: an empty or invalid"),
    "a str": (ID, "an object of the type str"),
    "an error": (ValueError(ID), "(ValueError)"),
    "nothing in time": ("hang", "load took too long"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_faulty_store_does_not_fail_a_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """If the store returns an invalid session or fails, the client logs a clear warning and logs in.

    The warning does not contain the session id.
    """
    monkeypatch.setattr(guarded_store, "_STORE_SECONDS", 0.05)
    result, words = FAULTS[name]
    sandbox = Sandbox()
    with caplog.at_level(logging.DEBUG):
        async with _in_process(sandbox, _Returns(result)) as sms:
            await sms.send(NUMBER, TEXT)
    assert sandbox.account.logins == 1
    assert words in caplog.text
    assert "could not be written (OSError)" in caplog.text
    used = sandbox.account.arrivals[-1].parameters.text("SessionID")
    assert used
    assert ID not in caplog.text
    assert used not in caplog.text


@pytest.mark.parametrize(
    ("session_id", "obtained_at", "words"),
    [
        (Secret(ID), NOON.replace(tzinfo=None), "Session.obtained_at: a naive datetime"),
        (Secret(ID), "2026-03-01", "Session.obtained_at: <str>"),
        (ID, NOON, "Session.session_id: <str>"),
        (Secret(""), NOON, "Session.session_id: an empty"),
    ],
)
def test_an_invalid_session_is_refused(session_id: Any, obtained_at: Any, words: str) -> None:
    """The constructor of `Session` raises a `ValidationError` that names the parameter and hides the id."""
    with pytest.raises(ValidationError, match=words) as caught:
        Session(session_id, obtained_at)
    assert ID not in repr(caught.value)


@pytest.mark.parametrize(
    ("age", "is_used"),
    [
        (timedelta(0), True),
        (timedelta(minutes=114), True),
        (timedelta(minutes=115), False),
        (timedelta(minutes=-4), True),
        (timedelta(hours=-3), False),
        (NOON - datetime.max.replace(tzinfo=UTC), False),
        (NOON - datetime.min.replace(tzinfo=UTC), False),
    ],
)
async def test_the_age_of_a_stored_session(age: timedelta, is_used: bool) -> None:
    """A stored session is used if its time is plausible, and a session from the future is not used."""
    sandbox, clock, store = Sandbox(start=NOON), ManualClock(), MemorySessionStore()
    async with _in_process(sandbox, store, clock=clock) as first:
        await first.balance()
    session = await store.load()
    assert session is not None
    await store.save(Session(session.session_id, NOON - age))
    async with _in_process(sandbox, store, clock=clock) as second:
        await second.balance()
    assert sandbox.account.logins == (1 if is_used else 2)


async def test_a_stored_session_ends_by_the_monotonic_clock() -> None:
    """If the wall clock is set back, a stored session that is over is replaced, and is not loaded again."""
    sandbox, clock, store = Sandbox(start=NOON), _SetBack(), MemorySessionStore()
    async with _in_process(sandbox, store) as first:
        await first.balance()
    session = await store.load()
    assert session is not None
    await store.save(Session(session.session_id, NOON))
    keeping: SessionStore = _Keeps(await store.load())
    async with _in_process(sandbox, keeping, clock=clock) as second:
        await second.balance()
        assert sandbox.account.logins == 1
        clock.advance(minutes=121)
        sandbox.advance(minutes=121)
        clock.error = timedelta(hours=-2)
        await second.balance()
        await second.balance()
    assert sandbox.account.logins == 2
    assert sandbox.account.count("User/Balance") == sandbox.account.count("User/Balance", status=200)


class _SetBack(ManualClock):
    """A clock whose wall clock can be set without a change of the monotonic clock."""

    error = timedelta(0)

    def now(self) -> datetime:
        return self.moment + self.error


class _Keeps:
    """A session store that always returns the same session."""

    def __init__(self, session: Session | None) -> None:
        self._session = session

    async def load(self) -> Session | None:
        return self._session

    async def save(self, session: Session) -> None: ...
