"""The clock of the sandbox, and the sessions, which expire by this clock."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.gateway_clock import EARLIEST, LATEST, GatewayClock, later
from tests.sandbox.support import START, logged_in, refused

pytestmark = pytest.mark.anyio


def test_frozen_clock_moves_by_hand_alone() -> None:
    """With `start`, the clock of the sandbox shows UTC and moves only if the test calls `advance`."""
    moscow = START.astimezone(timezone(timedelta(hours=3)))
    sandbox = Sandbox(start=moscow)
    assert sandbox.now() == sandbox.now() == START
    assert sandbox.now().tzinfo is UTC
    sandbox.advance(hours=2)
    sandbox.advance(timedelta(minutes=1))
    assert sandbox.now() == START + timedelta(hours=2, minutes=1)


def test_running_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `start`, the clock begins at the current time and runs `speed` times as fast as real time."""
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
    """A naive `start`, a negative `advance` and a naive date of an incoming message raise `ValueError`."""
    with pytest.raises(ValueError, match="naive"):
        Sandbox(start=datetime(2026, 1, 1))  # noqa: DTZ001 - a naive date
    with pytest.raises(ValueError, match="forward"):
        Sandbox().advance(seconds=-1)
    with pytest.raises(ValueError, match="naive"):
        Sandbox().receive("79031234567", "Hi", at=datetime(2026, 1, 1))  # noqa: DTZ001 - a naive date


def test_time_has_ends() -> None:
    """If the result of `later` is outside the calendar, `later` returns `EARLIEST` or `LATEST`."""
    assert later(START, timedelta.max) == later(LATEST, timedelta(days=9)) == LATEST
    assert later(START, timedelta.min) == later(EARLIEST, timedelta(days=-9)) == EARLIEST


async def test_session_lives_120_minutes() -> None:
    """A session is valid for 120 minutes after the login.

    After 120 minutes, the sandbox refuses the session id.
    """
    caller = await logged_in()
    caller.sandbox.advance(minutes=119, seconds=59)
    assert (await caller.get("User/Balance")).status_code == 200
    caller.sandbox.advance(seconds=1)
    assert refused(await caller.get("User/Balance")) == (401, 4, "SessionID expired")
    await caller.log_in()
    assert (await caller.get("User/Balance")).status_code == 200


async def test_expired_by_hand() -> None:
    """`expire_sessions` ends all current sessions. A login after `expire_sessions` starts a valid session."""
    caller = await logged_in()
    first = caller.session
    caller.sandbox.expire_sessions()
    await caller.log_in()
    assert (await caller.get("User/Balance")).status_code == 200
    caller.session = first
    assert (await caller.get("User/Balance")).status_code == 401


async def test_session_expired_long_ago_stays_expired() -> None:
    """`expire_sessions` does not make an expired session valid again."""
    caller = await logged_in()
    caller.sandbox.advance(hours=3)
    caller.sandbox.expire_sessions()
    assert (await caller.get("User/Balance")).status_code == 401


async def test_responses_have_the_date_of_the_sandbox() -> None:
    """Each response has the header `Date` with the time of the sandbox, also an error and a prepared one."""
    caller = await logged_in()
    caller.sandbox.advance(days=3, seconds=7.5)
    caller.sandbox.answer_next("User/Balance", status=503, headers={"X-Test": "1"})
    caller.sandbox.answer_next("User/Balance", headers={"Date": "yesterday"})
    answers = [await caller.get(path) for path in ("User/Balance", "User/Balance", "Sms/State", "nothing")]
    now = format_datetime(caller.sandbox.now(), usegmt=True)
    assert [answer.headers.get_list("date") for answer in answers] == [[now], ["yesterday"], [now], [now]]


async def test_the_date_over_a_socket_is_that_of_the_sandbox(anyio_backend: str) -> None:
    """Over a socket, a response has one header `Date`, and a fast sandbox is ahead of the real time."""
    async with run_sandbox(speed=60) as sandbox, httpx.AsyncClient() as client:
        sandbox.advance(days=1)
        before = sandbox.now()
        headers = (await client.get(f"{sandbox.base_url}/User/Balance")).headers
    (date,) = headers.get_list("date")
    assert before - timedelta(seconds=1) < parsedate_to_datetime(date) <= sandbox.now()
