"""The dates in requests and responses (contract, "Dates sent" and "Dates received")."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smsapi_async import ValidationError
from smsapi_async.protocol import dates
from smsapi_async.protocol.encoding import incoming_request, statistics_requests

EXAMPLE = datetime(2011, 1, 3, 9, 11, 51, 213000, tzinfo=UTC)
GMT_3 = timezone(timedelta(hours=3))
SECOND = timedelta(seconds=1)
LIMIT = timedelta(days=90)


@pytest.mark.parametrize(
    ("wire", "moment"),
    [
        ("/Date(1294045911213)/", EXAMPLE),
        (r"\/Date(1294045911213)\/", EXAMPLE),
        (r"\\/Date(1294045911213)\\/", EXAMPLE),
        ("/Date(1294045911213+0300)/", EXAMPLE),
        ("/Date(1294045911213-0500)/", EXAMPLE),
        ("/Date(0)/", datetime(1970, 1, 1, tzinfo=UTC)),
        ("/Date(1)/", datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        ("/Date(253402300799999)/", datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        # `DateTime.MinValue` of .NET means "no date". The next four lines contain `DateTime.MinValue` without
        # a suffix, with a suffix, shifted by 3 hours, and as misprinted in the vendor's document (contract,
        # "Misprints").
        ("/Date(-62135596800000)/", None),
        ("/Date(-62135596800000+0300)/", None),
        ("/Date(-62135607600000)/", None),
        ("/Date(-621359680000)/", None),
        (None, None),
    ],
)
def test_dates_received(wire: str | None, moment: datetime | None) -> None:
    """A received date becomes an aware datetime in UTC; `DateTime.MinValue` of .NET becomes None."""
    assert dates.parse_date(wire) == moment


@given(milliseconds=st.integers(0, 253402300799999))
def test_milliseconds_are_exact(milliseconds: int) -> None:
    """A received date is exact to the millisecond, because the conversion uses no float."""
    moment = dates.parse_date(f"/Date({milliseconds})/")
    assert moment is not None
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == milliseconds


@pytest.mark.parametrize(
    "wire",
    [
        "",
        "2011-01-28T16:00:00",
        "/Date()/",
        "/Date(1.5)/",
        "/Date(1",
        "Date(1)",
        "/Date(253402300800000)/",
        "/Date(٣)/",
        "/Date(1)/\n",
        1294045911213,
        True,
        {},
        "/Date(9999999999999999999999)/",
    ],
)
def test_what_is_no_date(wire: object) -> None:
    """A received value that is not a date of the contract raises `ValueError`."""
    with pytest.raises(ValueError, match="date"):
        dates.parse_date(wire)


@pytest.mark.parametrize(
    ("moment", "wire"),
    [
        (datetime(2011, 1, 28, 13, 0, tzinfo=UTC), "2011-01-28T16:00:00"),
        (datetime(2011, 1, 28, 16, 0, tzinfo=timezone(timedelta(hours=3))), "2011-01-28T16:00:00"),
        (datetime(2011, 1, 28, 22, 30, tzinfo=UTC), "2011-01-29T01:30:00"),
        (datetime(2011, 7, 28, 16, 0, tzinfo=ZoneInfo("Asia/Kolkata")), "2011-07-28T13:30:00"),
        (datetime(2011, 1, 28, 13, 0, 0, 999999, tzinfo=UTC), "2011-01-28T16:00:00"),
    ],
)
def test_the_send_date_is_in_the_gateways_zone(moment: datetime, wire: str) -> None:
    """An aware `send_date` is converted to GMT+03:00.

    The request contains the converted send date without an offset and without a fraction of a second.
    """
    assert dates.gateway_time("send_date", moment, GMT_3) == wire


def test_the_wall_clock_is_not_converted() -> None:
    """A naive `send_date` is the local time of the recipient, and is sent without a time zone conversion."""
    assert dates.wall_clock("send_date", datetime(2011, 1, 28, 16, 0, 0, 5)) == "2011-01-28T16:00:00"  # noqa: DTZ001


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2011, 1, 28, 16, 0),  # noqa: DTZ001
        date(2011, 1, 28),
        "2011-01-28T16:00:00",
        1294045911,
        None,
        # The next three dates overflow when the client converts them to UTC or to GMT+03:00.
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=3))),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=12))),
    ],
)
def test_what_is_no_moment(moment: object) -> None:
    """A naive datetime, a value of another type, and a datetime that overflows raise `ValidationError`."""
    with pytest.raises(ValidationError) as caught:
        dates.aware("until", moment)
    assert caught.value.parameter == "until"


@pytest.mark.parametrize(
    "moment", [datetime(2011, 1, 28, 16, 0, tzinfo=UTC), date(2011, 1, 28), None, "16:00"]
)
def test_what_is_no_wall_clock(moment: object) -> None:
    """For `send_by_time_zone`, a `send_date` that is not a naive datetime raises `ValidationError`."""
    with pytest.raises(ValidationError, match="naive datetime") as caught:
        dates.wall_clock("send_date", moment)
    assert caught.value.parameter == "send_date"


moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(start=moments, length=st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_windows_of_the_statistics(start: datetime, length: timedelta) -> None:
    """Each second of a statistics period is in exactly one window, and each window has at most 90 days."""
    start = dates.floor_to_second(start)
    end = dates.floor_to_second(start + length)
    windows = dates.statistics_windows(start, end)
    assert windows[0][0] == start
    assert windows[-1][1] == end
    for begin, finish in windows:
        assert timedelta(0) <= finish - begin <= LIMIT
    for (_, finish), (begin, _) in pairwise(windows):
        assert begin - finish == SECOND


@pytest.mark.parametrize(
    ("length", "count"), [(timedelta(0), 1), (LIMIT, 1), (LIMIT + SECOND, 2), (2 * LIMIT, 2)]
)
def test_how_many_windows(length: timedelta, count: int) -> None:
    """Statistics for exactly 90 days need one request.

    Statistics for 90 days and one second need two requests.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert len(dates.statistics_windows(start, start + length)) == count


@given(start=moments, length=st.timedeltas(timedelta(0), timedelta(days=400)))
def test_statistics_requests_cover_the_period(start: datetime, length: timedelta) -> None:
    """Each second of the period is in exactly one request for statistics, and the dates are in GMT+03:00."""
    end = start + length
    zone = timezone(timedelta(hours=3))
    asked = []
    for request in statistics_requests(start, end, GMT_3):
        form = dict(parse_qsl(request.form, strict_parsing=True))
        assert set(form) == {"startDateTime", "endDateTime"}
        asked.append(
            [datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone) for value in form.values()]
        )
    assert asked[0][0] == start.replace(microsecond=0)
    assert asked[-1][1] == end.replace(microsecond=0)
    assert all(after[0] - before[1] == SECOND for before, after in pairwise(asked))


@given(since=moments, until=moments)
def test_the_period_of_incoming_messages_is_widened(since: datetime, until: datetime) -> None:
    """A request for incoming messages has whole seconds and contains the whole given period.

    Each end of the requested period is less than one second outside the given period.
    """
    assume(since < until)
    form = dict(parse_qsl(incoming_request(since, until).form, strict_parsing=True))
    start = datetime.fromisoformat(form["minDateUTC"]).replace(tzinfo=UTC)
    end = datetime.fromisoformat(form["maxDateUTC"]).replace(tzinfo=UTC)
    assert since - SECOND < start <= since
    assert until <= end < until + SECOND


@given(until=moments, gap=st.timedeltas(timedelta(microseconds=1), timedelta(days=4000)))
def test_a_period_that_ends_before_it_begins(until: datetime, gap: timedelta) -> None:
    """A period is refused if its end is before its beginning, even by one microsecond.

    A period of incoming messages is also refused if it ends when it begins.
    """
    with pytest.raises(ValidationError) as caught:
        incoming_request(until, until)
    assert caught.value.parameter == "since"
    with pytest.raises(ValidationError) as caught:
        incoming_request(until + gap, until)
    assert caught.value.parameter == "since"
    with pytest.raises(ValidationError) as caught:
        statistics_requests(until + gap, until, GMT_3)
    assert caught.value.parameter == "start"


def test_the_date_of_a_response() -> None:
    """The header `Date` of a response is a time in UTC."""
    date = dates.parse_http_date("Sun, 01 Mar 2026 12:00:05 GMT")
    assert date == datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "now",
        "Mon, 01 Mar 2026 12:00:05 GMT",
        "Sun, 01 Mar 2026 12:00:05 +0000",
        "Sun, 01 Mar 2026 15:00:05 +0300",
        "Sun, 1 Mar 2026 12:00:05 GMT",
        "Sunday, 01-Mar-26 12:00:05 GMT",
        "Sun Mar  1 12:00:05 2026",
        "2026-03-01T12:00:05Z",
        "Sun, 01 Mar 2026 25:00:05 GMT",
        "Sun, 29 Feb 2026 12:00:05 GMT",
        "Sun, 01 Mar 2026 12:00:05 GMT, Sun, 01 Mar 2026 12:00:05 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sat, 01 Jan 0000 00:00:00 GMT",
        "Mon, 01 Jan 99999 00:00:00 GMT",
    ],
)
def test_a_date_of_another_form_counts_as_missing(header: str | None) -> None:
    """The client ignores a header `Date` that RFC 9110 does not allow, or that no gateway can send."""
    assert dates.parse_http_date(header) is None


@given(st.text() | st.text("0123456789:, GMTSunJanMar+-"))
def test_any_date_of_a_response(header: str) -> None:
    """No text in the header `Date` raises an exception."""
    date = dates.parse_http_date(header)
    assert date is None or date.utcoffset() == timedelta(0)
