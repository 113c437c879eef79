"""The limit of a sandbox on the number of stored requests and messages."""

import gc
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from smsapi_async.sandbox import Journey, Sandbox
from smsapi_async.sandbox.dialect import IdStyle
from tests.sandbox.support import START, Caller, Fields, logged_in, message

pytestmark = pytest.mark.anyio

ENDINGS = ("567", "946", "901", "955", "942", "910")


async def filled(sandbox: Sandbox, count: int = 12) -> Caller:
    """Send messages with several number endings, one each second."""
    caller = await logged_in(sandbox)
    for index in range(count):
        await caller.send(f"7903123{index:01x}{ENDINGS[index % 6]}".replace("a", "1").replace("b", "2"))
        sandbox.advance(seconds=1)
    return caller


async def statistics(caller: Caller) -> dict[str, int]:
    """Return the statistics of the days around `START`."""
    answer = await caller.get(
        "Sms/Statistics", startDateTime="2026-03-09T00:00:00", endDateTime="2026-03-12T00:00:00"
    )
    found: dict[str, int] = answer.json()
    return found


@pytest.mark.parametrize("keep", [1, 3])
async def test_the_lists_have_a_limit(keep: int) -> None:
    """Only the last requests, messages, incoming messages and pushes stay; the counts include all of them."""
    sandbox = Sandbox(start=START, keep=keep)
    caller = await filled(sandbox)
    for number in range(5):
        sandbox.receive("79031234567", text=str(number))
    account = sandbox.account
    assert [each.number for each in account.messages] == list(range(13 - keep, 13))
    assert [each.index for each in account.arrivals] == list(range(13 - keep, 13))
    assert [each.text for each in account.incoming] == [str(each) for each in range(5 - keep, 5)]
    assert (account.count(), account.count("Sms/Send", 200), account.logins) == (13, 12, 1)
    assert account.count("Sms/Send", 400) == 0
    assert (account.arrival(0), account.message(1)) == (None, None)
    assert account.message(12) is account.messages[-1]
    assert account.arrival(12) is account.arrivals[-1]
    answer = await caller.get("Sms/In", maxDateUTC="2026-03-12T00:00:00")
    assert [each["Data"] for each in answer.json()] == [each.text for each in account.incoming]


@pytest.mark.parametrize("seconds", [0, 1, 2, 5, 60, 49 * 3600])
@pytest.mark.parametrize("id_style", ["digits", "alphanumeric", "number"])
async def test_states_and_statistics_stay_right(seconds: int, id_style: IdStyle) -> None:
    """A sandbox with a limit gives the same states, statistics and balance as one without."""
    found = []
    for keep in (None, 2):
        caller = await filled(Sandbox(start=START, keep=keep, id_style=id_style))
        segment_ids = [each for arrival in caller.sandbox.account.messages for each in arrival.segment_ids]
        sent = caller.sandbox.feed.since(0)
        assert sent is not None
        segment_ids = [each.data.segment_ids[0] for each in sent if each.kind == "message"]  # type: ignore[attr-defined]
        caller.sandbox.advance(seconds=seconds)
        caller.session = await caller.log_in()
        states = [await caller.state(each) for each in segment_ids]
        balance = await caller.get("User/Balance")
        found.append((segment_ids, states, await statistics(caller), balance.text))
    assert found[0] == found[1]
    assert found[0][2]["TotalWithErrors"] == 12


async def test_scheduled_messages_stay_right() -> None:
    """The states of a scheduled message do not change when the sandbox removes the message."""
    found = []
    for keep in (None, 1):
        caller = await logged_in(Sandbox(start=START, keep=keep))
        (scheduled,) = await caller.send(SendDate="2026-03-10T13:00:00")
        await caller.send()
        states = []
        for _ in range(5):
            states.append(await caller.state(scheduled))
            caller.sandbox.advance(minutes=20)
            await caller.log_in()
        found.append(states)
    assert found[0] == found[1]
    assert [each["State"] for each in found[1]] == [255, -2, -2, -2, 0]


@pytest.mark.parametrize("wrong", ["0579700854169272358", "579700854169272357", "57970085416927235x", "5"])
async def test_unknown_ids_stay_unknown(wrong: str) -> None:
    """A segment id that the sandbox did not create has the state 255, also if messages were removed."""
    caller = await filled(Sandbox(start=START, keep=1))
    assert (await caller.state(wrong))["State"] == 255
    assert (await caller.state("579700854169272358"))["State"] == 0


async def test_a_response_after_the_removal_is_counted() -> None:
    """A request that was removed before its response is counted with the status of its response."""
    sandbox = Sandbox(keep=1)
    arrival, answer, _ = sandbox.admit("GET", "/rest/nothing", (), b"")
    sandbox.admit("GET", "/rest/nothing", (), b"")
    assert (sandbox.account.count(), sandbox.account.count(status=404)) == (2, 0)
    sandbox.answered(arrival, answer)
    assert (sandbox.account.count(), sandbox.account.count(status=404)) == (2, 1)
    assert (arrival.status, sandbox.account.arrivals[0].status) == (404, None)


@pytest.mark.parametrize(("state", "validity", "stored"), [(46, 0, 6000), (-1, 6000, 10_000)])
async def test_old_segments_become_numbers(state: int, validity: int, stored: int) -> None:
    """The statistics stay right when the archive no longer has the single segments that are final."""

    def at_once(*_: object) -> Journey:
        return [(timedelta(0), state)]

    found = []
    many = [f"79{number:06}567" for number in range(2000)]
    fields: Fields = {**message(Validity=validity), "DestinationAddresses": many}
    for keep in (None, 1):
        caller = await logged_in(Sandbox(start=START, keep=keep, balance=10**6, journey=at_once))
        for _ in range(6):
            done = await caller.post("Sms/SendBulk", fields)
            assert done.status_code == 200, done.text
            caller.sandbox.advance(hours=20)
            await caller.log_in()
        answer = await caller.get(
            "Sms/Statistics", startDateTime="2026-03-10T12:00:00", endDateTime="2026-03-12T12:00:00"
        )
        found.append(answer.json())
        assert len(caller.sandbox._engine._archive) in {0, stored - 1}
    assert found[0] == found[1]
    assert found[1]["Expired"] == 6000 if state == 46 else found[1]["Sent"] + found[1]["Expired"] == 6000


async def test_the_limit_holds_for_sessions() -> None:
    """With a limit, the sandbox forgets sessions that have expired, but no session that is valid."""
    caller = await logged_in(Sandbox(start=START, keep=2))
    for _ in range(5):
        await caller.log_in()
    assert (caller.sandbox.open_sessions, caller.sandbox.account.sessions) == (6, 6)
    caller.sandbox.advance(hours=3)
    for _ in range(5):
        await caller.log_in()
    assert caller.sandbox.open_sessions == 5
    assert len(caller.sandbox._engine.sessions) <= 7


@pytest.mark.parametrize("keep", [0, -1])
def test_a_limit_is_positive(keep: int) -> None:
    """A limit below 1 raises `ValueError`."""
    with pytest.raises(ValueError, match="keep"):
        Sandbox(keep=keep)


def test_memory_of_many_sends() -> None:
    """10,000 sends with `keep` take less than 2 MiB more memory, which is 20 MiB for 100,000 sends."""
    sandbox = Sandbox(keep=100, balance=10**6)
    query = urlencode({"Login": sandbox.login, "Password": sandbox.password})
    session = json.loads(_request(sandbox, "GET", f"/rest/User/SessionId?{query}", b""))

    def send(count: int) -> None:
        for number in range(count):
            fields = {"SessionID": session, **message(text=f"Your code is {number}")}
            _request(sandbox, "POST", "/rest/Sms/Send", urlencode(fields).encode())

    send(1000)
    tracemalloc.start()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    send(10_000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2 * 2**20


def _request(sandbox: Sandbox, method: str, target: str, body: bytes) -> bytes:
    arrival, answer, _ = sandbox.admit(method, target, ((b"host", b"127.0.0.1"),), body)
    sandbox.answered(arrival, answer)
    assert answer.status == 200
    return answer.body


async def test_numbers_are_the_time_of_utc() -> None:
    """The times of the removed messages are aware and in UTC."""
    caller = await filled(Sandbox(start=START, keep=1))
    found = caller.sandbox._engine._find("579700854169272358")
    assert found is not None
    assert found[0].accepted_at == START
    assert found[0].accepted_at.tzinfo is UTC
    assert isinstance(found[0].begins_at, datetime)
