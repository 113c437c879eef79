"""The sandbox understands the requests of all clients that the vendor published.

The clients differ in the spelling of names, in the place of the parameters (query or body) and in the date
format. The tests write raw requests to a socket, because an HTTP library would remove some of these
differences.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import anyio
import attrs
import h11
import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.sandbox.support import START

pytestmark = pytest.mark.anyio

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NUMBERS = ["79031234567", "+79161234567"]
TEXT = "Привет, мир + 100%"

Fields = Mapping[str, str | int | Sequence[str]]
Pairs = list[tuple[str, str | int]]


@attrs.frozen
class Raw:
    """One request of a published client; the path `target` is relative to the base URL."""

    method: str
    target: str
    body: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Style:
    """The paths, parameter names, date formats and encoding that one client uses in its requests."""

    build: Callable[[str, str, Fields], Raw]
    paths: Mapping[str, str]
    names: Mapping[str, str] = attrs.field(factory=dict)
    date: str = "%Y-%m-%dT%H:%M:%S"
    statistics_date: str = "%Y-%m-%dT%H:%M:%S"

    def request(self, method: str, resource: str, fields: Fields) -> Raw:
        """Return the request for a resource with the paths, names and encoding of this client."""
        spelled = {self.names.get(name, name[0].lower() + name[1:]): value for name, value in fields.items()}
        return self.build(method, self.paths.get(resource, resource), spelled)


def pairs_of(fields: Fields) -> Pairs:
    """Return the fields as pairs of name and value. A list of values becomes one pair for each value."""
    pairs: Pairs = []
    for name, value in fields.items():
        pairs += [(name, each) for each in value] if isinstance(value, list) else [(name, value)]  # type: ignore[list-item]
    return pairs


def python_urllib(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of rest_service.py.

    A GET has a query, and a POST has a form with all optional parameters.
    """
    if method == "GET":
        return Raw("GET", f"{path}?{urlencode(pairs_of(fields))}")
    options: Fields = {"validity": 0, "sendDate": ""}
    return Raw("POST", path, urlencode(pairs_of({**options, **fields})), FORM)


def python_requests(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of sw-python-sms-devino, which uses `params` and `data` of the library requests."""
    headers = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"}
    encoded = urlencode(pairs_of(fields))
    if method == "GET":
        return Raw("GET", f"{path}?{encoded}", headers=headers)
    return Raw("POST", path, encoded, {**headers, **FORM})


def php(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of the PHP client. A query has unescaped values, and a form has numbered list items."""
    if method == "GET":
        glued = "&".join(f"{name}={str(value).replace(' ', '%20')}" for name, value in fields.items())
        return Raw("GET", f"{path}?{glued}")
    pairs: Pairs = []
    for name, value in fields.items():
        if isinstance(value, list):
            pairs += [(f"{name}[{index}]", each) for index, each in enumerate(value)]
        else:
            pairs.append((name, str(value)))
    return Raw("POST", path, urlencode(pairs), FORM)


def ruby(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of the Ruby client. A POST has a form, but a bulk has its recipients in the query."""
    rest = {name: value for name, value in fields.items() if name != "destinationAddresses"}
    encoded = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in rest.items())
    if method == "GET":
        return Raw("GET", f"{path}?{encoded}")
    recipients = fields.get("destinationAddresses", [])
    query = "&".join(f"destinationAddresses={each}" for each in recipients) if recipients else ""  # type: ignore[union-attr]
    # The test removes the plus signs, because the Ruby client does not escape the recipients, and the gateway
    # would read a plus sign as a space.
    query = query.replace("+", "")
    return Raw("POST", f"{path}?{query}" if query else path, encoded, FORM)


def csharp_encode(value: object) -> str:
    """Encode a value as `HttpUtility.UrlEncodeUnicode` of .NET does.

    Each UTF-16 unit beyond ASCII becomes `%uXXXX`.
    """
    units = str(value).encode("utf-16-be")
    codes = [int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2)]
    return "".join(quote_plus(chr(code)) if code < 128 else f"%u{code:04x}" for code in codes)


def csharp(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of the C# client. Even a GET has the content type of a form."""
    encoded = "&".join(f"{name}={csharp_encode(value)}" for name, value in pairs_of(fields))
    return (
        Raw("GET", f"{path}?{encoded}", headers=FORM) if method == "GET" else Raw("POST", path, encoded, FORM)
    )


def csharp_twice(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of a C# client that puts the parameters of a POST into the query and the body."""
    request = csharp(method, path, fields)
    return request if method == "GET" else attrs.evolve(request, target=f"{path}?{request.body}")


def perl(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of the Perl client. All parameters are in the query, and a POST has an empty body."""
    options = {"sendDate": "", "validity": ""} if method == "POST" else {}
    encoded = urlencode(pairs_of({**options, **fields}), quote_via=quote)
    return Raw(method, f"{path}?{encoded}", "", FORM)


def java(method: str, path: str, fields: Fields) -> Raw:
    """Build a request of the Java client. A GET has a query, and a POST has a form in UTF-8."""
    encoded = "&".join(f"{name}={quote_plus(str(value), safe='*-._')}" for name, value in pairs_of(fields))
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    return Raw("GET", f"{path}?{encoded}") if method == "GET" else Raw("POST", path, encoded, form)


def document(method: str, path: str, fields: Fields) -> Raw:
    """Build a request as in the examples of the vendor's document. A POST has a query and no content type."""
    return Raw(method, f"{path}?{urlencode(pairs_of(fields), quote_via=quote)}")


VENDOR_PATHS = {"user/sessionid": "User/SessionId"}
LOWER_PATHS = {
    "user/sessionid": "user/sessionId",
    "User/Balance": "user/balance",
    "Sms/Send": "sms/send",
    "Sms/SendByTimeZone": "sms/sendbytimezone",
    "Sms/SendBulk": "sms/sendbulk",
    "Sms/State": "sms/state",
    "Sms/In": "sms/in",
    "Sms/Statistics": "sms/statistics",
}
IDS = {"SessionID": "sessionId"}
AS_PRINTED = {
    name: name
    for name in (
        "SessionID",
        "DestinationAddress",
        "DestinationAddresses",
        "Data",
        "SourceAddress",
        "SendDate",
        "Validity",
    )
}
STYLES = {
    "python-urllib": Style(python_urllib, LOWER_PATHS, IDS),
    "python-requests": Style(
        python_requests,
        {**LOWER_PATHS, "Sms/SendBulk": "sms/sendBulk"},
        {**IDS, "DestinationAddresses": "DestinationAddresses"},
        date="%Y-%m-%d %H:%M:%S",
    ),
    "php": Style(php, VENDOR_PATHS, IDS),
    "php-trailing-slash": Style(php, {"Sms/SendBulk": "Sms/SendBulk/"}, AS_PRINTED, date="%Y-%m-%d %H:%M"),
    "ruby": Style(ruby, VENDOR_PATHS, IDS, statistics_date="%Y-%m-%d"),
    "csharp": Style(csharp, VENDOR_PATHS, IDS),
    "csharp-twice": Style(csharp_twice, VENDOR_PATHS, IDS),
    "perl": Style(perl, VENDOR_PATHS, IDS),
    "java": Style(java, VENDOR_PATHS, IDS, statistics_date="%Y-%m-%d %H:%M:%S"),
    "document": Style(document, {}, AS_PRINTED, statistics_date="%Y-%m-%d %H:%M:%S"),
}


@attrs.define
class Client:
    """Calls one sandbox with the requests of one published client."""

    sandbox: Sandbox
    style: Style
    session: str = ""

    async def call(self, method: str, resource: str, **fields: str | int | Sequence[str]) -> Any:
        """Call a resource and return the decoded response."""
        full = {"SessionID": self.session, **fields} if self.session else fields
        status, body = await exchange(self.sandbox.base_url, self.style.request(method, resource, full))
        assert status == 200, body
        return json.loads(body)


async def exchange(base_url: str, raw: Raw) -> tuple[int, str]:
    """Send one request over a new connection; return the HTTP status and the body of the response."""
    url = httpx.URL(base_url)
    headers = [("Host", url.host), *raw.headers.items()]
    body = raw.body.encode()
    if raw.method == "POST":
        headers.append(("Content-Length", str(len(body))))
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method=raw.method, target=f"{url.path}/{raw.target}", headers=headers)
    status, received = 0, b""
    async with await anyio.connect_tcp(url.host, url.port or 80) as stream:
        for event in (request, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()):
            await stream.send(connection.send(event) or b"")
        while True:
            answer = connection.next_event()
            if answer is h11.NEED_DATA:
                connection.receive_data(await stream.receive())
            elif isinstance(answer, h11.Response):
                status = answer.status_code
            elif isinstance(answer, h11.Data):
                received += bytes(answer.data)
            else:
                return status, received.decode()


@pytest.mark.parametrize("name", STYLES)
async def test_published_client(name: str) -> None:
    """The sandbox understands every request of a published client and keeps texts and numbers unchanged."""
    style = STYLES[name]
    async with run_sandbox(start=START) as sandbox:
        client = Client(sandbox, style)
        client.session = await client.call(
            "GET", "user/sessionid", Login=sandbox.login, Password=sandbox.password
        )
        assert await client.call("GET", "User/Balance") == 10000
        one = await client.call(
            "POST", "Sms/Send", DestinationAddress=NUMBERS[0], Data=TEXT, SourceAddress="ACME", Validity=10
        )
        due = (START + timedelta(hours=4)).strftime(style.date)
        scheduled = await client.call(
            "POST",
            "Sms/SendByTimeZone",
            DestinationAddress=NUMBERS[0],
            Data=TEXT,
            SourceAddress="ACME",
            SendDate=due,
        )
        bulk = await client.call(
            "POST", "Sms/SendBulk", DestinationAddresses=NUMBERS, Data=TEXT, SourceAddress="ACME"
        )
        assert [len(one), len(scheduled), len(bulk)] == [1, 1, 2]
        messages = sandbox.account.messages
        assert [each.text for each in messages] == [TEXT] * 4
        assert [each.destination_address for each in messages] == [
            "79031234567",
            "79031234567",
            "79031234567",
            "79161234567",
        ]
        assert [each.validity for each in messages] == [10, None, None, None]
        assert [each.send_date for each in messages] == [None, START + timedelta(hours=1), None, None]
        await ask_for_reports(client, one[0])


async def ask_for_reports(client: Client, segment_id: str) -> None:
    """Request the state, the incoming messages and the statistics, and check the responses."""
    sandbox, style = client.sandbox, client.style
    sandbox.advance(seconds=10)
    sandbox.receive("79031234567", text="Да")
    assert (await client.call("GET", "Sms/State", messageId=segment_id))["State"] == 0
    since, until = (
        (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S") for minutes in (-60, 60)
    )
    found = await client.call("GET", "Sms/In", minDateUTC=since, maxDateUTC=until)
    assert [each["Data"] for each in found] == ["Да"]
    day = START.replace(hour=0)
    counts = await client.call(
        "GET",
        "Sms/Statistics",
        startDateTime=day.strftime(style.statistics_date),
        endDateTime=(day + timedelta(days=1)).strftime(style.statistics_date),
    )
    assert (counts["Delivered"], counts["InProcess"], counts["Total"]) == (3, 1, 4)


async def test_dotnet_escapes_beyond_the_basic_plane() -> None:
    """A character that .NET escapes as two UTF-16 units arrives as one character."""
    async with run_sandbox() as sandbox:
        client = Client(sandbox, STYLES["csharp"])
        client.session = await client.call(
            "GET", "user/sessionid", Login=sandbox.login, Password=sandbox.password
        )
        await client.call(
            "POST", "Sms/Send", DestinationAddress=NUMBERS[0], Data="да 🙂 %u", SourceAddress="ACME"
        )
        assert sandbox.account.messages[0].text == "да 🙂 %u"
