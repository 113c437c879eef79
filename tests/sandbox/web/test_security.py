"""Pages of other sites cannot read or control the sandbox, and passwords of real accounts are not shown."""

import base64
import json
import socket
import time
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus
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
        ("", 403),
    ],
)
async def test_host(host: str, status: int, wrong: WebCaller) -> None:
    """Only a name of this computer reaches the page, so that DNS rebinding does not help another site."""
    for path in ("", "api/v1/state"):
        answer = await wrong.client.get(f"{wrong.page_url}{path}", headers={"Host": host})
        assert answer.status_code == status


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
        ("", 403),
    ],
)
async def test_origin(origin: str, status: int, wrong: WebCaller) -> None:
    """Another origin, also another port of this computer, can neither read nor change anything."""
    headers = {"Host": "localhost:8099", "Origin": origin}
    assert (await wrong.call("GET", "state", headers=headers)).status_code == status
    answer = await wrong.call("PATCH", "clock", headers=headers, json={"running": False})
    assert answer.status_code == status
    assert (await wrong.get("clock"))["running"] is (status != 200)


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("GET", "", {"Sec-Fetch-Site": "none"}, 200),
        ("GET", "api/v1/state", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", "api/v1/state", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("POST", "api/v1/reset", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("GET", "", NAVIGATION, 200),
        ("GET", "", {**NAVIGATION, "Sec-Fetch-Site": "same-site"}, 200),
        ("GET", "", {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", "", {**NAVIGATION, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, 403),
        ("POST", "", NAVIGATION, 403),
        ("GET", "static/page.js", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", "api/v1/state", NAVIGATION, 403),
        ("GET", "api/v1/state", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("POST", "api/v1/reset", NAVIGATION, 403),
        ("DELETE", "api/v1/messages", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "api/v1/events", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_site(method: str, path: str, fields: dict[str, str], status: int, wrong: WebCaller) -> None:
    """A link of another site opens the page, but no other request of another site is answered."""
    answer = await wrong.client.request(method, f"{wrong.page_url}{path}", headers=fields)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": {"balance": "0"}}, 415),
        ({"files": {"balance": b"0"}}, 415),
        ({"content": BALANCE, "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": BALANCE}, 415),
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


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("Login=e&Password=e&Data=e", "Login=e&Password=••••••••&Data=e"),
        ('{"Login": "e", "Password": "e"}', '{"Login": "e", "Password": "••••••••"}'),
        ('{"Password": 1, "Data": "1"}', '{"Password": "••••••••", "Data": "1"}'),
        ('{"Data": "e", "Password": "e', '{"Data": "e", "Password": "••••••••"'),
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
