"""Tests of the dates in options: plain dates, and send dates in the past."""

import os
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.cli.options import parse_moment, parse_send_date
from smsapi_async.errors import ValidationError
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_process import started

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAYS = [
    ("Europe/Moscow", "2026-11-28", "2026-11-27T21:00:00", "2026-11-28T20:59:59"),
    ("UTC", "2026-11-28", "2026-11-28T00:00:00", "2026-11-28T23:59:59"),
    ("Asia/Vladivostok", "2026-11-28", "2026-11-27T14:00:00", "2026-11-28T13:59:59"),
    # Summer time ends: the day has 25 hours.
    ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00", "2026-10-25T22:59:59"),
    # Summer time begins at midnight: the day has 23 hours and begins at 1:00.
    ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00", "2026-04-24T20:59:59"),
]


@pytest.mark.parametrize(("zone", "day", "first", "last"), DAYS)
def test_a_day(zone: str, day: str, first: str, last: str) -> None:
    """A date without a time is the whole day in the time zone, also when the day has 23 or 25 hours."""
    begins = parse_moment("since", day, day="begins", zone=ZoneInfo(zone))
    ends = parse_moment("until", day, day="ends", zone=ZoneInfo(zone))
    assert begins.astimezone(UTC) == datetime.fromisoformat(f"{first}+00:00")
    assert ends.astimezone(UTC) == datetime.fromisoformat(f"{last}+00:00")


@given(st.dates(min_value=date(1971, 1, 1), max_value=date(2100, 1, 1)))
def test_days_follow_each_other(day: date) -> None:
    """Between the end of a day and the beginning of the next day is one second."""
    following = day + timedelta(days=1)
    ends = parse_moment("until", str(day), day="ends")
    assert parse_moment("since", str(following), day="begins") - ends == timedelta(seconds=1)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("zone", "found"), [("Europe/Moscow", "one"), ("America/New_York", "two")])
def test_the_zone_of_this_computer(gateway: Sandbox, zone: str, found: str) -> None:
    """`incoming --since DAY --until DAY` lists the messages of the day in the time zone of the computer."""
    for hour, text in ((0, "one"), (8, "two")):
        gateway.receive("79037654321", text=text, at=datetime(2026, 1, 28, hour, tzinfo=UTC))
    process = started(
        "incoming", "--since", "2026-01-28", "--until", "2026-01-28", env={**os.environ, "TZ": zone}
    )
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert found in out
    assert ("two" in out) is (zone == "Europe/Moscow") or found == "two"
    assert ("one" in out) is (found == "one")


@pytest.mark.usefixtures("environment")
def test_statistics_of_a_day(cli: Cli, gateway: Sandbox) -> None:
    """`statistics DAY DAY` counts the messages of this day, with its end."""
    midnight = datetime(2026, 1, 28).astimezone()
    for moment in (midnight, midnight + timedelta(hours=23, minutes=59, seconds=59)):
        gateway.record_history(at=moment, states=[0])
    for moment in (midnight - timedelta(seconds=1), midnight + timedelta(days=1)):
        gateway.record_history(at=moment, states=[0])
    assert cli("statistics", "2026-01-28", "2026-01-28", "--json").document["delivered"] == 2


SEND_DATES = [
    ("2026-11-28T12:00:00Z", False, True),
    ("2026-11-28T14:59:30+03:00", False, True),
    ("2026-11-28T14:58:30+03:00", False, False),
    ("2026-11-28T12:00:00-05:00", False, True),
    ("2026-11-28T00:00:00", True, True),
    ("2026-11-27T23:59:30", True, True),
    ("2026-11-27T23:58:00", True, False),
    ("0001-01-01T00:00:00", True, False),
    ("0001-01-01T00:00:00+14:00", False, False),
    ("9999-12-31T23:59:59", True, True),
]


@pytest.mark.parametrize(("text", "by_time_zone", "is_accepted"), SEND_DATES)
def test_send_dates(text: str, *, by_time_zone: bool, is_accepted: bool) -> None:
    """A send date is refused if it is more than a minute in the past, for each recipient."""
    if is_accepted:
        found = parse_send_date(text, by_time_zone=by_time_zone, now=NOW)
        assert found == datetime.fromisoformat(text)
    else:
        with pytest.raises(ValidationError, match="in the past"):
            parse_send_date(text, by_time_zone=by_time_zone, now=NOW)


def test_no_send_date() -> None:
    """Without `--send-date`, the message is sent at once."""
    assert parse_send_date(None, by_time_zone=False) is None
