"""The clock, and the sessions that live by it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.gateway_clock import EARLIEST, LATEST, GatewayClock, later
from tests.sandbox.support import START, logged_in, refused

pytestmark = pytest.mark.anyio


def test_frozen_clock_moves_by_hand_alone() -> None:
    """With a start the clock stands until it is advanced, and tells UTC."""
    moscow = START.astimezone(timezone(timedelta(hours=3)))
    sandbox = Sandbox(start=moscow)
    assert sandbox.now() == sandbox.now() == START
    assert sandbox.now().tzinfo is UTC
    sandbox.advance(hours=2)
    sandbox.advance(timedelta(minutes=1))
    assert sandbox.now() == START + timedelta(hours=2, minutes=1)


def test_running_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a start the clock begins at the present and runs `speed` times as fast as the machine's."""
    ticks = iter([100.0, 100.0, 102.0])
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    before = datetime.now(UTC)
    clock = GatewayClock(None, 60)
    first, second = clock.now(), clock.now()
    monkeypatch.undo()
    assert before <= first <= datetime.now(UTC)
    assert second - first == timedelta(minutes=2)
    clock.advance(timedelta(days=1))
    assert clock.now() > first + timedelta(days=1)


def test_refusals_of_the_clock() -> None:
    """A naive start, a step backwards and a naive moment are refused with a ValueError."""
    with pytest.raises(ValueError, match="naive"):
        Sandbox(start=datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match="forward"):
        Sandbox().advance(seconds=-1)
    with pytest.raises(ValueError, match="naive"):
        Sandbox().receive("79031234567", "Hi", at=datetime(2026, 1, 1))  # noqa: DTZ001 - the point


def test_time_has_ends() -> None:
    """Adding more time than the calendar has stops at its ends."""
    assert later(START, timedelta.max) == later(LATEST, timedelta(days=9)) == LATEST
    assert later(START, timedelta.min) == later(EARLIEST, timedelta(days=-9)) == EARLIEST


async def test_session_lives_120_minutes() -> None:
    """A session is good until 120 minutes after its login, and then refused."""
    caller = await logged_in()
    caller.sandbox.advance(minutes=119, seconds=59)
    assert (await caller.get("User/Balance")).status_code == 200
    caller.sandbox.advance(seconds=1)
    assert refused(await caller.get("User/Balance")) == (401, 4, "SessionID expired")
    await caller.log_in()
    assert (await caller.get("User/Balance")).status_code == 200


async def test_expired_by_hand() -> None:
    """Expiring the sessions ends every one given out so far and none given later."""
    caller = await logged_in()
    first = caller.session
    caller.sandbox.expire_sessions()
    await caller.log_in()
    assert (await caller.get("User/Balance")).status_code == 200
    caller.session = first
    assert (await caller.get("User/Balance")).status_code == 401


async def test_session_expired_long_ago_stays_expired() -> None:
    """Expiring again does not lengthen the life of a session that had ended."""
    caller = await logged_in()
    caller.sandbox.advance(hours=3)
    caller.sandbox.expire_sessions()
    assert (await caller.get("User/Balance")).status_code == 401
