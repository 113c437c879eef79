"""The example responses of the contract are decoded into the documented values."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from smsapi_async.models import IncomingMessage, SegmentState, Statistics
from smsapi_async.protocol import decoding
from smsapi_async.protocol.decoding import ErrorBody, Undecodable
from smsapi_async.states import State

# The constants below are the example responses of the contract, byte for byte.
LOGIN = b'"Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"'
STATE = (
    r'{"State":255,"CreationDateUtc":null,"SubmittedDateUtc":null,"ReportedDateUtc":null,'
    r'"TimeStampUtc":"\\/Date(-621359680000)\\/","StateDescription":"Неизвестный","Price":null}'
).encode()
INCOMING = rb"""[{"Data":"test1",
"SourceAddress":"7926000000",
"DestinationAddress":"7916000000",
"ID":539187174,
"CreateDateUtc":"\\/Date(1294045911213)\\/"},
{"Data":"test2",
"SourceAddress":"79260000001",
"DestinationAddress":"7916000000",
"ID":539187214,
"CreateDateUtc":"\\/Date(1294045911353)\\/"}]"""
STATISTICS = b"""{"Sent":9,
"Delivered":0,
"Errors":0,
"InProcess":7780,
"Expired":0,
"Rejected":56876,
"Total":64665,
"TotalWithErrors":64665,
"DeliveryRatio":0}"""


def test_the_session_id_of_the_contract() -> None:
    """The JSON string in the login response is decoded into the session id."""
    assert decoding.decode_login(LOGIN).reveal() == "Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"


def test_the_session_id_does_not_show_itself() -> None:
    """Neither `repr` nor `str` of a decoded session id shows the session id."""
    session_id = decoding.decode_login(LOGIN)
    assert "Z5CY" not in f"{session_id!r} {session_id}"


@pytest.mark.parametrize(
    "body", [b'""', b"null", b"36", b"Z5CYSZEK", b'"two words"', b'"a\\nb"', b'["Z5CY"]', b""]
)
def test_what_is_no_session_id(body: bytes) -> None:
    """A login response without a valid session id raises `Undecodable`."""
    with pytest.raises(Undecodable):
        decoding.decode_login(body)


@pytest.mark.parametrize(
    ("body", "balance"),
    [
        (b"0", "0"),
        (b"47.30", "47.30"),
        (b"-12.5", "-12.5"),
        (b"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        (b"99999999999999999.99", "99999999999999999.99"),
        (b'"12.40"', "12.40"),
        (b'" -12.40 "', "-12.40"),
        (b'".5"', "0.5"),
        (b'"1E2"', "1E+2"),
        (b"1E+2", "1E+2"),
        (b" 15.5\r\n", "15.5"),
        (b"\xef\xbb\xbf15.5", "15.5"),
    ],
)
def test_money_never_passes_through_a_float(body: bytes, balance: str) -> None:
    """The decoded balance has every digit of the response, because the decoder uses no float."""
    assert str(decoding.decode_balance(body)) == balance


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b"Infinity",
        b'"NaN"',
        b"true",
        b"null",
        b"1e999999",
        b"[]",
        b"{}",
        b"",
        b'"1_000"',
        '"١٢"'.encode(),
        '"１２"'.encode(),
        b'"1,50"',
        b'"1 000"',
        b'"0x10"',
        b'""',
    ],
)
def test_what_is_no_balance(body: bytes) -> None:
    """A response that is not a finite amount of money raises `Undecodable`."""
    with pytest.raises(Undecodable):
        decoding.decode_balance(body)


@pytest.mark.parametrize(
    ("body", "segment_ids"),
    [
        (b'["579700854169272358"]', ("579700854169272358",)),
        (b'["579700854169272358", "579700854169272359"]', ("579700854169272358", "579700854169272359")),
        (
            b'["579700854169272358", "579700854169272359", "579700854169272360", "579700854169272361"]',
            ("579700854169272358", "579700854169272359", "579700854169272360", "579700854169272361"),
        ),
        (b"[579700854169272358]", ("579700854169272358",)),
        (b'["GW0261BA732A","WF3F22A2E","SAR-W+84333"]', ("GW0261BA732A", "WF3F22A2E", "SAR-W+84333")),
    ],
)
def test_segment_ids_of_the_contract(body: bytes, segment_ids: tuple[str, ...]) -> None:
    """Segment ids are decoded into strings in the order of the response, even if the ids are JSON numbers."""
    assert decoding.decode_segment_ids(body) == segment_ids


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'"579700854169272358"',
        b"[null]",
        b"[true]",
        b"[1.5]",
        b'[""]',
        b'[" "]',
        b'[["1"]]',
        b'["1",{}]',
    ],
)
def test_what_is_no_list_of_segment_ids(body: bytes) -> None:
    """A response to a send without a segment id, or with an invalid segment id, raises `Undecodable`."""
    with pytest.raises(Undecodable):
        decoding.decode_segment_ids(body)


def test_the_state_of_the_contract() -> None:
    """The contract's example is decoded into state 255, without a date and without a price."""
    state = decoding.decode_state(STATE, "579700854169272358")
    assert state == SegmentState("579700854169272358", 255, state_description="Неизвестный")
    assert state.time_stamp is None
    assert state.price is None


def test_a_delivered_state() -> None:
    """Every field of a state is decoded, with dates in UTC and an exact price."""
    body = (
        r'{"State":0,"CreationDateUtc":"\/Date(1294045911213)\/","SubmittedDateUtc":"\/Date(1294045912000)\/",'
        r'"ReportedDateUtc":"\/Date(1294045913999)\/","TimeStampUtc":"\/Date(1294045914001)\/",'
        r'"StateDescription":"Доставлено","Price":0.10}'
    ).encode()
    assert decoding.decode_state(body, "GW0261BA732A") == SegmentState(
        "GW0261BA732A",
        0,
        creation_date=datetime(2011, 1, 3, 9, 11, 51, 213000, tzinfo=UTC),
        submitted_date=datetime(2011, 1, 3, 9, 11, 52, tzinfo=UTC),
        reported_date=datetime(2011, 1, 3, 9, 11, 53, 999000, tzinfo=UTC),
        time_stamp=datetime(2011, 1, 3, 9, 11, 54, 1000, tzinfo=UTC),
        state_description="Доставлено",
        price=Decimal("0.10"),
    )


def test_the_gateway_cannot_rename_the_segment() -> None:
    """A decoded state has the segment id of the request.

    A field `segment_id` in the response does not change the segment id of the decoded state.
    """
    assert decoding.decode_state(b'{"State":0,"segment_id":"another","New":[1]}', "mine").segment_id == "mine"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"State":null}',
        b'{"State":0.5}',
        b'{"State":"0_0"}',
        '{"State":"٠"}'.encode(),
        b'{"State":NaN}',
        b'{"State":' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_state(body: bytes) -> None:
    """If the response has no integer `State`, `Undecodable` is raised."""
    with pytest.raises(Undecodable):
        decoding.decode_state(body, "1")


# Each item is a JSON value that is no amount of money, as bytes of the response.
NO_AMOUNTS = [
    '"1,50"',
    '"1_000"',
    '"١٢"',
    '"１２"',
    '""',
    '"NaN"',
    '"Infinity"',
    '"1e5000000000"',
    "[]",
    "{}",
    "true",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e99",
    "1e99999999999999999999",
    "9" * 5000,
    '"9 руб."',
]
NO_DATES = [
    '""',
    '"2026-03-01T12:00:00Z"',
    '"/Date(253402300800000)/"',
    '"/Date(999999999999999999)/"',
    '"/Date(12_00)/"',
    '"/Date(١٢)/"',
    '"/Date()/"',
    "0",
    "1.5",
    "NaN",
    "[]",
    "{}",
    "true",
]
NO_DESCRIPTIONS = ["[]", '["Доставлено"]', "{}", "true", "1.5", "NaN", "null"]
DATE_FIELDS = ["CreationDateUtc", "SubmittedDateUtc", "ReportedDateUtc", "TimeStampUtc"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("Price", value) for value in NO_AMOUNTS],
        *[(field, value) for field in DATE_FIELDS for value in NO_DATES],
        *[("StateDescription", value) for value in NO_DESCRIPTIONS],
    ],
)
def test_a_malformed_field_does_not_hide_a_delivery(field: str, value: str) -> None:
    """A message that was delivered is reported as delivered, even if another field of its state is wrong."""
    body = f'{{"State":0,"{field}":{value}}}'.encode()
    assert decoding.decode_state(body, "1") == SegmentState("1", State.DELIVERED)


def test_a_description_in_another_encoding_does_not_hide_a_delivery() -> None:
    """A description in Windows-1251 instead of UTF-8 becomes replacement characters; the state counts."""
    body = '{"State":0,"StateDescription":"Доставлено"}'.encode("windows-1251")
    state = decoding.decode_state(body, "1")
    assert (state.state, set(state.state_description)) == (State.DELIVERED, {"\ufffd"})


def test_lone_surrogates_are_replaced() -> None:
    """Descriptions and segment ids contain no lone surrogate, so that a database can store them."""
    body = rb'{"State":0,"StateDescription":"a\ud83db\udc00 \ud83d\ude00"}'
    assert decoding.decode_state(body, "1").state_description == "a\ufffdb\ufffd \U0001f600"
    assert decoding.decode_segment_ids(rb'["a\ud83d","\ud83d\ude00"]') == ("a\ufffd", "\U0001f600")
    error = decoding.decode_error(rb'{"Code":6,"Desc":"a\udc00"}')
    assert error is not None
    assert error.description == "a\ufffd"


def test_the_incoming_messages_of_the_contract() -> None:
    """Both incoming messages of the contract's example are decoded, with ids as strings and dates in UTC."""
    assert decoding.decode_incoming(INCOMING) == [
        IncomingMessage(
            id="539187174",
            text="test1",
            source_address="7926000000",
            destination_address="7916000000",
            creation_date=datetime(2011, 1, 3, 9, 11, 51, 213000, tzinfo=UTC),
        ),
        IncomingMessage(
            id="539187214",
            text="test2",
            source_address="79260000001",
            destination_address="7916000000",
            creation_date=datetime(2011, 1, 3, 9, 11, 51, 353000, tzinfo=UTC),
        ),
    ]


def _incoming(fields: str) -> bytes:
    """Return a list with one incoming message that also contains the JSON members `fields`."""
    return (
        '[{"Data":"test1","SourceAddress":"7926000000","DestinationAddress":"7916000000",' + fields + "}]"
    ).encode()


@pytest.mark.parametrize("spelling", ["CreateDateUtc", "CreatedDateUtc", "CreationDateUtc"])
def test_three_spellings_of_the_creation_date(spelling: str) -> None:
    """The field with the creation date of an incoming message may have any of three names."""
    body = _incoming(rf'"ID":1,"{spelling}":"\/Date(1294045911213)\/"')
    assert decoding.decode_incoming(body)[0].creation_date == datetime(
        2011, 1, 3, 9, 11, 51, 213000, tzinfo=UTC
    )


def test_a_spelling_that_is_null_does_not_hide_another() -> None:
    """The creation date is read from the field that contains a date.

    A null in one of the other two date fields does not hide the date.
    """
    body = _incoming(r'"ID":1,"CreateDateUtc":null,"CreationDateUtc":"\/Date(1000)\/"')
    assert decoding.decode_incoming(body)[0].creation_date == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "date", ['"ID":"WF3F22A2E"', r'"ID":"WF3F22A2E","CreateDateUtc":"\/Date(-62135596800000)\/"']
)
def test_an_incoming_message_without_a_date(date: str) -> None:
    """An incoming message without a date is decoded, and its `creation_date` is None."""
    message = decoding.decode_incoming(_incoming(date))[0]
    assert (message.id, message.creation_date) == ("WF3F22A2E", None)


def test_no_incoming_messages() -> None:
    """An empty list of incoming messages is a valid response."""
    assert decoding.decode_incoming(b"[]") == []


@pytest.mark.parametrize("body", [b"{}", b"null", b"4", b"<html>", b"[error]", b"[", b'[{"ID":1', b""])
def test_what_is_no_list_of_incoming_messages(body: bytes) -> None:
    """A response that is not a list raises `Undecodable`."""
    with pytest.raises(Undecodable):
        decoding.decode_incoming(body)


GOOD = '{"Data":"good","SourceAddress":"7926000000","DestinationAddress":"7916000000","ID":%s}'
BAD_ROWS = [
    "null",
    "[]",
    "{}",
    '"Data"',
    "2.5",
    "[[]]",
    GOOD % "null",
    GOOD % "2.5",
    GOOD % "{}",
    GOOD % "true",
    GOOD % '" "',
    GOOD % "NaN",
    GOOD % ("9" * 5000),
    GOOD % "1E+999999999999999999999",
    GOOD % ("[" * 100_000 + "]" * 100_000),
    GOOD % ("[" * 400 + "]" * 400),
    GOOD.replace('"good"', '["good"]') % "1",
    GOOD.replace('"good"', r'"cut \u12"') % "1",
    GOOD.replace('"good"', r'"wrong \x"') % "1",
    GOOD.replace('"good"', '"an unescaped " mark"') % "1",
    GOOD.replace("7926000000", '"') % "1",
    GOOD % '1,"CreateDateUtc":"2026-03-01T12:00:00"',
    GOOD % '1,"CreatedDateUtc":1772366400000',
    GOOD % '1,"CreateDateUtc":"/Date(99999999999999999)/"',
]


@pytest.mark.usefixtures("without_garbage_collection")
@pytest.mark.parametrize("bad", BAD_ROWS, ids=lambda row: row[:90])
@pytest.mark.parametrize("rows", ["{0},{1},{2}", "{1},{0},{2}", "{0} ,\r\n{2}, {1}", "{1},{0},{1},{2}"])
def test_a_bad_row_hides_no_other_row(rows: str, bad: str) -> None:
    """If one row of incoming messages is malformed, the other messages of the response are still decoded."""
    body = f"[{rows.format(GOOD % 7, bad, GOOD % 8)}]".encode()
    decoded = decoding.decode_incoming(body)
    assert [message.id for message in decoded] == ["7", "8"]
    assert len(set(decoded.skipped)) == rows.count("{1}")
    assert decoding.decode_incoming(body).skipped == decoded.skipped


@pytest.mark.usefixtures("without_garbage_collection")
def test_a_response_of_one_bad_row_is_a_response() -> None:
    """A response with a malformed row and no other row is a response without messages."""
    for bad in BAD_ROWS:
        decoded = decoding.decode_incoming(f"[{bad}]".encode())
        assert (decoded, len(decoded.skipped)) == ([], 1)


def test_bytes_that_are_no_utf_8_and_lone_surrogates_are_replaced() -> None:
    """U+FFFD replaces each byte that is not UTF-8 and each lone surrogate, so that a text can be stored."""
    cut = "привет".encode()[:-1]
    body = GOOD.replace("good", "%s").encode() % (cut, rb'"\ud83d-\udc4d-\ud83d\udc4d"')
    (message,) = decoding.decode_incoming(b"[" + body.replace(b"7926000000", rb"7926\udc00") + b"]")
    assert message.text == "приве\ufffd"
    assert message.id == "\ufffd-\ufffd-\U0001f44d"
    assert message.source_address == "7926\ufffd"


def test_the_statistics_of_the_contract() -> None:
    """Each count of the contract's example is decoded into the field of the same name."""
    assert decoding.decode_statistics(STATISTICS) == Statistics(
        sent=9,
        delivered=0,
        errors=0,
        in_process=7780,
        expired=0,
        rejected=56876,
        total=64665,
        total_with_errors=64665,
        delivery_ratio=Decimal(0),
    )


def test_statistics_without_the_last_three() -> None:
    """If the response has no totals and no ratio, the decoded totals and the ratio are None and not zero."""
    body = b'{"Sent":1,"Delivered":2,"Errors":3,"InProcess":4,"Expired":5,"Rejected":6}'
    assert decoding.decode_statistics(body) == Statistics(1, 2, 3, 4, 5, 6, None, None, None)


@pytest.mark.parametrize("field", ["Total", "TotalWithErrors", "DeliveryRatio"])
@pytest.mark.parametrize("value", NO_AMOUNTS)
def test_a_malformed_total_does_not_hide_the_statistics(field: str, value: str) -> None:
    """If a total or the ratio is wrong, the counts are still returned, and the wrong number is None."""
    body = f'{{"Sent":1,"Delivered":2,"Errors":3,"InProcess":4,"Expired":5,"Rejected":6,"{field}":{value}}}'
    decoded = decoding.decode_statistics(body.encode())
    assert decoded == Statistics(1, 2, 3, 4, 5, 6, None, None, None)


@pytest.mark.parametrize("value", ['"1_0"', '"١"', '""', "1.5", "null", "NaN", "true", '"1e1"'])
def test_a_malformed_count(value: str) -> None:
    """A required count that is no whole number raises `Undecodable`; no count is guessed."""
    with pytest.raises(Undecodable):
        decoding.decode_statistics(STATISTICS.replace(b'"Sent":9', f'"Sent":{value}'.encode()))


@pytest.mark.parametrize("missing", ["Sent", "Delivered", "Errors", "InProcess", "Expired", "Rejected"])
def test_statistics_without_a_count(missing: str) -> None:
    """A statistics response without a required count raises `Undecodable`."""
    with pytest.raises(Undecodable):
        decoding.decode_statistics(STATISTICS.replace(f'"{missing}"'.encode(), b'"Other"'))


@pytest.mark.parametrize(
    ("body", "code", "description"),
    [
        ('{"Code": 4, "Desc": "Invalid user login or password"}', 4, "Invalid user login or password"),
        ('{\n  Code: 4,\n  Desc: "Invalid user login or password"\n}', 4, "Invalid user login or password"),
        ('{\n  Code: 4,\n  Desc: "SessionID expired"\n}', 4, "SessionID expired"),
        ('{\n  Code: 6,\n  Desc: "Invalid source address"\n}', 6, "Invalid source address"),
        (
            '{\n  Code: 1,\n  Desc: "MessageID can not be null or empty Parameter name: messageId"\n}',
            1,
            "MessageID can not be null or empty Parameter name: messageId",
        ),
        (
            '{  \nCode: 2,  \nDesc: "Нельзя указывать диапазон дат более 90 дней."  \n}',
            2,
            "Нельзя указывать диапазон дат более 90 дней.",
        ),
        (
            "{\nCode: 9,\nDesc: \"... a null entry for parameter\n'maxDateUtc' of\"\n}",
            9,
            "... a null entry for parameter\n'maxDateUtc' of",
        ),
        ('{"Code":"3","Desc":null}', 3, ""),
        ('{"code":5}', 5, ""),
        ('{Code: 2, Desc: "a, Code: 9, Desc: b"}', 2, "a, Code: 9, Desc: b"),
        ('\ufeff{"Code":7,"Desc":""}', 7, ""),
        ('{"Code":6,"Desc":["x"]}', 6, ""),
        ('{"Code":6,"Desc":"x","Retry":1e99999999999999999999}', 6, "x"),
    ],
)
def test_error_bodies(body: str, code: int, description: str) -> None:
    """An error body is decoded with quoted keys and with unquoted keys.

    The vendor's document shows unquoted keys.
    """
    error = decoding.decode_error(body.encode())
    assert error is not None
    assert (error.code, error.description) == (code, description)


def test_a_description_in_another_encoding_does_not_hide_a_refusal() -> None:
    """An error body in Windows-1251 instead of UTF-8 keeps its code."""
    error = decoding.decode_error('{"Code":2,"Desc":"Нельзя"}'.encode("windows-1251"))
    assert error is not None
    assert (error.code, set(error.description)) == (2, {"\ufffd"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"4",
        b'{"Desc":"x"}',
        b'{"Code":true}',
        b'{"Code":4.5}',
        b"{Code}",
        b'{"Code":"1_0"}',
        '{"Code":"٤"}'.encode(),
        b'{"Code":NaN}',
        b"\xff",
    ],
)
def test_what_is_no_error_body(body: bytes) -> None:
    """For a body without an integer error code, `decode_error` returns None."""
    assert decoding.decode_error(body) is None


@pytest.mark.parametrize(
    ("code", "description", "refuses_session"),
    [
        (3, "", True),
        (4, "SessionID expired", True),
        (4, "sessionId is not valid", True),
        (4, "Invalid user login or password", False),
        (4, "", False),
        (1, "SessionID can not be null", False),
        (9, "SessionID", False),
    ],
)
def test_which_errors_name_the_session(code: int, description: str, refuses_session: object) -> None:
    """An error means 'session refused' only for code 3, or for code 4 with 'SessionID' in its description."""
    assert ErrorBody(code, description).refuses_session is refuses_session


def test_a_bad_row_in_each_place_of_a_long_response_hides_no_message() -> None:
    """A user gets each readable message of a response in which thousands of long rows are no JSON."""
    bad = b'{"Data":"' + b"x" * 200 + b'" "ID":1}'
    decoded = decoding.decode_incoming(b"[" + b",".join([bad, INCOMING[1:-1]] * 2_000) + b"]")
    assert [message.id for message in decoded] == ["539187174", "539187214"] * 2_000
    assert len(decoded.skipped) == 2_000


HOSTILE_ROWS = [
    b'",{":",{",' * 20_000,
    b'"a":[0,{' * 20_000,
    b"x},{" * 100_000,
    b'"a":[0,{' * 500 + b'"a":"' + b"x" * 1_000_000,
]


@pytest.mark.parametrize("rows", HOSTILE_ROWS, ids=range(len(HOSTILE_ROWS)))
def test_a_hostile_response_takes_no_minutes_to_read(rows: bytes) -> None:
    """A user can go on while the gateway returns rows that make a reader start again and again."""
    with pytest.raises(Undecodable, match="too many malformed rows"):
        decoding.decode_incoming(b"[{" + rows + b"]")
