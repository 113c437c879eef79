"""Tests of the setting `gateway_time_zone`: the time zone of the dates in requests."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest

from smsapi_async import Message, Rejected, ValidationError
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.client.tools import NUMBER, client_for

pytestmark = pytest.mark.anyio
MOMENT = datetime(2030, 1, 28, 23, 30, tzinfo=timezone(timedelta(hours=5)))
BERLIN = ZoneInfo("Europe/Berlin")
# Summer time ends in Berlin at 01:00 UTC: the local time from 02:00 to 03:00 occurs twice.
TWICE = datetime(2030, 10, 27, 0, 30, tzinfo=UTC)


class ForeignZone(tzinfo):
    """A time zone of another package, which raises an error."""

    def utcoffset(self, _moment: datetime | None, /) -> timedelta:
        raise RuntimeError("secret of the foreign package")

    def dst(self, _moment: datetime | None, /) -> timedelta:
        return timedelta(0)

    def tzname(self, _moment: datetime | None, /) -> str:
        return "foreign"


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=3)), BERLIN, ZoneInfo("Asia/Kolkata")])
@pytest.mark.parametrize(
    "moment", [MOMENT, datetime(2030, 7, 1, 0, 0, tzinfo=UTC), TWICE + timedelta(hours=2)]
)
async def test_the_gateway_sends_at_the_moment_that_was_meant(zone: tzinfo, moment: datetime) -> None:
    """If the client has the time zone of the gateway, each send is made at the given point in time."""
    async with (
        run_sandbox(dialect=Dialect(gateway_time_zone=zone)) as sandbox,
        client_for(sandbox, gateway_time_zone=zone) as sms,
    ):
        await sms.send(NUMBER, "later", send_date=moment)
        await sms.send_bulk([NUMBER], "later", send_date=moment)
        async with sms.send_many([Message(NUMBER, "later", send_date=moment)]) as outcomes:
            assert [type(outcome).__name__ async for outcome in outcomes] == ["Accepted"]
    assert [message.send_date for message in sandbox.account.messages] == [moment] * 3


async def test_the_wrong_time_zone_is_seen_with_one_message() -> None:
    """One message with a send date shows a wrong setting: the message is sent three hours late."""
    async with run_sandbox(dialect="latest") as sandbox, client_for(sandbox) as sms:
        await sms.send(NUMBER, "later", send_date=MOMENT)
    [message] = sandbox.account.messages
    assert message.send_date is not None
    assert message.send_date - MOMENT == timedelta(hours=3)


async def test_the_local_time_of_the_recipient_does_not_change() -> None:
    """`send_by_time_zone` sends the local time of the recipient, whatever the time zone of the gateway."""
    nine = datetime(2030, 1, 28, 9, 0)  # noqa: DTZ001
    async with run_sandbox(dialect="latest") as sandbox, client_for(sandbox, gateway_time_zone=UTC) as sms:
        await sms.send_by_time_zone("79131234567", "morning", send_date=nine)
    assert sandbox.account.messages[0].send_date == datetime(2030, 1, 28, 2, 0, tzinfo=UTC)


async def test_statistics_are_in_the_time_zone_of_the_gateway() -> None:
    """`statistics` counts the messages of the given period, if the time zone of the gateway is right."""
    start = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    for zone, delivered in ((UTC, 1), (timezone(timedelta(hours=3)), 0)):
        async with (
            run_sandbox(start=start, dialect="latest") as sandbox,
            client_for(sandbox, gateway_time_zone=zone) as sms,
        ):
            await sms.send(NUMBER, "now")
            sandbox.advance(minutes=1)
            found = await sms.statistics(start - timedelta(hours=1), start + timedelta(hours=1))
            assert found.delivered == delivered


async def test_statistics_over_a_change_of_the_offset() -> None:
    """A window of 90 days in local time is never longer for the gateway, also if summer time begins in it."""
    start, end = datetime(2030, 1, 15, tzinfo=BERLIN), datetime(2031, 1, 15, tzinfo=BERLIN)
    async with (
        run_sandbox(dialect=Dialect(gateway_time_zone=BERLIN)) as sandbox,
        client_for(sandbox, gateway_time_zone=BERLIN) as sms,
    ):
        await sms.statistics(start, end)
    periods = [
        parse_qs(urlsplit(arrival.target).query)
        for arrival in sandbox.account.arrivals
        if arrival.resource == "Sms/Statistics"
    ]
    assert len(periods) == 5
    assert min(period["startDateTime"][0] for period in periods) == "2030-01-15 00:00:00"
    assert max(period["endDateTime"][0] for period in periods) == "2031-01-15 00:00:00"


async def test_a_local_time_that_occurs_twice_is_refused() -> None:
    """A send date in the hour that the gateway has twice is refused before any request."""
    async with run_sandbox() as sandbox, client_for(sandbox, gateway_time_zone=BERLIN) as sms:
        for moment in (TWICE, TWICE + timedelta(hours=1)):
            with pytest.raises(ValidationError, match="a local time that the gateway has twice") as caught:
                await sms.send(NUMBER, "later", send_date=moment)
            assert caught.value.parameter == "send_date"
        async with sms.send_many([Message(NUMBER, "later", send_date=TWICE)]) as outcomes:
            assert [type(outcome) async for outcome in outcomes] == [Rejected]
    assert sandbox.account.count() == 0


@pytest.mark.parametrize("zone", [3, "UTC", None, timedelta(hours=3), ForeignZone()])
def test_a_wrong_time_zone_is_refused(zone: Any) -> None:
    """A setting that is no time zone is refused when the client is created."""
    with pytest.raises(ValidationError, match="pass a tzinfo") as caught:
        client_for(Sandbox(), gateway_time_zone=zone)
    assert caught.value.parameter == "gateway_time_zone"
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


async def test_a_date_that_has_no_local_time() -> None:
    """A send date that is outside the years 1 to 9999 in the time zone of the gateway is refused."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match="between the years 1 and 9999"):
            await sms.send(NUMBER, "later", send_date=datetime(9999, 12, 31, 23, 0, tzinfo=UTC))
    assert sandbox.account.count() == 0
