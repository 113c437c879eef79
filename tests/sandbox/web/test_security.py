"""Pages of other sites cannot read or control the sandbox, and passwords of real accounts are not shown."""

import base64
import gzip
import json
import socket
import time
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlencode
from xml.sax.saxutils import escape, quoteattr

import httpx
import pytest

from smsapi_async.sandbox import run_sandbox
from smsapi_async.sandbox.web.access import WebAccess
from smsapi_async.sandbox.web.secret_masks import SecretMask
from tests.cli.test_process import running_sandbox
from tests.sandbox.web.support import WebCaller, served, web_client

pytestmark = pytest.mark.anyio

SECRETS = ("Gé heim+/&%\"'7", "hunter2-geheim")
BALANCE = b'{"balance": "0"}'
JSON_TYPE = ("Content-Type", "application/json")
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.mark.parametrize("path", ["", "static/page.js", "static/no", "api/v1/state", "api/v1/no", "no"])
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
async def test_header_fields(path: str, host: str, wrong: WebCaller) -> None:
    """Each answer has the strict header fields, also an error, and none that allows another origin."""
    answer = await wrong.client.get(f"{wrong.page_url}{path}", headers={"Host": host})
    assert answer.headers.items() >= HEADERS.items()
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8099", 200),
        ("127.0.0.1:1", 200),
        ("127.8.8.8", 200),
        ("[::1]:8099", 200),
        ("app.localhost", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example:8099", 403),
        ("0.0.0.0", 403),  # noqa: S104 - only a text
        ("192.168.1.5", 403),
        ("[::2]", 403),
        ("user@localhost", 403),
        ("localhost/", 403),
        ("localhost:x", 403),
        ("evillocalhost", 403),
        ("localhost.", 200),
        ("127.1", 403),
        ("2130706433", 403),
        ("127.0.0.1:80:80", 403),
        ("localhost,evil.example", 403),
        ("localhost evil.example", 403),
        ("evil.example/.localhost", 403),
        ("evil.example#.localhost", 403),
        ("[fe80::1]", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_host(host: str, status: int, wrong: WebCaller) -> None:
    """Only a name of this computer reaches the page, so that DNS rebinding does not help another site."""
    for path in ("", "api/v1/state"):
        answer = await wrong.client.get(f"{wrong.page_url}{path}", headers={"Host": host})
        assert answer.status_code == status


async def test_two_sites(wrong: WebCaller) -> None:
    """A second header field `Sec-Fetch-Site` does not hide the first one."""
    for sites in (("same-origin", "cross-site"), ("cross-site", "none")):
        fields = [("Sec-Fetch-Site", site) for site in sites]
        assert (await wrong.call("GET", "state", headers=fields)).status_code == 403


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND"])
@pytest.mark.parametrize("path", ["", "static/page.js", "api/v1/state", "api/v1/events", "api/v1/reset"])
async def test_other_methods(method: str, path: str, wrong: WebCaller) -> None:
    """Another method changes nothing, and its answer has the strict header fields and allows no origin."""
    fields = {"X-HTTP-Method-Override": "POST", "Access-Control-Request-Method": "POST"}
    answer = await wrong.client.request(method, f"{wrong.page_url}{path}", headers=fields)
    is_read = method == "HEAD" and path not in {"api/v1/events", "api/v1/reset"}
    assert answer.status_code == (200 if is_read else 405)
    assert answer.headers.items() >= HEADERS.items()
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await wrong.get("messages"))["total"] == 1


async def test_method_override(wrong: WebCaller) -> None:
    """The method of a request is the one in its first line."""
    for field in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = await wrong.call("GET", "messages?limit=1", headers={field: "DELETE"})
        assert answer.status_code == 200
        assert (await wrong.call("POST", "messages", headers={field: "DELETE"})).status_code == 405
    assert (await wrong.get("messages"))["total"] == 1


async def test_header_fields_of_other_answers(wrong: WebCaller) -> None:
    """The stream of events, a conditional request and an answer on the faulty line have them, too."""
    async with wrong.client.stream("GET", f"{wrong.page_url}api/v1/events") as stream:
        assert stream.headers.items() >= HEADERS.items()
    answer = await wrong.client.get(wrong.page_url, headers={"If-None-Match": "*"})
    assert answer.headers.items() >= HEADERS.items()
    faulty = (await wrong.get("faults"))["base_url"].removesuffix("rest")
    answer = await wrong.client.get(f"{faulty}api/v1/state")
    assert (answer.status_code, answer.headers.items() >= HEADERS.items()) == (421, True)


@pytest.mark.parametrize(
    "path",
    [
        *("/rest/../api/v1/state", "/rest/%2e%2e/api/v1/state", "/REST/../static/page.js", "/rest/../"),
        *("/rest//api/v1/state", "//rest/api/v1/state", "/rest/api/v1/state", "/rest/static/page.js"),
        *("/%72est/../api/v1/state", "/rest/..%2fapi/v1/state", "/rest", "/rest/"),
        *("//api/v1/state", "/api/v1//state", "/api/v1/state/", "/%61pi/v1/state", "/rest;/../api/v1/state"),
        *("/static/../index.html", "/static/%2e%2e/page_server.py", "/static/..%2fpage_server.py"),
        *("http://localhost/api/v1/state", "/rest\\..\\api\\v1\\state", "/api/v1/../../rest/../api/v1/state"),
    ],
)
async def test_paths(path: str, wrong: WebCaller) -> None:
    """No spelling of a path reaches the page, the control API or another file under a foreign host name."""
    port = httpx.URL(wrong.page_url).port or 0
    request = f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as answer:
        connection.sendall(request.encode())
        head, _, body = answer.read().partition(b"\r\n\r\n")
    assert head.split()[1] in {b"403", b"404"}
    assert not [each for each in (b"79031234567", b"messages", b"import ", b"function") if each in body]


MARKUP = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize("dialect", ["contract", "latest"])
@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", f"/{MARKUP}", {}),
        ("GET", "/User/SessionId", {"params": {"login": MARKUP}}),
        ("GET", "/User/Balance", {"params": {"SessionID": MARKUP}}),
        (
            "POST",
            "/Sms/Send",
            {"data": {"DestinationAddress": MARKUP, "SourceAddress": MARKUP, "Data": MARKUP}},
        ),
        ("POST", "/Sms/Send", {"content": "{" + MARKUP, "headers": {"Content-Type": "application/json"}}),
        ("PUT", f"/Sms/Send{MARKUP}?{MARKUP}", {}),
    ],
)
async def test_no_markup_from_the_gateway(
    method: str, path: str, options: dict[str, Any], dialect: str, anyio_backend: str
) -> None:
    """The gateway has the origin of the page, and its answers repeat no markup of a request."""
    async with served(dialect=dialect) as (_, caller):
        answer = await caller.client.request(method, caller.base_url + path, **options)
        assert "onerror" not in answer.text


async def test_the_gateway_has_no_such_rule(wrong: WebCaller) -> None:
    """A client may reach the gateway itself under any name."""
    answer = await wrong.client.get(f"{wrong.base_url}/User/Balance", headers={"Host": "sms.example"})
    assert answer.json()["Code"] == 1


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8099", 200),
        ("HTTP://LOCALHOST:8099", 200),
        ("https://localhost:8099", 200),
        ("http://localhost", 403),
        ("http://localhost:3000", 403),
        ("http://127.0.0.1:8099", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost:8099/", 403),
        ("http://localhost:8099, http://evil.example", 403),
        ("http://user@localhost:8099", 403),
        ("", 403),
    ],
)
async def test_origin(origin: str, status: int, wrong: WebCaller) -> None:
    """Another origin, also another port of this computer, can neither read nor change anything."""
    headers = {"Host": "localhost:8099", "Origin": origin}
    assert (await wrong.call("GET", "state", headers=headers)).status_code == status
    answer = await wrong.call("PATCH", "clock", headers=headers, json={"running": False})
    assert answer.status_code == status
    assert status == 200 or "Make the request outside a browser" in answer.json()["error"]
    assert (await wrong.get("clock"))["running"] is (status != 200)


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("GET", "", {"Sec-Fetch-Site": "none"}, 200),
        ("GET", "api/v1/state", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", "api/v1/state", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("POST", "api/v1/reset", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("GET", "", NAVIGATION, 200),
        ("GET", "?a=1", NAVIGATION, 200),
        ("GET", "", {"Sec-Fetch-Site": "garbage"}, 403),
        ("GET", "api/v1/state", {"Sec-Fetch-Site": ""}, 403),
        ("HEAD", "", NAVIGATION, 403),
        ("GET", "", {**NAVIGATION, "Sec-Fetch-Dest": "object"}, 403),
        ("GET", "", {**NAVIGATION, "Sec-Fetch-Site": "same-site"}, 200),
        ("GET", "", {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", "", {**NAVIGATION, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, 403),
        ("POST", "", NAVIGATION, 403),
        ("GET", "static/page.js", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", "api/v1/state", NAVIGATION, 200),
        ("GET", "api/v1/openapi.json", NAVIGATION, 200),
        ("GET", "api/v1/state", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("POST", "api/v1/reset", NAVIGATION, 403),
        ("DELETE", "api/v1/messages", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "api/v1/events", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_site(method: str, path: str, fields: dict[str, str], status: int, wrong: WebCaller) -> None:
    """A link of another site opens a document, but no other request of another site is answered."""
    answer = await wrong.client.request(method, f"{wrong.page_url}{path}", headers=fields)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": {"balance": "0"}}, 415),
        ({"files": {"balance": b"0"}}, 415),
        ({"content": BALANCE, "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": BALANCE}, 415),
        ({"files": {"balance": ("a.json", BALANCE, "application/json")}}, 415),
        ({"content": BALANCE, "headers": {"Content-Type": "text/plain; application/json"}}, 415),
        ({"content": BALANCE, "headers": {"Content-Type": "application/json, text/plain"}}, 415),
        ({"content": b"", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": BALANCE, "headers": {"Content-Type": "application/jsonx"}}, 415),
        ({"content": BALANCE, "headers": [JSON_TYPE, ("Content-Type", "text/plain")]}, 415),
        ({"content": BALANCE, "headers": {"Content-Type": "Application/JSON; charset=utf-8"}}, 200),
    ],
)
async def test_bodies(options: dict[str, Any], status: int, wrong: WebCaller) -> None:
    """A body must be JSON, which a form of another site cannot send."""
    before = (await wrong.get("account"))["balance"]
    answer = await wrong.call("PATCH", "account", **options)
    assert answer.status_code == status
    assert (await wrong.get("account"))["balance"] == (before if status != 200 else "0.00")


async def test_bodies_in_chunks(wrong: WebCaller) -> None:
    """A body without a length needs the content type, too."""

    async def chunks() -> Any:
        yield b"{}"

    assert (await wrong.call("POST", "reset", content=chunks())).status_code == 415


async def test_allowed_hosts(anyio_backend: str) -> None:
    """`allow_hosts` names further hosts, with or without a port; the URL of the page has an allowed name."""
    async with run_sandbox(host="0.0.0.0", allow_hosts=["SMS.example", "box.example:8099"]) as sandbox:  # noqa: S104
        port = httpx.URL(sandbox.base_url).port
        assert sandbox.page_url == f"http://sms.example:{port}/"
        async with web_client() as client:
            for host, status in (
                ("sms.example", 200),
                ("sms.example:1", 200),
                ("box.example:8099", 200),
                ("box.example", 403),
                ("localhost", 200),
                ("other.example", 403),
            ):
                url = f"http://127.0.0.1:{port}/api/v1/info"
                answer = await client.get(url, headers={"Host": host})
                assert answer.status_code == status, host
                assert status != 200 or answer.json()["base_url"] == f"http://{host}/rest"


async def test_off_beyond_this_computer(anyio_backend: str) -> None:
    """If the server listens beyond this computer, the page and the control API are off."""
    async with run_sandbox(host="0.0.0.0") as sandbox, web_client() as client:  # noqa: S104
        assert sandbox.page_url is None
        port = httpx.URL(sandbox.base_url).port
        for path in ("", "static/page.js", "api/v1/state", "api/v1/livez"):
            answer = await client.get(f"http://127.0.0.1:{port}/{path}")
            assert answer.status_code == 404
            assert "--allow-host" in answer.json()["error"]
        assert (await client.get(f"http://127.0.0.1:{port}/rest/User/Balance")).json()["Code"] == 1
        assert len(sandbox.account.arrivals) == 1


def test_the_option_of_the_command() -> None:
    """`--allow-host` allows a name; a text that is no host name is refused."""
    with running_sandbox("--json", "--allow-host", "sms.example", "--allow-host", "10.0.0.1") as (
        _,
        announced,
    ):
        document = json.loads(announced)
        for host in ("sms.example", "10.0.0.1"):
            assert httpx.get(document["page_url"], headers={"Host": host}).status_code == 200
        assert httpx.get(document["page_url"], headers={"Host": "x.example"}).status_code == 403
    with running_sandbox("--host", "0.0.0.0") as (_, announced):  # noqa: S104
        assert "The page is off" in announced
    with running_sandbox() as (_, announced):
        assert "The page with the messages is http://127.0.0.1:" in announced


@pytest.mark.parametrize("host", ["", "*", "http://sms.example", "a b", "sms.example/", "[::1"])
def test_wrong_hosts(host: str) -> None:
    """A text that is no host name cannot be allowed."""
    with pytest.raises(ValueError, match="host name"):
        WebAccess.to("127.0.0.1", [host])


@pytest.mark.parametrize(
    ("host", "url"),
    [("localhost", "http://localhost:1/"), ("::1", "http://[::1]:1/"), ("127.0.0.1", "http://127.0.0.1:1/")],
)
def test_page_url(host: str, url: str) -> None:
    """The URL of the page names the address on which the server listens."""
    assert WebAccess.to(host).page_url(host, 1) == url
    assert WebAccess.to("0.0.0.0", ["2001:db8::1"]).page_url("0.0.0.0", 1) == "http://[2001:db8::1]:1/"  # noqa: S104


def spellings(secret: str) -> set[str]:
    """Return the texts in which a reader could recognise a password."""
    encoded = {quote(secret, safe=""), quote(secret), quote_plus(secret), secret.replace(" ", "+")}
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, *encoded, *map(str.lower, encoded), *escaped}


def part(name: str, secret: str) -> str:
    """Return a multipart form with one field."""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{secret}\r\n--b--\r\n'


FORM = "application/x-www-form-urlencoded"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
JSON = {"Content-Type": "application/json"}


def basic(secret: str) -> str:
    """Return the credentials in the header field `Authorization`."""
    return base64.b64encode(f"me:{secret}".encode()).decode()


def requests_with(secret: str) -> list[tuple[str, str, dict[str, str], str]]:
    """Return requests with the password: the path, the method, the header fields and the body."""
    in_json = json.dumps({"Password": secret})
    soap = f"<s:Body><x:Password>{escape(secret)}</x:Password></s:Body>"
    return [
        (f"User/SessionId?Login=me&Password={quote(secret, safe='')}", "GET", {}, ""),
        (f"User/SessionId?login=me&pass%77ord={quote_plus(secret).lower()}", "GET", {}, ""),
        (f"User/SessionId?Password[0]={quote(secret)}", "GET", {}, ""),
        (f"User/SessionId?Password={quote(quote(secret))}", "GET", {}, ""),
        (f"User/SessionId?Password={quote(secret)}&Comment={quote(secret, safe='')}", "GET", {}, ""),
        (f"User/SessionId?Password={quote(secret)}", "GET", {"X-Copy": quote(secret)}, ""),
        (f"v2/Sms/Send?Password={quote(secret)}", "POST", {}, ""),
        ("User/SessionId", "POST", {"Content-Type": FORM}, f"Password={quote_plus(secret)}"),
        ("Sms/Send", "POST", {}, f"Login=a&PASSWORD={quote(secret, safe='')}&Data=x"),
        ("Sms/Send", "POST", {"Content-Type": "text/plain"}, f"Password={quote(secret, safe='')}"),
        ("No/Such", "PUT", {"Content-Type": FORM}, f"Password={quote(secret, safe='')}"),
        ("Sms/Send", "POST", JSON, in_json),
        ("Sms/Send", "POST", JSON, in_json[:-1]),
        ("Sms/Send", "POST", JSON, in_json.replace("Password", r"P\u0061ssword")),
        ("Sms/Send", "POST", JSON, json.dumps({"Password": secret}, ensure_ascii=False)),
        ("Sms/Send", "POST", {"Content-Type": FORM}, json.dumps({"a": [{"password": secret}]})),
        ("Sms/Send", "POST", MULTIPART, part("Password", secret)),
        ("Sms/Send", "POST", {"Content-Type": "multipart/form-data; boundary=c"}, part("password", secret)),
        ("Sms/Send", "POST", JSON, f"{{Login: 1, Password: {json.dumps(secret)}}}"),
        ("Sms/Send", "POST", JSON, f"{{'Password':'{secret}'}}"),
        ("Sms/Send", "POST", {"Content-Type": FORM}, f"user_password={quote(secret, safe='')}"),
        ("Sms/Send", "POST", {"Content-Type": FORM}, f"user[password]={quote(secret, safe='')}"),
        ("Sms/Send", "POST", {"Content-Type": FORM}, f"Password%00={quote(secret, safe='')}"),
        ("Sms/Send", "POST", {"Content-Type": "text/xml"}, f"<Password><![CDATA[{secret}]]></Password>"),
        ("Sms/Send", "POST", {"Content-Type": "text/xml"}, f"<a password={quoteattr(secret)}/>"),
        (f"User/SessionId?Login=me&amp;Password={quote(secret, safe='')}", "GET", {}, ""),
        (f"User/SessionId/Password/{quote(secret, safe='')}", "GET", {}, ""),
        (f"User/SessionId/Password={quote(secret, safe='')}", "GET", {}, ""),
        ("User/Balance", "GET", {"X-Auth-Password": quote(secret, safe="")}, ""),
        ("User/SessionId", "GET", {"Referer": f"http://x/?Password={quote(secret, safe='')}"}, ""),
        ("User/Balance", "GET", {"Authorization": f"Basic {basic(secret)}"}, ""),
        ("Sms/Send", "POST", JSON, f'{{"a": [{in_json}]}}'.replace("Password", r"P\u0061ssword")),
        ("Sms/Send?Password=" + quote(secret), "POST", {"X-Copy": quote(quote(f"<{secret}>"))}, ""),
        ("Sms/Send", "POST", {"Content-Type": "text/xml"}, soap),
        ("Sms/Send", "POST", {"Content-Type": FORM}, in_json),
    ]


CREDENTIALS = [(secret, *each) for secret in SECRETS for each in requests_with(secret)]


@pytest.mark.parametrize(("secret", "path", "method", "headers", "body"), CREDENTIALS)
@pytest.mark.parametrize("dialect", ["contract", "latest"])
async def test_masked_password(
    secret: str, path: str, method: str, headers: dict[str, str], body: str, dialect: str
) -> None:
    """The password of a real account is in no answer, in no encoding."""
    async with served(dialect=dialect) as (_, caller):
        await caller.client.request(method, f"{caller.base_url}/{path}", headers=headers, content=body)
        answers = [(await caller.call("GET", each)).text for each in ("state", "requests", "requests/0")]
        async with caller.client.stream("GET", f"{caller.page_url}api/v1/events?after=0") as stream:
            async for line in stream.aiter_lines():
                answers.append(line)
                if line == "event: answer":
                    break
        for answer in answers:
            # The answers are JSON, so a quotation mark has a backslash before it.
            plain = answer.replace('\\"', '"').replace("\\\\", "\\")
            for text in (answer, plain, unquote(plain), unquote(unquote(plain)), unquote_plus(plain)):
                assert not [each for each in (*spellings(secret), basic(secret)) if each in text]


SECRET = "Zx9-hunter-Geheim"
HIDDEN = "(The sandbox hides this text, because it contains a password.)"
IN_URL = f"http://x/?login=a&password={SECRET}"
IN_BASE64 = base64.b64encode(SECRET.encode()).decode()
OTHER_FORMATS: list[tuple[str, dict[str, str], str | bytes]] = [
    (f"url={quote(IN_URL, safe='')}", {}, ""),
    (f"url={quote(quote(IN_URL, safe=''), safe='')}", {}, ""),
    (f"url={quote(f'http://me:{SECRET}@x/', safe='')}", {}, ""),
    (f"login=a;password={SECRET}", {}, ""),
    (f"a?password={SECRET}", {}, ""),
    (f"%u0050assword={SECRET}", {}, ""),
    ("Password=" + "".join(f"%{byte:02x}" for byte in SECRET.encode()), {}, ""),
    (f"Password=sandbox-password&Password={SECRET}", {}, ""),
    (f"{'a' * 60}password={SECRET}", {}, ""),
    (f"PasswordHash={SECRET}", {}, ""),
    (f"model.Password={SECRET}", {}, ""),
    (f"+Password+={SECRET}", {}, ""),
    *((f"{name}={SECRET}", {}, "") for name in ("psw", "pw", "pass", "passwd", "secret", "token", "api_key")),
    (f"{quote('пароль')}={SECRET}", {}, ""),
    (f"Password={SECRET}&Copy={SECRET.upper()}", {}, ""),
    ("", {"Authorization": f"Bearer {SECRET}"}, ""),
    ("", {"X-Forwarded-Authorization": f"Basic {IN_BASE64}"}, ""),
    ("", {"X-Copy": f"Basic {IN_BASE64}"}, ""),
    (f"Password={SECRET}", {"X-Copy": IN_BASE64}, ""),
    ("", {"X-Auth-Token": SECRET}, ""),
    ("", {"X-Api-Key": SECRET}, ""),
    ("", {"Cookie": f"a={SECRET}"}, ""),
    ("", {"User-Agent": f"app (password: {SECRET})"}, ""),
    (f"Password={SECRET}", {"User-Agent": f"app/{SECRET}/1"}, ""),
    ("", {"Referer": f"http://me:{SECRET}@x/"}, ""),
    ("", {"Content-Type": FORM}, f"Data={quote(f'a=1&password={SECRET}', safe='')}"),
    ("", {"Content-Type": FORM}, f"Data={quote(json.dumps({'password': SECRET}), safe='')}"),
    (f"Password={SECRET}", {"Content-Type": FORM}, f"Data={quote(IN_BASE64, safe='')}"),
    ("", {"Content-Type": FORM}, b"\xff\xfePassword=" + SECRET.encode() + b"\xff"),
    (
        "",
        {"Content-Type": FORM, "Content-Encoding": "gzip"},
        gzip.compress(f"Password={SECRET}".encode(), 0, mtime=0),
    ),
    ("", {"Content-Type": "application/octet-stream"}, b"\0\1Password=" + SECRET.encode() + b"\0"),
    ("", {"Content-Type": "application/msgpack"}, b"\x81\xa8Password\xb1" + SECRET.encode()),
    ("", JSON, json.dumps({"Password": SECRET}).encode("utf-16")),
    ("", JSON, b"\xef\xbb\xbf" + json.dumps({"Password": SECRET}).encode()),
    ("", JSON, json.dumps({"Password": [SECRET]})),
    ("", JSON, json.dumps({"Password": {"value": [{"a": SECRET}]}})),
    ("", JSON, json.dumps([{"name": "Password", "value": SECRET}])),
    ("", JSON, json.dumps({"a": json.dumps({"b": json.dumps({"Password": SECRET})})})),
    ("", JSON, f'{{"a": 1}}\n{{"Password": "{SECRET}"}}'),
    ("", JSON, json.dumps({"apiKey": SECRET})),
    ("", JSON, f"{{Password: {SECRET}}}"),
    ("", {"Content-Type": "text/yaml"}, f"login: a\npassword: {SECRET}\n"),
    ("", {"Content-Type": "text/plain"}, f"login = a\npassword = {SECRET}\n"),
    ("", {"Content-Type": "text/xml"}, f"<password><value>{SECRET}</value></password>"),
    ("", {"Content-Type": "text/xml"}, f"<name>password</name><value><string>{SECRET}</string></value>"),
    ("", {"Content-Type": "text/xml"}, f"<param name='password' value='{SECRET}'/>"),
    ("", {"Content-Type": "text/html"}, f'<input value="{SECRET}" name="password">'),
    ("", {"Content-Type": "text/xml"}, f"<x>&lt;password&gt;{SECRET}&lt;/password&gt;</x>"),
    ("", MULTIPART, f"--b\r\nContent-Disposition: form-data; name=password\r\n\r\n{SECRET}\r\n--b--"),
]


@pytest.mark.parametrize(("query", "headers", "body"), OTHER_FORMATS, ids=map(str, range(len(OTHER_FORMATS))))
async def test_other_formats(
    query: str, headers: dict[str, str], body: str | bytes, anyio_backend: str
) -> None:
    """The password of a real account is masked in each format of a query, a header field and a body."""
    async with served() as (_, caller):
        await caller.client.post(f"{caller.base_url}/Sms/Send?{query}", headers=headers, content=body)
        for path in ("state", "requests/0"):
            answer = (await caller.call("GET", path)).text.replace("\\u0000", "")
            for text in (answer, unquote(unquote(answer)), answer.replace("\\", "")):
                assert not [
                    each for each in (SECRET, SECRET.upper(), IN_BASE64, IN_BASE64[:-1]) if each in text
                ]


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("Sms/Send", {"Content-Type": FORM}, "Data=Your+password%3A+4711&Note=compass+a"),
        ("Sms/Send", {"Content-Type": FORM}, "Login=sandbox&Password=sandbox-password&Data=a%26b"),
        ("Sms/Send?Password=sandbox-password", JSON, '{"Password": "sandbox-password", "Data": "pass"}'),
        ("Sms/Send", JSON, '{"Data": "Login: 1\\nPassport: 2", "a": {"b": ["c"]}}'),
        ("Sms/Send", {"Content-Type": "text/xml"}, "<a><Password>sandbox-password</Password></a>"),
        ("Sms/Send", {"Content-Type": FORM}, "SessionID=nonsense&Passport=1234567890"),
        ("Sms/Send", {"Content-Type": FORM}, "Data=" + quote("Код: 4711, https://acme.example/p?a=1&b=2")),
    ],
)
async def test_readable_requests(path: str, headers: dict[str, str], body: str, anyio_backend: str) -> None:
    """A request without a foreign secret is shown as it came."""
    async with served() as (_, caller):
        await caller.client.post(f"{caller.base_url}/{path}", headers=headers, content=body)
        shown = await caller.get("requests/0")
        assert (shown["target"], shown["body"]) == (f"/rest/{path}", body)


@pytest.mark.parametrize("password", ["p&ss word", "pass%26word", "pwd=1;x", '"quoted"', "пароль"])
async def test_own_password_with_special_characters(password: str, anyio_backend: str) -> None:
    """The password of the sandbox itself is shown, whatever characters it has."""
    async with served(password=password) as (_, caller):
        form = {"Login": "sandbox", "Password": password}
        await caller.client.post(f"{caller.base_url}/v2/Sms/Send", data=form)
        shown = await caller.get("requests/0")
        assert shown["body"] == urlencode(form)


@pytest.mark.parametrize("form", ["query", "form", "json", "multipart", "xml"])
async def test_foreign_session(form: str, anyio_backend: str) -> None:
    """The session id of a real gateway is masked, and the session id of the sandbox is shown."""
    foreign = "ABCDEF0123456789ABCDEF0123456789ABCD"
    async with served() as (sandbox, caller):
        await caller.send()
        for session in (foreign, caller.session):
            all_options: dict[str, dict[str, Any]] = {
                "query": {"params": {"SessionID": session}},
                "form": {"data": {"sessionId": session}},
                "json": {"json": {"SessionID": session}},
                "multipart": {"files": {"session_id": (None, session)}},
                "xml": {"content": f"<SessionID>{session}</SessionID>"},
            }
            await caller.client.post(f"{caller.base_url}/User/Balance", **all_options[form])
        assert foreign not in (await caller.call("GET", "state")).text
        shown = (await caller.get("requests"))["requests"]
        assert caller.session in shown[-1]["target"] + shown[-1]["body"]
        sandbox.expire_sessions()
        assert caller.session in (await caller.call("GET", f"requests/{shown[-1]['index']}")).text


@pytest.mark.parametrize(
    "part", ["&lt;password&gt;", "Password=1&", "password: ab1 ", '"password":{', "a=%25"]
)
async def test_many_passwords(part: str, wrong: WebCaller) -> None:
    """A body with thousands of passwords does not stop the sandbox."""
    await wrong.client.post(f"{wrong.base_url}/Sms/Send", content=part * 5000 + f"&password={SECRET}")
    start = time.process_time()
    assert SECRET not in (await wrong.call("GET", "state")).text
    assert time.process_time() - start < 20


def test_output_of_the_command() -> None:
    """The command prints no password of a real account, also if a request is malformed."""
    with running_sandbox("--json") as (process, announced):
        document = json.loads(announced)
        for url in (document["base_url"], document["faults_url"]):
            httpx.get(f"{url}/User/SessionId", params={"Login": "me", "Password": SECRET})
            port = httpx.URL(url).port or 0
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(f"GET /rest?Password={SECRET}\x01 x\r\nPassword {SECRET}\r\n\r\n".encode())
                connection.recv(1000)
        assert SECRET not in httpx.get(f"{document['page_url']}api/v1/state").text
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert SECRET not in output + (errors or "")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("Login=e&Password=e&Data=e", "Login=e&Password=••••••••&Data=e"),
        ('{"Login": "e", "Password": "e"}', '{"Login": "e", "Password": "••••••••"}'),
        ('{"Password": 1, "Data": "1"}', '{"Password": "••••••••", "Data": "1"}'),
        ('{"Data": "e", "Password": "e', '{"Data": "e", "Password": "••••••••"'),
        ('{"Login": "e", "Password": ["e"]}', '{"Login": "e", "Password": "••••••••"}'),
        ('[{"name": "Password", "value": "e"}]', '[{"name": "Password", "value": "••••••••"}]'),
        ("login: e\npassword: e\n", "login: e\npassword: ••••••••\n"),
        ("login: e\npassword: 'e'\n", "login: e\npassword: ••••••••\n"),
        ('login = "e"\npassword = "e"\n', 'login = "e"\npassword = "••••••••"\n'),
        ("url=http%3A%2F%2Fx%3Fpassword%3De&Data=e", "url=••••••••&Data=e"),
        ("Password=a%20b&Data=a%20b", "Password=••••••••&Data=a%20b"),
        ('{"a": "{\\"Password\\": \\"e\\"}"}', HIDDEN),
        ('{"P\\u0061ssword": "e"}', HIDDEN),
        ("<Login>e</Login><Password>e</Password>", "<Login>e</Login><Password>••••••••</Password>"),
        (part("Password", "e"), part("Password", "••••••••")),
        ("Login=pass&Password=sandbox-password", "Login=pass&Password=sandbox-password"),
        ('{"Password": "sandbox-password"}', '{"Password": "sandbox-password"}'),
        (part("Password", "sandbox-password"), part("Password", "sandbox-password")),
        ("Password=", "Password="),
    ],
)
async def test_masked_body(body: str, shown: str, wrong: WebCaller) -> None:
    """A password of one character is masked in its own place, in each form of a body."""
    await wrong.client.post(f"{wrong.base_url}/Sms/Send", content=body)
    assert (await wrong.get("requests"))["requests"][-1]["body"] == shown


@pytest.mark.parametrize("path", ["Password=hunter2", "a;password=hunter2", "User/Password/hunter2"])
async def test_password_in_faults(path: str, anyio_backend: str) -> None:
    """A password in the path of a request is not in the list of the faults so far."""
    async with served(faults_port=0) as (sandbox, caller):
        assert sandbox.proxy is not None
        await caller.client.get(f"{sandbox.faults_url}/{path}")
        assert "hunter2" not in (await caller.call("GET", "state")).text
        assert len((await caller.get("faults"))["history"]) == 1


@pytest.mark.parametrize("secret", ["1", "ab", "e"])
async def test_short_password(secret: str, anyio_backend: str) -> None:
    """A short password is masked in its own place, and the rest of the request stays readable."""
    async with served() as (_, caller):
        await caller.client.get(f"{caller.base_url}/User/SessionId?Login=me&Password={secret}")
        shown = await caller.get("requests/0")
        assert shown["target"] == "/rest/User/SessionId?Login=me&Password=••••••••"
        assert shown["parameters"][1]["value"] == "••••••••"


@pytest.mark.parametrize("text", ["Hi, password: 4711", "https://a.example/password/reset", "Wi-Fi pass 123"])
async def test_readable_text(text: str, anyio_backend: str) -> None:
    """The text of a message that is about a password stays readable."""
    async with served() as (_, caller):
        await caller.send("79031234567", text)
        parameters = (await caller.get("requests"))["requests"][-1]["parameters"]
        assert text in [each["value"] for each in parameters]


async def test_long_body_with_names(anyio_backend: str) -> None:
    """The time to mask a body does not grow with the square of its length."""
    start = time.process_time()
    SecretMask("own", ()).text('name="pass"' * 50_000)
    assert time.process_time() - start < 20


async def test_own_password(anyio_backend: str) -> None:
    """The password of the sandbox itself is shown, so that a copied command works."""
    async with served() as (_, caller):
        await caller.send()
        shown = await caller.get("requests/0")
        assert "sandbox-password" in shown["target"]
        assert "sandbox-password" in shown["curl"]
        assert "•" not in json.dumps(shown)


async def test_missing_and_two_hosts(anyio_backend: str) -> None:
    """A request without a host name, or with two, is refused."""
    async with served() as (_, caller):
        port = httpx.URL(caller.page_url).port or 0
        for fields, status in ((b"", b" 403 "), (b"Host: localhost\r\nHost: localhost\r\n", b" 40")):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n" + fields + b"\r\n")
                assert status in connection.makefile("rb").readline()
