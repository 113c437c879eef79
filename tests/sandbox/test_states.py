"""The states of segments in the sandbox, and the time of each change of a state (contract, "States")."""

from datetime import timedelta

import pytest

from smsapi_async.sandbox import AcceptedMessage, Journey, Sandbox
from tests.sandbox.support import START, logged_in

pytestmark = pytest.mark.anyio

# `TABLE` maps the last three digits of a phone number to the expected state and its description. The states
# are from Table 11 of the vendor's document, except -97, which an older client of the vendor uses instead of
# 47.
TABLE = {
    "001": (0, "Доставлено абоненту"),
    "910": (10, "Неверно введен адрес отправителя"),
    "911": (11, "Неверно введен адрес получателя"),
    "941": (41, "Недопустимый адрес получателя"),
    "942": (42, "Отклонено смс-центром"),
    "946": (46, "Просрочено (истек срок жизни сообщения)"),
    "947": (47, "Удалено"),
    "948": (48, "Отклонено Платформой"),
    "969": (69, "Отклонено"),
    "999": (99, "Неизвестный"),
    "998": (-98, "Остановлено"),
    "997": (-97, "Удалено"),
    "901": (-1, "Отправлено (передано в мобильную сеть)"),
    "902": (-2, "В очереди"),
    "955": (255, "Неизвестный"),
}
NOT_FINAL = {"999", "998", "901", "902"}


@pytest.mark.parametrize(("ending", "expected"), TABLE.items())
async def test_ending_chooses_the_state(ending: str, expected: tuple[int, str]) -> None:
    """The last three digits of a number determine the state that the segments of the message reach."""
    caller = await logged_in()
    (segment_id,) = await caller.send(f"79031234{ending}")
    caller.sandbox.advance(seconds=5)
    state = await caller.state(segment_id)
    assert (state["State"], state["StateDescription"]) == expected
    is_final = ending not in NOT_FINAL | {"955"}
    assert (state["ReportedDateUtc"] is not None) == is_final


async def test_steps_of_a_delivery() -> None:
    """At first, a segment has state 255 (unknown).

    The segment is queued 1 second, sent 2 seconds and delivered 5 seconds after the acceptance.
    """
    caller = await logged_in()
    (segment_id,) = await caller.send()
    seen = []
    for _ in range(7):
        seen.append((await caller.state(segment_id))["State"])
        caller.sandbox.advance(seconds=1)
    assert seen == [255, -2, -1, -1, -1, 0, 0]


@pytest.mark.parametrize("ending", sorted(NOT_FINAL))
async def test_validity_runs_out(ending: str) -> None:
    """A segment without a final state expires exactly at the end of its validity."""
    caller = await logged_in()
    (segment_id,) = await caller.send(f"79031234{ending}", Validity=10)
    caller.sandbox.advance(minutes=9, seconds=59)
    assert (await caller.state(segment_id))["State"] == TABLE[ending][0]
    caller.sandbox.advance(seconds=1)
    state = await caller.state(segment_id)
    assert state["State"] == 46
    assert state["ReportedDateUtc"] == f"/Date({int(START.timestamp() + 600) * 1000})/"


@pytest.mark.parametrize(("ending", "expected"), [("001", 0), ("942", 42), ("955", 255)])
async def test_validity_leaves_final_and_unknown_alone(ending: str, expected: int) -> None:
    """At the end of its validity, a segment with a final state or with state 255 keeps its state."""
    caller = await logged_in()
    (segment_id,) = await caller.send(f"79031234{ending}", Validity=1)
    caller.sandbox.advance(minutes=5)
    assert (await caller.state(segment_id))["State"] == expected


async def test_default_validity_and_memory() -> None:
    """By default, a segment expires after 48 hours.

    The state of a segment that is older than 48 hours is 255.
    """
    caller = await logged_in()
    (stuck,) = await caller.send("79031234901")
    (delivered,) = await caller.send()
    caller.sandbox.advance(hours=48)
    await caller.log_in()
    assert [(await caller.state(each))["State"] for each in (stuck, delivered)] == [46, 0]
    caller.sandbox.advance(seconds=1)
    answers = [await caller.state(each) for each in (stuck, delivered)]
    assert [answer["State"] for answer in answers] == [255, 255]
    assert [answer["Price"] for answer in answers] == [None, None]


async def test_scheduled_message_waits() -> None:
    """A scheduled message is queued until its date in GMT+03:00 and is delivered after this date."""
    caller = await logged_in()
    (segment_id,) = await caller.send(SendDate="2026-03-13T12:00:00")
    seen = []
    for step in (timedelta(0), timedelta(seconds=1), timedelta(hours=72, seconds=-1), timedelta(seconds=2)):
        caller.sandbox.advance(step)
        await caller.log_in()
        state = await caller.state(segment_id)
        seen.append((state["State"], state["SubmittedDateUtc"] is not None))
    assert seen == [(255, False), (-2, False), (-2, False), (-1, True)]
    caller.sandbox.advance(seconds=3)
    assert (await caller.state(segment_id))["State"] == 0


async def test_time_that_is_past_means_at_once() -> None:
    """A message with a `SendDate` in the past is sent at once.

    The account records this `SendDate` unchanged.
    """
    caller = await logged_in()
    (segment_id,) = await caller.send(SendDate="2026-03-10T11:59:59")
    caller.sandbox.advance(seconds=5)
    assert (await caller.state(segment_id))["State"] == 0
    assert caller.sandbox.account.messages[0].send_date == START - timedelta(seconds=1)


@pytest.mark.parametrize("date", ["0001-01-01", "9999-12-31T23:59:59"])
async def test_dates_at_the_ends_of_time(date: str) -> None:
    """The sandbox accepts the first and the last date of the calendar as a `SendDate`."""
    caller = await logged_in()
    (segment_id,) = await caller.send(SendDate=date, Validity=2147483647)
    caller.sandbox.advance(seconds=2)
    assert (await caller.state(segment_id))["State"] == (-1 if date.startswith("0001") else -2)


async def test_own_journey() -> None:
    """With the option `journey`, a test chooses the states of each segment.

    The chosen states may be numbers that are not in the contract.
    """

    def rule(message: AcceptedMessage, segment_index: int) -> Journey:
        assert message.text == "ы" * 100
        return [(timedelta(0), -1), (timedelta(seconds=1), 77 if segment_index else 0)]

    caller = await logged_in(Sandbox(start=START, journey=rule))
    segment_ids = await caller.send(text="ы" * 100)
    assert [(await caller.state(each))["State"] for each in segment_ids] == [-1, -1]
    caller.sandbox.advance(seconds=1)
    assert [(await caller.state(each))["State"] for each in segment_ids] == [0, 77]
