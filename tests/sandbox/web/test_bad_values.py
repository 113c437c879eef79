"""Each route of the control API refuses each bad value with an answer that says what to pass."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsapi_async.sandbox import run_sandbox
from smsapi_async.sandbox.web.api_fields import ApiField
from smsapi_async.sandbox.web.api_routes import API_ROUTES, ApiRoute
from tests.sandbox.web.support import WebCaller

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
REFUSED = {400, 404, 413, 415, 422}

# Texts that are no value of a parameter of this kind.
NO_NUMBERS = [
    "x",
    "-",
    "1x",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "1e999",
    "0x10",
    "٣",
    "1,5",
    "9" * 400,
    " 1",
    "1 ",
]
BAD_TEXTS: dict[str, list[str]] = {
    "integer": [*NO_NUMBERS, "1.5", "true"],
    "number": [*NO_NUMBERS, "true"],
    "text": [],
    "state": ["nothing", "1.5", "9" * 400],
}
# JSON values that are no value of a field of this kind.
NO_JSON_NUMBERS: list[Any] = ["x", "", True, [], {}, [1], "NaN", 10**400, -(10**400), 1e25]
BAD_VALUES: dict[str, list[Any]] = {
    "text": [5, True, [], {}, "\ud800", "x" * 100_001],
    "integer": [*NO_JSON_NUMBERS, 1.5],
    "number": NO_JSON_NUMBERS,
    "boolean": [0, 1, "true", "", [], {}],
    "money": ["", "x", "1,5", "NaN", "Infinity", True, [], {}, "1e5", "9" * 400, 10**400],
    "date": ["", "x", 5, [], "2026-01-01", "2026-01-01T00:00:00", "0000-00-00T00:00:00Z", True],
    "state": ["", "nothing", True, [], {}, 1.5, 10**400, "\ud800"],
    "texts": [5, [], "x", {"X": 5}, {"X": None}, {"\ud800": "x"}, {"X": "\ud800"}, {"": ""}, {"A b": "c"}],
}


def paths(route: ApiRoute) -> str:
    """Return the path of a route, with the number of a request or message that exists."""
    return route.path.replace("{id}", "1").replace("{n}", "1")


def bad_texts(field: ApiField) -> Iterator[str]:
    """Yield texts that are no value of a parameter."""
    yield from BAD_TEXTS[field.kind]
    yield from [] if field.least is None else [f"{field.least - 1}", "-1000000"]
    yield from [] if field.most is None else [f"{field.most + 1}"]


def bad_values(field: ApiField) -> Iterator[Any]:
    """Yield JSON values that are no value of a field."""
    kinds = field.schema.get("type", []) if field.kind == "any" else field.kind
    if field.kind == "any":
        # A field that the sandbox ignores has no type.
        yield from [True, "\ud800", {"x": [[]]}] if kinds else []
    else:
        yield from BAD_VALUES[field.kind]
        yield from [] if field.nullable else [None]
    yield from [] if field.least is None else [field.least - 1]
    yield from [] if field.most is None else [field.most + 1]


def refused(answer: Any, name: str | None = None) -> bool:
    """Return whether an answer refuses the request in JSON, and names the field."""
    document = answer.json()
    return (
        answer.status_code in REFUSED
        and answer.headers["content-type"] == "application/json"
        and len(document["error"]) > 10
        and (name is None or (document["field"].startswith(name) and name in document["error"]))
    )


@pytest.mark.parametrize("route", API_ROUTES, ids=lambda each: f"{each.method} {each.path}")
async def test_parameters(route: ApiRoute, wrong: WebCaller) -> None:
    """A parameter with a bad value, a repeated and an unknown parameter are refused and named."""
    for field in route.query:
        for text in bad_texts(field):
            answer = await wrong.call(route.method, f"{paths(route)}?{field.name}={quote(text)}")
            assert refused(answer, field.name), (field.name, text[:50], answer.text)
        answer = await wrong.call(route.method, f"{paths(route)}?{field.name}=1&{field.name}=1")
        assert refused(answer, field.name), answer.text
        answer = await wrong.call(route.method, f"{paths(route)}?{field.name}=%FF")
        assert refused(answer), answer.text
    for query in ("unknown=1", "unknown", "=1", "%FF=1"):
        answer = await wrong.call(route.method, f"{paths(route)}?{query}")
        assert refused(answer, "unknown" if "unknown" in query else None), (query, answer.text)


CHANGING = [route for route in API_ROUTES if route.method != "GET"]


@pytest.mark.parametrize("route", CHANGING, ids=lambda each: f"{each.method} {each.path}")
async def test_fields(route: ApiRoute, wrong: WebCaller) -> None:
    """A field with a bad value, an unknown field and a repeated field are refused and named."""
    before = await wrong.get("account"), await wrong.get("clock")
    for field in route.body:
        for value in bad_values(field):
            for name in (field.name, *field.aliases):
                content = json.dumps({**required(route, field), name: value})
                answer = await wrong.call(route.method, paths(route), content=content, headers=JSON)
                assert refused(answer, field.name), (name, content[:80], answer.text)
        content = f'{{"{field.name}": null, "{field.name}": null}}'
        answer = await wrong.call(route.method, paths(route), content=content, headers=JSON)
        assert refused(answer, field.name), answer.text
    answer = await wrong.call(route.method, paths(route), content='{"unknown": 1}', headers=JSON)
    assert refused(answer, "unknown" if not any(field.required for field in route.body) else None)
    after = await wrong.get("account"), await wrong.get("clock")
    assert after[0] == before[0]
    assert after[1]["speed"] == before[1]["speed"]


def required(route: ApiRoute, but: ApiField | None = None) -> dict[str, Any]:
    """Return a valid value for each field that a route requires, except for one field."""
    values = {"text": "79031234567", "integer": 5, "state": 0}
    return {field.name: values[field.kind] for field in route.body if field.required and field is not but}


BODIES = [
    (b"[]", 400),
    (b"5", 400),
    (b'"x"', 400),
    (b"null", 400),
    (b"true", 400),
    (b"{", 400),
    (b"{]", 400),
    (b"{} {}", 400),
    (b"\xff\xfe", 400),
    (b'{"text": "\xff"}', 400),
    (b'{"x": NaN}', 400),
    (b'{"x": -Infinity}', 400),
    (b'{"x": 1e999999999}', 400),
    (b'{"x": ' + b"9" * 5000 + b"}", 400),
    (b"[" * 100_000, 400),
    (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, 400),
    (b'{"x": 1, "x": 2}', 422),
    (b'{"unknown": {"x": 1, "x": 2}}', 422),
    (b"{}" + b" " * 1_000_001, 413),
]


@pytest.mark.parametrize("route", CHANGING, ids=lambda each: f"{each.method} {each.path}")
async def test_bodies(route: ApiRoute, wrong: WebCaller) -> None:
    """A body that is no JSON object, or has another content type, is refused in JSON."""
    for body, status in BODIES:
        answer = await wrong.call(route.method, paths(route), content=body, headers=JSON)
        assert (answer.status_code, refused(answer)) == (status, True), (body[:50], answer.text)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {"Content-Type": content_type} if content_type else {}
        answer = await wrong.call(route.method, paths(route), content=b"{}", headers=headers)
        assert (answer.status_code, refused(answer)) == (415, True), (content_type, answer.text)
    answer = await wrong.call(route.method, paths(route), headers=JSON)
    if any(field.required for field in route.body):
        assert refused(answer, next(field.name for field in route.body if field.required)), answer.text


@pytest.mark.parametrize("key", ["%FF", "%00", "1%2F2", "-1", "1.0", "9" * 400, "%D9%A3", "x" * 5000])
async def test_variable_parts_of_paths(key: str, wrong: WebCaller) -> None:
    """A message or request that does not exist is not found, whatever the path contains."""
    for method, path in (("GET", f"messages/{key}"), ("GET", f"requests/{key}")):
        answer = await wrong.call(method, path)
        assert (answer.status_code, refused(answer)) == (404, True)
    answer = await wrong.call("PUT", f"messages/{key}/state", json={"state": 0})
    assert (answer.status_code, refused(answer)) == (404, True)


@pytest.mark.parametrize(
    "line",
    ["GET /api/v1/messages?text=код HTTP/1.1", "GET /api/v1/messages?text=a b HTTP/1.1", "\x16\x03\x01"],
)
async def test_no_http(line: str, wrong: WebCaller) -> None:
    """A URL with raw characters beyond ASCII is refused in JSON, which says what to do."""
    url = httpx.URL(wrong.page_url)
    async with await anyio.connect_tcp(url.host, url.port or 0) as stream:
        await stream.send(f"{line}\r\nHost: {url.host}\r\n\r\n".encode())
        received = b""
        with suppress(anyio.EndOfStream):
            while True:
                received += await stream.receive()
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json")
    assert "percent-encode" in json.loads(body)["error"]


@pytest.mark.parametrize("wait", ["0", ".5", "0.", "1e-2", "5E-1", "0.123456789012"])
async def test_forms_of_a_number(wait: str, wrong: WebCaller) -> None:
    """A number in a query may have each usual form."""
    answer = await wrong.call("GET", f"messages/latest?wait={wait}")
    assert answer.status_code == 200, answer.text


async def test_head(wrong: WebCaller) -> None:
    """A HEAD request gets the status of the GET request, as tools that wait for a server expect."""
    for path, status in (("livez", 200), ("state", 200), ("messages/7", 404), ("reset", 405)):
        answer = await wrong.call("HEAD", path)
        assert (answer.status_code, answer.content) == (status, b"")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_any_value() -> None:
    """Whatever a field contains, the answer is a success or names what is wrong, and never HTTP 500."""
    with run_sandbox(faults_port=0) as sandbox, httpx.Client(timeout=30, verify=False) as client:  # noqa: S501

        @settings(deadline=None, max_examples=100)
        @given(route=st.sampled_from(CHANGING), data=st.data())
        def check(route: ApiRoute, data: st.DataObject) -> None:
            names = [name for field in route.body for name in (field.name, *field.aliases)] or ["x"]
            body = data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=3))
            content = json.dumps({**required(route), **body})
            url = f"{sandbox.page_url}api/v1/{paths(route)}"
            answer = client.request(route.method, url, content=content, headers=JSON)
            assert answer.is_success or refused(answer), (content, answer.text)

        check()
