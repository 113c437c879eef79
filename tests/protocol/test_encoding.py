"""Tests of the requests that the client encodes.

The tests decode the requests with `urllib.parse`. A decoder of this package could repeat a mistake of the
encoder, so that no test would fail.
"""

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, unquote_plus

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import Message, Secret, ValidationError
from smsapi_async.protocol import encoding
from smsapi_async.protocol.addresses import checked_destination_address

GMT_3 = timezone(timedelta(hours=3))
SESSION_ID = "Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"
unicode_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


def send_request(message: Message) -> encoding.Request:
    """Build the request for one message to a gateway in GMT+03:00."""
    return encoding.send_request(message, GMT_3)


def _pairs(request: encoding.Request) -> list[tuple[str, str]]:
    """Return the decoded parameters of a request, with the session id."""
    wire = request.with_grant(encoding.session_parameter(Secret(SESSION_ID))).decode("ascii")
    return parse_qsl(wire, keep_blank_values=True, strict_parsing=True)


def _checked(message: Message) -> Message:
    """Check a message with the default source address DEVIN0, and return the checked message."""
    return encoding.prepared(message, "DEVIN0")


@pytest.mark.parametrize(
    ("request_", "method", "name", "form"),
    [
        (encoding.balance_request(), "GET", "User/Balance", {}),
        (
            encoding.state_request("579700854169272358"),
            "GET",
            "Sms/State",
            {"messageId": "579700854169272358"},
        ),
        (encoding.state_request("SAR-W+84333"), "GET", "Sms/State", {"messageId": "SAR-W+84333"}),
        (
            send_request(_checked(Message("79161002030", "test", validity=0))),
            "POST",
            "Sms/Send",
            {"DestinationAddress": "79161002030", "SourceAddress": "DEVIN0", "Data": "test", "Validity": "0"},
        ),
        (
            send_request(
                _checked(
                    Message(
                        "+79161002030",
                        "Привет, мир!",
                        send_date=datetime(2011, 1, 28, 13, 0, tzinfo=UTC),
                        validity=timedelta(hours=1),
                    )
                )
            ),
            "POST",
            "Sms/Send",
            {
                "DestinationAddress": "79161002030",
                "SourceAddress": "DEVIN0",
                "Data": "Привет, мир!",
                "SendDate": "2011-01-28T16:00:00",
                "Validity": "60",
            },
        ),
        (
            send_request(
                _checked(
                    Message(
                        "79001234567",
                        "testdata",
                        source_address="TESTSMS",
                        send_date=datetime(2011, 1, 28, 16, 0),  # noqa: DTZ001
                        validity=10,
                        by_time_zone=True,
                    )
                )
            ),
            "POST",
            "Sms/SendByTimeZone",
            {
                "DestinationAddress": "79001234567",
                "SourceAddress": "TESTSMS",
                "Data": "testdata",
                "SendDate": "2011-01-28T16:00:00",
                "Validity": "10",
            },
        ),
        (
            encoding.incoming_request(datetime(2011, 1, 1, tzinfo=UTC), datetime(2011, 1, 11, tzinfo=UTC)),
            "GET",
            "Sms/In",
            {"minDateUTC": "2011-01-01T00:00:00", "maxDateUTC": "2011-01-11T00:00:00"},
        ),
        (
            encoding.statistics_requests(
                datetime(2012, 1, 17, 21, 0, tzinfo=UTC), datetime(2012, 1, 18, 20, 59, tzinfo=UTC), GMT_3
            )[0],
            "GET",
            "Sms/Statistics",
            {"startDateTime": "2012-01-18 00:00:00", "endDateTime": "2012-01-18 23:59:00"},
        ),
    ],
)
def test_requests_of_the_contract(
    request_: encoding.Request, method: str, name: str, form: dict[str, str]
) -> None:
    """Each request uses the method of its resource and sends each parameter exactly once."""
    assert (request_.resource.method, request_.resource.name) == (method, name)
    assert sorted(_pairs(request_)) == sorted({"SessionID": SESSION_ID, **form}.items())


def test_the_login_of_the_contract() -> None:
    """The password of the contract's example, which has special characters, reaches the gateway unchanged."""
    request = encoding.login_request()
    assert (request.resource.method, request.resource.name) == ("GET", "user/sessionid")
    credentials = encoding.Credentials.of("Jonathan", Secret("a+b==13!"))
    wire = request.with_grant(credentials.parameters).decode("ascii")
    assert wire.startswith("Login=Jonathan&Password=a%2Bb%3D%3D13")
    assert parse_qsl(wire) == [("Login", "Jonathan"), ("Password", "a+b==13!")]


def test_a_bulk_repeats_its_key() -> None:
    """A bulk contains the recipients in the given order.

    If the caller gives a recipient twice, the bulk request also contains the recipient twice.
    """
    numbers = ["79001234567", "+79160000000", "79001234567"]
    digits = [checked_destination_address(number) for number in encoding.checked_recipients(numbers)]
    template = encoding.prepared(Message(digits[0], "test & data", validity=10), "TESTSMS")
    pairs = _pairs(encoding.bulk_request(template, digits, GMT_3))
    assert [value for key, value in pairs if key == "DestinationAddresses"] == [
        "79001234567",
        "79160000000",
        "79001234567",
    ]
    assert sorted(pair for pair in pairs if pair[0] != "DestinationAddresses") == [
        ("Data", "test & data"),
        ("SessionID", SESSION_ID),
        ("SourceAddress", "TESTSMS"),
        ("Validity", "10"),
    ]


@given(text=unicode_texts)
def test_any_text_survives_the_wire(text: str) -> None:
    """Every text reaches the gateway unchanged, in a single send and in a bulk."""
    message = _checked(Message("79031234567", text))
    assert dict(_pairs(send_request(message)))["Data"] == text
    assert dict(_pairs(encoding.bulk_request(message, ["79031234567", "79031234568"], GMT_3)))["Data"] == text


@given(login=unicode_texts, password=unicode_texts)
def test_any_credentials_survive_the_wire(login: str, password: str) -> None:
    """Every login and every password reach the gateway unchanged."""
    form = encoding.Credentials.of(login, Secret(password)).parameters.reveal()
    assert form.isascii()
    assert parse_qsl(form, keep_blank_values=True, strict_parsing=True) == [
        ("Login", login),
        ("Password", password),
    ]


@given(
    segment_id=unicode_texts.filter(str.strip), session_id=st.text(st.characters(codec="ascii"), min_size=1)
)
def test_any_ids_survive_the_wire(segment_id: str, session_id: str) -> None:
    """Segment ids and session ids with any characters reach the gateway unchanged."""
    grant = encoding.session_parameter(Secret(session_id))
    wire = encoding.state_request(segment_id).with_grant(grant).decode("ascii")
    assert [unquote_plus(pair.partition("=")[2]) for pair in wire.split("&")] == [session_id, segment_id]


@given(text=unicode_texts)
def test_nothing_private_in_the_repr_of_a_request(text: str) -> None:
    """The `repr` of a request does not show the text of the message."""
    one, another = (_checked(Message("79031234567", each)) for each in (text, "other"))
    assert repr(send_request(one)) == repr(send_request(another))


@pytest.mark.parametrize(("text", "fits"), [("a" * 2000, True), ("a" * 2001, False), ("😀" * 1000, True)])
def test_the_limit_of_2000_units(text: str, fits: object) -> None:
    """A text of 2000 UTF-16 units is accepted, and a text of 2001 UTF-16 units is refused."""
    if fits:
        assert _checked(Message("79031234567", text)).text == text
        return
    with pytest.raises(ValidationError) as caught:
        _checked(Message("79031234567", text))
    assert caught.value.parameter == "text"


def test_an_emoji_counts_as_two_units() -> None:
    """A text of 1001 emoji is refused, and the error states the length of 2002 UTF-16 units."""
    with pytest.raises(ValidationError, match="2002 UTF-16 units"):
        _checked(Message("79031234567", "😀" * 1001))


@pytest.mark.parametrize(
    ("validity", "minutes"),
    [
        (None, None),
        (0, 0),
        (1, 1),
        (2**31 - 1, 2**31 - 1),
        (timedelta(minutes=10), 10),
        (timedelta(days=2), 2880),
        (timedelta(0), 0),
    ],
)
def test_validity_in_minutes(validity: int | timedelta | None, minutes: int | None) -> None:
    """A `timedelta` is converted to whole minutes; an int and None stay unchanged."""
    assert _checked(Message("79031234567", "test", validity=validity)).validity == minutes


def test_checked_is_settled() -> None:
    """A message that passed the checks is not changed by a second check."""
    message = _checked(Message("+79031234567", "test", validity=timedelta(minutes=3)))
    assert message.destination_address == "79031234567"
    assert message.source_address == "DEVIN0"
    assert _checked(message) == message


def test_the_sources_of_a_message_and_of_the_client() -> None:
    """The source address of a message has priority over the default source address of the client."""
    assert (
        encoding.prepared(Message("79031234567", "test", source_address="MINE"), "DEFAULT").source_address
        == "MINE"
    )
    assert encoding.prepared(Message("79031234567", "test"), "DEFAULT").source_address == "DEFAULT"


def test_checked_keeps_what_it_does_not_settle() -> None:
    """`prepared` removes the `+` of the destination address and keeps all other fields of the message."""
    # Each optional field of `message` differs from its default value. With a default value, the test would
    # not notice that `prepared` loses the field.
    message = Message(
        "+79031234567",
        "text",
        source_address="ACME",
        send_date=datetime(2026, 3, 1, tzinfo=UTC),
        validity=10,
        by_time_zone=True,
        key="mine",
    )
    settled = encoding.prepared(message, None)
    assert settled == attrs.evolve(message, destination_address="79031234567")
    defaults = Message("79031234567", "text")
    for field in attrs.fields(Message)[2:]:
        assert getattr(settled, field.name) != getattr(defaults, field.name), field.name
