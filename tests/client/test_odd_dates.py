"""A date that is no date, such as ``pandas.NaT``, is refused before any request."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest

from smsapi_async import Accepted, AsyncSmsClient, Message, Position, Receipt, Rejected, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for
from tests.odd_dates import INVALID_DATES, MOMENT, NAT, LocalMeanTime, Nameless

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_RECEIPT = Receipt(Message(NUMBER, TEXT), ("1",), NOW)

Call = Callable[[AsyncSmsClient, Any], Awaitable[object]]


async def _track(sms: AsyncSmsClient, receipt: Receipt) -> None:
    async with sms.track([receipt]) as deliveries:
        await anext(deliveries)


async def _watch(sms: AsyncSmsClient, since: Any) -> None:
    async with sms.watch_incoming(since=since) as messages:
        await anext(messages)


def _receipt_for(date: Any, *, by_time_zone: bool = False) -> Receipt:
    message = Message(NUMBER, TEXT, send_date=date, by_time_zone=by_time_zone)
    return attrs.evolve(_RECEIPT, message=message)


# `CALLS` maps a call to the parameter that the error must contain.
CALLS: dict[str, tuple[Call, str]] = {
    "send": (lambda sms, date: sms.send(NUMBER, TEXT, send_date=date), "send_date"),
    "send_bulk": (lambda sms, date: sms.send_bulk([NUMBER], TEXT, send_date=date), "send_date"),
    "send_by_time_zone": (
        lambda sms, date: sms.send_by_time_zone(NUMBER, TEXT, send_date=date),
        "send_date",
    ),
    "incoming since": (lambda sms, date: sms.incoming(since=date), "since"),
    "incoming until": (lambda sms, date: sms.incoming(until=date), "until"),
    "watch_incoming": (_watch, "since"),
    "statistics start": (lambda sms, date: sms.statistics(date, NOW), "start"),
    "statistics end": (lambda sms, date: sms.statistics(NOW, date), "end"),
    "track": (lambda sms, date: _track(sms, _receipt_for(date)), "send_date"),
    "track by time zone": (
        lambda sms, date: _track(sms, _receipt_for(date, by_time_zone=True)),
        "send_date",
    ),
    "track accepted_at": (
        lambda sms, date: _track(sms, attrs.evolve(_RECEIPT, accepted_at=date)),
        "Receipt.accepted_at",
    ),
    "wait_delivered": (lambda sms, date: sms.wait_delivered(_receipt_for(date)), "send_date"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_no_invalid_date_goes_to_the_wire(call: str, anyio_backend: str) -> None:
    """Each method refuses a date that is no date, names the parameter, and makes no request."""
    method, parameter = CALLS[call]
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        for name, date in INVALID_DATES.items():
            with pytest.raises(ValidationError) as caught:
                await method(sms, date)
            assert (name, caught.value.parameter) == (name, parameter)
        assert not sandbox.account.arrivals


def test_invalid_dates_of_a_position() -> None:
    """A `Position` refuses a date that is no date."""
    for date in INVALID_DATES.values():
        with pytest.raises(ValidationError, match="until"):
            Position(date)
        with pytest.raises(ValidationError, match="since"):
            Position(NOW, since=date)


@pytest.mark.parametrize("has_ledger", [False, True])
@pytest.mark.parametrize("by_time_zone", [False, True])
async def test_one_invalid_date_rejects_one_message(
    by_time_zone: bool, has_ledger: bool, anyio_backend: str, tmp_path: Path
) -> None:
    """`send_many` rejects the message with the invalid date, and sends the messages before and after it."""
    good = datetime(*MOMENT, tzinfo=None if by_time_zone else UTC)
    dates = [good, *INVALID_DATES.values(), good]
    messages = [
        Message(f"7903{index:07}", TEXT, send_date=date, by_time_zone=by_time_zone)
        for index, date in enumerate(dates)
    ]
    async with (
        run_sandbox() as sandbox,
        client_for(sandbox) as sms,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
        sms.send_many(messages, ledger=ledger if has_ledger else None) as outcomes,
    ):
        received = [outcome async for outcome in outcomes]
    rejected = [outcome for outcome in received if isinstance(outcome, Rejected)]
    assert len(rejected) == len(INVALID_DATES)
    assert all(outcome.reason.startswith("send_date: ") for outcome in rejected)
    accepted = [outcome for outcome in received if isinstance(outcome, Accepted)]
    assert {outcome.receipt.message.destination_address for outcome in accepted} == {
        messages[0].destination_address,
        messages[-1].destination_address,
    }
    assert len(sandbox.account.messages) == 2


async def test_local_mean_time_has_a_hint(anyio_backend: str) -> None:
    """A date in local mean time, as `pytz` makes it, is refused with the call that makes a right date.

    The message would otherwise go out 30 minutes early. A message with the same moment in a right time zone
    does not make the wrong date valid.
    """
    wrong = datetime(2030, 1, 28, 16, 0, tzinfo=LocalMeanTime())
    right = wrong.astimezone(UTC)
    messages = [Message(NUMBER, TEXT, send_date=date) for date in (right, wrong)]
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match=r"local mean time.*localize.*zoneinfo"):
            await sms.send(NUMBER, TEXT, send_date=wrong)
        async with sms.send_many(messages) as outcomes:
            kinds = {type(outcome) async for outcome in outcomes}
        assert len(sandbox.account.messages) == 1
    assert kinds == {Accepted, Rejected}


class _Subclass(datetime):
    """A subclass of `datetime` as other libraries have it."""


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Moscow"), timezone(timedelta(hours=3)), Nameless()])
async def test_valid_dates_stay_valid(zone: tzinfo, anyio_backend: str) -> None:
    """Dates of subclasses and of time zones of the caller go to the wire as the moment that was meant."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        date = _Subclass(*MOMENT, tzinfo=zone)
        await sms.send(NUMBER, TEXT, send_date=date)
        await sms.send_by_time_zone(NUMBER, TEXT, send_date=_Subclass(*MOMENT))
        await sms.incoming(since=date.replace(year=2020))
        assert sandbox.account.messages[0].send_date == date
        assert sandbox.account.messages[1].send_date == datetime(2030, 1, 28, 13, 0, tzinfo=UTC)


class _Clock(ManualClock):
    """A clock with a wrong date."""

    def __init__(self, wrong: Any) -> None:
        super().__init__()
        self.wrong = wrong

    def now(self) -> datetime:
        date: datetime = self.wrong
        return date

    def monotonic(self) -> float:
        raise RuntimeError("no running event loop")


@pytest.mark.parametrize(
    "date", [NAT, NOW.replace(tzinfo=None), datetime(*MOMENT, tzinfo=LocalMeanTime()), 0.0, None]
)
def test_a_clock_without_a_date(date: Any) -> None:
    """The constructor refuses a clock whose current time is no aware date."""
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient("login", "password", clock=_Clock(date))
    assert caught.value.parameter == "clock"


def test_a_clock_that_needs_an_event_loop() -> None:
    """The constructor accepts a clock whose method `monotonic` needs a running event loop."""
    AsyncSmsClient("login", "password", clock=_Clock(NOW))
