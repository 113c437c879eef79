"""The sandbox serves every resource of the contract (contract, "Resources")."""

import json
from decimal import Decimal

import httpx
import pytest

from smsapi_async.sandbox import Sandbox
from tests.sandbox.support import START, Caller, logged_in, message

pytestmark = pytest.mark.anyio

SESSION_HEADERS = {"cache-control": "private", "connection": "Keep-Alive"}
ROWS = [
    ("user/sessionid", "GET", {"Login": "sandbox", "Password": "sandbox-password"}),
    ("User/Balance", "GET", {}),
    ("Sms/Send", "POST", message()),
    ("Sms/SendByTimeZone", "POST", message(SendDate="2026-03-10T12:00:00")),
    ("Sms/SendBulk", "POST", {"DestinationAddresses": "79031234567", "Data": "Hi", "SourceAddress": "ACME"}),
    ("Sms/State", "GET", {"messageId": "1"}),
    ("Sms/In", "GET", {"maxDateUTC": "2026-03-10T12:00:00"}),
    ("Sms/Statistics", "GET", {"startDateTime": "2026-03-01", "endDateTime": "2026-03-10"}),
]
rows = pytest.mark.parametrize(("path", "method", "fields"), ROWS, ids=[row[0] for row in ROWS])


async def call(caller: Caller, method: str, path: str, fields: dict[str, str | int]) -> httpx.Response:
    """Send the request of a row of `ROWS`, and return the response."""
    return await (caller.get(path, **fields) if method == "GET" else caller.post(path, fields))


@rows
async def test_success_headers(path: str, method: str, fields: dict[str, str | int]) -> None:
    """Every resource responds with HTTP 200 and with the three headers of the contract."""
    answer = await call(await logged_in(), method, path, fields)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert SESSION_HEADERS.items() <= dict(answer.headers).items()


@rows
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
async def test_any_case(path: str, method: str, fields: dict[str, str | int], spell: type[str]) -> None:
    """The sandbox ignores the case of resource names and parameter names."""
    caller = await logged_in()
    spelled = {spell(name): value for name, value in {**fields, "SessionID": caller.session}.items()}
    options = {"params": spelled} if method == "GET" else {"data": spelled}
    answer = await caller.request(method, spell(path), **options)
    assert answer.status_code == 200, answer.text


@rows
async def test_wrong_method(path: str, method: str, fields: dict[str, str | int]) -> None:
    """A request with the wrong method has no effect.

    The response has HTTP status 405, and its header `Allow` contains the right method.
    """
    caller = await logged_in()
    answer = await call(caller, "POST" if method == "GET" else "GET", path, fields)
    assert (answer.status_code, answer.headers["allow"]) == (405, method)
    assert answer.headers["content-type"].startswith("text/html")
    assert caller.sandbox.account.messages == []
    assert caller.sandbox.account.sessions == 1


@pytest.mark.parametrize("path", ["", "Sms", "Sms/Sent", "Viber/Send", "Sms/Send/1", "rest/Sms/Send"])
async def test_unknown_resource(path: str) -> None:
    """The response to a request with an unknown path has HTTP status 404.

    The account records the request without a resource.
    """
    caller = await logged_in()
    answer = await caller.get(path)
    assert answer.status_code == 404
    assert "The resource cannot be found" in answer.text
    assert caller.sandbox.account.arrivals[-1].resource is None


async def test_path_spellings() -> None:
    """The sandbox accepts a path in upper case and with a final slash.

    If a path does not begin with the base path, the response has HTTP status 404.
    """
    sandbox = Sandbox()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app)) as client:
        for path, status in {
            "/rest/User/SessionId": 200,
            "/REST/user/sessionid/": 200,
            "/User/SessionId": 404,
            "/restUser/SessionId": 404,
            "/v1/rest/User/SessionId": 404,
        }.items():
            answer = await client.get(f"http://127.0.0.1{path}?login=sandbox&password=sandbox-password")
            assert answer.status_code == status


async def test_session_is_36_characters() -> None:
    """Each login returns a new session id of 36 characters as a JSON string."""
    caller = Caller(Sandbox())
    first, second = await caller.log_in(), await caller.log_in()
    assert len(first) == len(second) == 36
    assert first != second
    assert caller.sandbox.account.sessions == 2


async def test_balance_is_a_number_that_falls() -> None:
    """The balance is a JSON number and decreases by the price of each accepted segment."""
    caller = await logged_in(Sandbox(balance=Decimal("10.00"), price=Decimal("1.25")))
    assert (await caller.get("User/Balance")).text == "10.00"
    await caller.send(text="ы" * 71)
    assert (await caller.get("User/Balance")).text == "7.50"
    assert caller.sandbox.balance == Decimal("7.50")


async def test_send_gives_one_id_a_segment() -> None:
    """A send returns one unique id of 18 digits for each segment."""
    caller = await logged_in()
    ids = [*await caller.send(text="a" * 160), *await caller.send(text="a" * 161), *await caller.send()]
    assert len(ids) == len(set(ids)) == 4
    assert all(len(each) == 18 and each.isdigit() for each in ids)


async def test_alphanumeric_ids() -> None:
    """Alphanumeric ids have three different forms, and a URL must escape the `+` in an id."""
    caller = await logged_in(Sandbox(start=START, id_style="alphanumeric"))
    ids = await caller.send(text="a" * 400)
    assert ids == ["GW0261BA732A", "WF3F22A2E", "SAR-W+84333"]
    caller.sandbox.advance(minutes=1)
    assert [(await caller.state(each))["State"] for each in ids] == [0, 0, 0]
    # The next request contains an unknown id, because an unescaped plus sign in a URL means a space.
    raw = await caller.request("GET", f"Sms/State?SessionID={caller.session}&messageId=SAR-W+84333")
    assert raw.json()["State"] == 255


async def test_bulk_ids_are_flat() -> None:
    """The response to a bulk lists the segment ids message by message. A bulk may contain a number twice."""
    caller = await logged_in()
    numbers = ["+79031234567", "79161234567", "79031234567"]
    fields = {"DestinationAddresses": numbers, "Data": "ы" * 71, "SourceAddress": "ACME"}
    ids = (await caller.post("Sms/SendBulk", fields)).json()
    messages = caller.sandbox.account.messages
    assert [each.destination_address for each in messages] == ["79031234567", "79161234567", "79031234567"]
    assert ids == [segment_id for each in messages for segment_id in each.segment_ids]
    assert len(ids) == 6
    assert caller.sandbox.balance == 10000 - 6 * Decimal("1.50")


async def test_form_and_query_are_merged() -> None:
    """A parameter can be in the form or in the query, and the form has priority over the query."""
    caller = await logged_in()
    query = {"SessionID": caller.session, "destinationaddresses": ["79000000001"], "Validity": "5"}
    form = {"DestinationAddresses": ["79000000002", "79000000003"], "data": "Hi", "SOURCEADDRESS": "ACME"}
    answer = await caller.request("POST", "Sms/SendBulk", params=query, data=form)
    assert len(answer.json()) == 2
    accepted = caller.sandbox.account.messages
    assert [(each.destination_address, each.validity) for each in accepted] == [
        ("79000000002", 5),
        ("79000000003", 5),
    ]


async def test_first_of_a_repeated_parameter() -> None:
    """If a request contains a parameter twice, the sandbox uses the first value."""
    caller = await logged_in()
    body = (
        "DestinationAddress=79000000001&destinationAddress=79000000002&Data=one&data=two&SourceAddress=ACME"
    )
    answer = await caller.request(
        "POST",
        f"Sms/Send?SessionID={caller.session}",
        content=body,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 200
    (accepted,) = caller.sandbox.account.messages
    assert (accepted.destination_address, accepted.text) == ("79000000001", "one")


async def test_empty_optional_parameters() -> None:
    """An empty optional parameter and a validity of zero have the same effect as a missing parameter."""
    caller = await logged_in()
    await caller.send(SendDate="", Validity="")
    await caller.send(Validity=0)
    assert [(each.send_date, each.validity) for each in caller.sandbox.account.messages] == [(None, None)] * 2


async def test_other_bodies_are_no_form() -> None:
    """The sandbox reads no parameters from a body that is not a form."""
    caller = await logged_in()
    answer = await caller.request("POST", "Sms/Send", json={"SessionID": caller.session, **message()})
    assert (answer.status_code, answer.json()["Code"]) == (400, 1)


async def test_text_comes_back_whole() -> None:
    """A text with special characters is accepted unchanged."""
    caller = await logged_in()
    text = "a+b==13!% &?#=;/\\\"'\n\t€ Привет 🙂 \u200d"
    await caller.send(text=text)
    assert caller.sandbox.account.messages[0].text == text


async def test_state_object_is_spelled_as_documented() -> None:
    """The state of an unknown segment has the JSON form of the contract, with escaped slashes in the date."""
    caller = await logged_in()
    (segment_id,) = await caller.send()
    answer = await caller.get("Sms/State", messageId=segment_id)
    assert answer.text == (
        '{"State":255,"CreationDateUtc":null,"SubmittedDateUtc":null,"ReportedDateUtc":null,'
        '"TimeStampUtc":"\\/Date(-62135596800000)\\/","StateDescription":"Неизвестный","Price":null}'
    )
    assert (await caller.get("Sms/State", messageId="no such id")).text == answer.text


async def test_state_dates_and_price() -> None:
    """The state of a delivered segment contains the dates of all steps and the price of the segment."""
    caller = await logged_in(Sandbox(start=START, price="2.10"))
    segment_ids = await caller.send(text="ы" * 100)
    caller.sandbox.advance(seconds=5)
    answer = await caller.get("Sms/State", messageId=segment_ids[1])
    begin = int(START.timestamp()) * 1000
    assert json.loads(answer.text, parse_float=Decimal) == {
        "State": 0,
        "CreationDateUtc": f"/Date({begin})/",
        "SubmittedDateUtc": f"/Date({begin + 2000})/",
        "ReportedDateUtc": f"/Date({begin + 5000})/",
        "TimeStampUtc": f"/Date({begin + 5000})/",
        "StateDescription": "Доставлено абоненту",
        "Price": Decimal("2.10"),
    }
    assert '"\\/Date(' in answer.text
