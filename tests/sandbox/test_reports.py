"""The sandbox reports incoming messages and statistics (contract, "Sms/In" and "Sms/Statistics")."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from smsapi_async.sandbox import Sandbox
from tests.sandbox.support import START, Caller, logged_in

pytestmark = pytest.mark.anyio


async def incoming(caller: Caller, **fields: str) -> list[dict[str, Any]]:
    """Return the decoded response of `Sms/In`."""
    answer = await caller.get("Sms/In", **fields)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_incoming_object() -> None:
    """An incoming message has the JSON form of the contract, and slashes in its text are not escaped."""
    caller = await logged_in()
    message_id = caller.sandbox.receive("79031234567", text="1/2 Да /Date(1)/", destination_address="1212")
    answer = await caller.get("Sms/In", maxDateUTC="2026-03-10T09:00:00")
    assert answer.text == (
        '[{"Data":"1/2 Да /Date(1)/","SourceAddress":"79031234567","DestinationAddress":"1212",'
        f'"ID":{message_id},"CreateDateUtc":"\\/Date({int(START.timestamp()) * 1000})\\/"}}]'
    )


async def test_incoming_range_is_inclusive_to_the_second() -> None:
    """`Sms/In` includes both ends of the period and ignores fractions of a second."""
    caller = await logged_in()
    begin = START - timedelta(minutes=1)
    for number, offset in enumerate((-1.0, 0.0, 0.9, 10.0, 10.9, 11.0)):
        caller.sandbox.receive("79031234567", text=str(number), at=begin + timedelta(seconds=offset))
    found = await incoming(caller, minDateUTC="2026-03-10T08:59:00", maxDateUTC="2026-03-10 08:59:10")
    assert [each["Data"] for each in found] == ["1", "2", "3", "4"]
    assert len(await incoming(caller, maxDateUTC="2026-03-10T08:59:00")) == 3
    assert len(await incoming(caller, minDateUTC="", maxDateUTC="2026-03-11")) == 6


async def test_incoming_is_sorted_and_not_ahead_of_time() -> None:
    """`Sms/In` sorts messages by date.

    A message with a future date is returned only when the clock has reached this date.
    """
    caller = await logged_in()
    for text, minutes in (("second", 2), ("first", 1)):
        caller.sandbox.receive("79031234567", text=text, at=START + timedelta(minutes=minutes))
    assert await incoming(caller, maxDateUTC="2027-01-01") == []
    caller.sandbox.advance(minutes=2)
    assert [each["Data"] for each in await incoming(caller, maxDateUTC="2027-01-01")] == ["first", "second"]


async def test_recipient_answers() -> None:
    """A recipient with a number that ends in 700 sends a reply after the whole message is delivered."""
    caller = await logged_in()
    await caller.send("79031234700", "Привет! " * 20)
    caller.sandbox.advance(seconds=4)
    assert await incoming(caller, maxDateUTC="2027-01-01") == []
    caller.sandbox.advance(seconds=1)
    (answer,) = await incoming(caller, maxDateUTC="2027-01-01")
    assert answer["Data"] == "Re: Привет! Привет! Прив"
    assert (answer["SourceAddress"], answer["DestinationAddress"]) == ("79031234700", "ACME")
    assert answer["CreateDateUtc"] == f"/Date({int(START.timestamp() + 5) * 1000})/"


async def test_recipient_does_not_answer_what_it_did_not_get() -> None:
    """A recipient replies only to a delivered message."""
    caller = await logged_in(Sandbox(start=START, journey=lambda *_: [(timedelta(0), 42)]))
    await caller.send("79031234700")
    caller.sandbox.advance(hours=1)
    assert await incoming(caller, maxDateUTC="2027-01-01") == []


async def test_incoming_ids() -> None:
    """Each incoming message has a unique id.

    With `id_style="alphanumeric"`, the id is a string; by default, the id is a number.
    """
    sandbox = Sandbox(id_style="alphanumeric")
    ids = {sandbox.receive("79031234567", text="Hi") for _ in range(3)}
    assert len(ids) == 3
    assert all(isinstance(each, str) for each in ids)
    assert isinstance(Sandbox().receive("79031234567", text="Hi"), int)


async def statistics(caller: Caller, start: str, end: str) -> dict[str, Any]:
    """Return the decoded response of `Sms/Statistics`."""
    answer = await caller.get("Sms/Statistics", startDateTime=start, endDateTime=end)
    assert answer.status_code == 200, answer.text
    counts: dict[str, Any] = answer.json()
    return counts


async def test_statistics_count_segments_by_state() -> None:
    """The statistics count segments by state.

    `TotalWithErrors` includes the segments with errors, and `Total` excludes the segments with errors.
    """
    caller = await logged_in()
    await caller.send("79031234001", "ы" * 100)
    for ending in (
        "901",
        "902",
        "910",
        "911",
        "941",
        "942",
        "946",
        "947",
        "948",
        "955",
        "969",
        "997",
        "998",
        "999",
    ):
        await caller.send(f"79031234{ending}")
    caller.sandbox.advance(seconds=5)
    assert await statistics(caller, "2026-03-10", "2026-03-11") == {
        "Sent": 1,
        "Delivered": 2,
        "Errors": 3,
        "InProcess": 4,
        "Expired": 1,
        "Rejected": 5,
        "Total": 13,
        "TotalWithErrors": 16,
        "DeliveryRatio": 15.38,
    }


async def test_statistics_of_nothing() -> None:
    """Every count of the statistics is zero for a period without messages."""
    caller = await logged_in()
    assert set((await statistics(caller, "2026-03-10", "2026-03-10")).values()) == {0}


async def test_statistics_remember_what_state_forgets() -> None:
    """`Sms/State` returns state 255 for a message that is older than 48 hours.

    The statistics still count a message that is older than 48 hours.
    """
    caller = await logged_in()
    (segment_id,) = await caller.send()
    caller.sandbox.advance(days=30)
    await caller.log_in()
    assert (await caller.state(segment_id))["State"] == 255
    assert (await statistics(caller, "2026-03-10", "2026-03-11"))["Delivered"] == 1


@pytest.mark.parametrize(
    ("start", "end", "total"),
    [
        ("2026-03-10 12:00:00", "2026-03-10 12:00:00", 1),
        ("2026-03-10T12:00:00", "2026-03-10T12:00:01", 1),
        ("2026-03-10 12:00:01", "2026-03-10 13:00:00", 0),
        ("2026-03-10 00:00:00", "2026-03-10 11:59:59", 0),
        ("2026-03-10 09:00:00", "2026-03-10 09:00:00", 0),
    ],
)
async def test_statistics_are_asked_in_moscow_time(start: str, end: str, total: int) -> None:
    """`Sms/Statistics` reads the dates of the period in GMT+03:00.

    The period includes both ends, and fractions of a second are ignored.
    """
    sandbox = Sandbox(start=START + timedelta(milliseconds=700))
    caller = await logged_in(sandbox)
    await caller.send()
    assert (await statistics(caller, start, end))["Total"] == total


async def test_recorded_history() -> None:
    """`record_history` changes the statistics, but neither the list of accepted messages nor the balance."""
    caller = await logged_in()
    caller.sandbox.record_history(at=START - timedelta(days=60), states=[0, 0, 42])
    caller.sandbox.record_history(at=START - timedelta(days=1), states={-1: 1000, 10: 5})
    whole = await statistics(caller, "2026-01-01", "2026-03-10")
    late = await statistics(caller, "2026-03-01", "2026-03-10")
    names = ("Sent", "Delivered", "Rejected", "Errors", "Total")
    assert Counter({name: whole[name] for name in names}) == Counter(
        Sent=1000, Delivered=2, Rejected=1, Errors=5, Total=1003
    )
    assert (late["Delivered"], late["Total"]) == (0, 1000)
    assert caller.sandbox.account.messages == []
    assert caller.sandbox.balance == 10000


def test_the_texts_of_an_incoming_message_cannot_be_swapped() -> None:
    """`receive` takes the text of the message and the number of the account only by keyword."""
    sandbox = Sandbox()
    with pytest.raises(TypeError):
        sandbox.receive("79031234567", "Hi")  # type: ignore[call-arg]
    assert sandbox.receive(text="Hi", source_address="79031234567")
