"""The sandbox refuses invalid requests with the codes of the contract (contract, "Codes")."""

from decimal import Decimal

import pytest

from smsapi_async.sandbox import Sandbox
from tests.sandbox.support import START, Caller, logged_in, message, refused

pytestmark = pytest.mark.anyio

# `NULL_ENTRY` is the description of error code 9 in the vendor's document.
NULL_ENTRY = (
    "The parameters dictionary contains a null entry for parameter 'maxDateUtc' of non-nullable type "
    "'DateTime' for method 'System.Web.Mvc.ActionResult In(System.String, DateTime, DateTime)' in "
    "'RestService.Controllers.SmsController'. An optional parameter must be a reference type, a nullable "
    "type, or be declared as an optional parameter. Parameter name: parameters"
)


async def test_code_1_missing_or_empty() -> None:
    """`Sms/State` without a segment id is refused with code 1 and with the vendor's description."""
    caller = await logged_in()
    expected = (400, 1, "MessageID can not be null or empty Parameter name: messageId")
    assert refused(await caller.get("Sms/State")) == expected
    assert refused(await caller.get("Sms/State", messageId="")) == expected


@pytest.mark.parametrize("missing", ["SessionID", "DestinationAddress", "Data", "SourceAddress"])
@pytest.mark.parametrize("empty", [True, False])
async def test_code_1_for_each_parameter_of_a_send(missing: str, *, empty: bool) -> None:
    """A send without a required parameter is refused with code 1, and the description names the parameter."""
    caller = await logged_in()
    fields = {**message(), "SessionID": caller.session, missing: ""}
    if not empty:
        del fields[missing]
    status, code, description = refused(await caller.request("POST", "Sms/Send", data=fields))
    assert (status, code) == (400, 1)
    assert description.startswith(missing)
    assert caller.sandbox.account.messages == []


@pytest.mark.parametrize("numbers", [[], [""], ["", ""]])
async def test_code_1_for_a_bulk_without_recipients(numbers: list[str]) -> None:
    """A bulk without a recipient is refused with code 1."""
    caller = await logged_in()
    fields = {"DestinationAddresses": numbers, "Data": "Hi", "SourceAddress": "ACME"}
    assert refused(await caller.post("Sms/SendBulk", fields))[:2] == (400, 1)


async def test_code_2_range_of_dates() -> None:
    """The sandbox returns statistics for 90 days, and refuses a longer period with code 2."""
    caller = await logged_in()
    good = await caller.get("Sms/Statistics", startDateTime="2026-01-01", endDateTime="2026-04-01 00:00:00")
    bad = await caller.get("Sms/Statistics", startDateTime="2026-01-01", endDateTime="2026-04-01 00:00:01")
    assert good.status_code == 200
    assert refused(bad) == (400, 2, "Нельзя указывать диапазон дат более 90 дней.")


async def test_code_2_backwards() -> None:
    """`Sms/Statistics` and `Sms/In` refuse a period with code 2 if its end is before its beginning."""
    caller = await logged_in()
    statistics = await caller.get("Sms/Statistics", startDateTime="2026-01-02", endDateTime="2026-01-01")
    incoming = await caller.get("Sms/In", minDateUTC="2026-01-02", maxDateUTC="2026-01-01")
    assert refused(statistics)[:2] == refused(incoming)[:2] == (400, 2)


async def test_code_2_length_and_validity() -> None:
    """A text of more than 2000 UTF-16 units and a negative validity are refused with code 2."""
    caller = await logged_in()
    await caller.send(text="🙂" * 1000)
    assert refused(await caller.post("Sms/Send", message(text="🙂" * 1000 + "a")))[:2] == (400, 2)
    assert refused(await caller.post("Sms/Send", message(Validity=-1)))[:2] == (400, 2)
    assert len(caller.sandbox.account.messages) == 1


SESSION_RESOURCES = [
    ("GET", "User/Balance", {}),
    ("POST", "Sms/Send", message()),
    ("POST", "Sms/SendByTimeZone", message(SendDate="2026-03-10T12:00:00")),
    ("POST", "Sms/SendBulk", {"DestinationAddresses": "79031234567", "Data": "Hi", "SourceAddress": "ACME"}),
    ("GET", "Sms/State", {"messageId": "1"}),
    ("GET", "Sms/In", {"maxDateUTC": "2026-03-10"}),
    ("GET", "Sms/Statistics", {"startDateTime": "2026-03-01", "endDateTime": "2026-03-10"}),
]


@pytest.mark.parametrize(("method", "path", "fields"), SESSION_RESOURCES)
async def test_codes_3_and_4_for_a_session(method: str, path: str, fields: dict[str, str | int]) -> None:
    """Every resource except the login refuses an unknown session id with code 3.

    An expired session id is refused with code 4.
    """
    caller = await logged_in()
    stranger = Caller(caller.sandbox, "0" * 36)
    answers = []
    for each in (stranger, caller):
        caller.sandbox.expire_sessions()
        answers.append(await (each.get(path, **fields) if method == "GET" else each.post(path, fields)))
    assert [refused(answer) for answer in answers] == [
        (400, 3, "Invalid session id"),
        (401, 4, "SessionID expired"),
    ]


async def test_code_3_for_an_expired_session() -> None:
    """With `expired_session_code=3`, the sandbox refuses an expired session with code 3."""
    caller = await logged_in(Sandbox(expired_session_code=3))
    caller.sandbox.expire_sessions()
    assert refused(await caller.get("User/Balance")) == (400, 3, "Invalid session id")


@pytest.mark.parametrize(
    ("login", "password"),
    [("sandbox", "wrong"), ("wrong", "sandbox-password"), ("sandbox", "Sandbox-Password")],
)
async def test_code_4_login(login: str, password: str) -> None:
    """A login with wrong credentials is refused with code 4 and creates no session."""
    caller = Caller(Sandbox())
    answer = await caller.request("GET", "user/sessionid", params={"login": login, "password": password})
    assert refused(answer) == (401, 4, "Invalid user login or password")
    assert (caller.sandbox.account.logins, caller.sandbox.account.sessions) == (1, 0)


async def test_code_5_balance() -> None:
    """A message is refused with code 5 only if the price of the message is higher than the balance."""
    caller = await logged_in(Sandbox(balance=3, price="1.50"))
    assert refused(await caller.post("Sms/Send", message(text="ы" * 140)))[:2] == (403, 5)
    await caller.send(text="ы" * 134)
    assert caller.sandbox.balance == 0
    assert refused(await caller.post("Sms/Send", message()))[:2] == (403, 5)


BAD_SOURCES = ["", "ABCDEFGHIJKL", "1234567890123456", "Ромашка", "+79031234567", "   ", "bell\a"]
GOOD_SOURCES = ["A", "ABCDEFGHIJK", "123456789012345", "My Shop.ru"]


@pytest.mark.parametrize("source", BAD_SOURCES[1:])
async def test_code_6_source(source: str) -> None:
    """An invalid source address is refused with code 6."""
    caller = await logged_in()
    answer = await caller.post("Sms/Send", {**message(), "SourceAddress": source})
    assert refused(answer) == (400, 6, "Invalid source address")
    assert caller.sandbox.account.messages == []


@pytest.mark.parametrize("source", GOOD_SOURCES)
async def test_good_sources(source: str) -> None:
    """A source address of up to 11 Latin characters or up to 15 digits is accepted unchanged."""
    caller = await logged_in()
    await caller.post("Sms/Send", {**message(), "SourceAddress": source})
    assert [each.source_address for each in caller.sandbox.account.messages] == [source]


@pytest.mark.parametrize(
    "number",
    [
        "123",
        "abc",
        "0790312345",
        "7903123456712345",
        "++79031234567",
        "8(903)1234567",
        "89031234567",
        "７９０３１２３４５６７",
    ],
)
async def test_code_6_destination(number: str) -> None:
    """An invalid destination address is refused with code 6.

    In a bulk, one invalid address refuses all messages.
    """
    caller = await logged_in()
    one = await caller.post("Sms/Send", message(number))
    fields = {"DestinationAddresses": ["79031234567", number], "Data": "Hi", "SourceAddress": "ACME"}
    bulk = await caller.post("Sms/SendBulk", fields)
    assert refused(one) == refused(bulk) == (400, 6, "Invalid destination address")
    assert caller.sandbox.account.messages == []
    assert caller.sandbox.balance == 10000


@pytest.mark.parametrize(
    ("ending", "status", "code"), [("806", 400, 6), ("807", 403, 7), ("808", 500, 8), ("809", 500, 9)]
)
async def test_refusals_by_the_number(ending: str, status: int, code: int) -> None:
    """If one number of a request ends in 806 to 809, the sandbox refuses the whole request.

    The last digit of the number is the error code.
    """
    caller = await logged_in()
    one = await caller.post("Sms/Send", message(f"79031234{ending}"))
    numbers = ["79031234567", f"79031234{ending}"]
    bulk = await caller.post(
        "Sms/SendBulk", {"DestinationAddresses": numbers, "Data": "Hi", "SourceAddress": "ACME"}
    )
    assert refused(one)[:2] == refused(bulk)[:2] == (status, code)
    assert caller.sandbox.account.messages == []
    assert caller.sandbox.balance == 10000


@pytest.mark.parametrize("date", ["", "yesterday", "2010-0601T19:14:00", "2026-02-30", "2026-03-10T25:00:00"])
async def test_code_9_required_date(date: str) -> None:
    """If a required date is empty or invalid, the request is refused with code 9.

    The description of code 9 has the words of the vendor's document.
    """
    caller = await logged_in()
    assert refused(await caller.get("Sms/In", maxDateUTC=date)) == (500, 9, NULL_ENTRY)
    by_zone = await caller.post("Sms/SendByTimeZone", message(SendDate=date))
    status, code, description = refused(by_zone)
    assert (status, code) == (500, 9)
    assert "'sendDate'" in description
    assert "SendByTimeZone(" in description
    for name, other in (("startDateTime", "endDateTime"), ("endDateTime", "startDateTime")):
        answer = await caller.get("Sms/Statistics", **{name: date, other: "2026-03-10"})
        assert refused(answer)[1] == 9
        assert f"'{name}'" in refused(answer)[2]


@pytest.mark.parametrize(
    "fields",
    [
        {"Validity": "soon"},
        {"Validity": "1.5"},
        {"Validity": "2147483648"},
        {"Validity": "1_0"},
        {"SendDate": "now"},
    ],
    ids=str,
)
async def test_code_9_unreadable_option(fields: dict[str, str]) -> None:
    """If an optional number or date is invalid, the request is refused with code 9."""
    caller = await logged_in()
    assert refused(await caller.post("Sms/Send", {**message(), **fields}))[:2] == (500, 9)
    assert caller.sandbox.account.messages == []


async def test_unreadable_minimum_of_incoming() -> None:
    """An invalid `minDateUTC` of `Sms/In` is refused with code 9."""
    caller = await logged_in()
    answer = await caller.get("Sms/In", minDateUTC="x", maxDateUTC="2026-03-10")
    assert refused(answer)[:2] == (500, 9)


async def test_order_of_the_checks() -> None:
    """The sandbox checks a send in the order of the contract (contract, "Checks before a send")."""
    sandbox = Sandbox(balance=0)
    caller = Caller(sandbox, "0" * 36)
    fields: dict[str, str | int] = {"DestinationAddress": "123", "SourceAddress": "Ромашка", "Validity": 1}
    seen = [refused(await caller.post("Sms/Send", fields))[1:]]
    fields["Data"] = "ы" * 2001
    seen.append(refused(await caller.post("Sms/Send", fields))[1:])
    await caller.log_in()
    seen.append(refused(await caller.post("Sms/Send", fields))[1:])
    sandbox.balance = Decimal(1000)
    seen.append(refused(await caller.post("Sms/Send", fields))[1:])
    fields["DestinationAddress"] = "79031234567"
    seen.append(refused(await caller.post("Sms/Send", fields))[1:])
    fields["SourceAddress"] = "ACME"
    seen.append(refused(await caller.post("Sms/Send", fields))[1:])
    assert seen == [
        (1, "Data can not be null or empty Parameter name: data"),
        (3, "Invalid session id"),
        (5, "Not enough credits"),
        (6, "Invalid destination address"),
        (6, "Invalid source address"),
        (2, "Data can not be longer than 2000 characters Parameter name: data"),
    ]
    assert sandbox.account.messages == []
    assert sandbox.balance == 1000


async def test_unquoted_errors() -> None:
    """With `unquoted_errors=True`, an error body has unquoted keys.

    The examples in the vendor's document also have unquoted keys.
    """
    caller = Caller(Sandbox(start=START, unquoted_errors=True))
    answer = await caller.request("GET", "user/sessionid?login=a&password=b")
    assert answer.text == '{Code: 4, Desc: "Invalid user login or password"}'
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
