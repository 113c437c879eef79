"""A request is the same message in every encoding that ASP.NET MVC reads."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlencode

import anyio
import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.sandbox import Dialect, Sandbox
from tests.sandbox.support import START, Caller, logged_in, message, refused

pytestmark = pytest.mark.anyio

Fields: TypeAlias = Mapping[str, str | int | Sequence[str]]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MULTIPART = "multipart/form-data"
CONTENT_TYPES = [JSON, FORM, "text/plain", MULTIPART, f"{MULTIPART}; boundary=", f"{MULTIPART}; boundary=x"]
READS_ALL = Dialect(reads_all_bodies=True)


@attrs.frozen
class Encoded:
    """One encoding of the parameters of a request."""

    query: str = ""
    body: bytes = b""
    content_type: str | None = None


def pairs(fields: Fields, index: Callable[[int], str]) -> list[tuple[str, str]]:
    """Return one pair for each value; `index` returns the end of the name of each item of a list."""
    found: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, str | int):
            found.append((name, str(value)))
        else:
            found += [(f"{name}{index(place)}", each) for place, each in enumerate(value)]
    return found


def indexed(fields: Fields) -> list[tuple[str, str]]:
    """Return one pair for each value; the name of each item of a list ends with its index."""
    return pairs(fields, lambda place: f"[{place}]")


def plain(fields: Fields) -> str:
    """Encode the parameters as a form; the name of a list is repeated."""
    return urlencode(pairs(fields, lambda _: ""))


def split(fields: Fields) -> Encoded:
    """Encode each second parameter in the query, and the others in the form."""
    names = list(fields)
    query = {name: fields[name] for name in names[::2]}
    return Encoded(plain(query), plain({name: fields[name] for name in names[1::2]}).encode(), FORM)


def multipart(fields: Fields) -> Encoded:
    """Encode the parameters as a multipart form, as the library httpx does."""
    parts = [(name, (None, value.encode())) for name, value in pairs(fields, lambda _: "")]
    request = httpx.Request("POST", "http://127.0.0.1", files=parts)
    return Encoded("", request.read(), request.headers["content-type"])


ENCODINGS: dict[str, Callable[[Fields], Encoded]] = {
    "form": lambda fields: Encoded("", plain(fields).encode(), FORM),
    "form-without-type": lambda fields: Encoded("", plain(fields).encode()),
    "form-with-charset": lambda fields: Encoded("", plain(fields).encode(), f"{FORM}; charset=UTF-8"),
    "query": lambda fields: Encoded(plain(fields)),
    "query-and-empty-json": lambda fields: Encoded(plain(fields), b"", JSON),
    "twice": lambda fields: Encoded(plain(fields), plain(fields).encode(), FORM),
    "split": split,
    "indexed": lambda fields: Encoded("", urlencode(indexed(fields)).encode(), FORM),
    "indexed-backwards": lambda fields: Encoded("", urlencode(indexed(fields)[::-1]).encode(), FORM),
    "brackets": lambda fields: Encoded("", urlencode(pairs(fields, lambda _: "[]")).encode(), FORM),
    "json": lambda fields: Encoded("", json.dumps(fields).encode(), JSON),
    "json-utf-8": lambda fields: Encoded(
        "", json.dumps(fields, ensure_ascii=False).encode("utf-8-sig"), "Application/JSON; charset=utf-8"
    ),
    "multipart": multipart,
}
encodings = pytest.mark.parametrize("encoding", ENCODINGS)


async def post(caller: Caller, path: str, encoded: Encoded, method: str = "POST") -> httpx.Response:
    """Send a request in one encoding."""
    headers = {} if encoded.content_type is None else {"Content-Type": encoded.content_type}
    target = f"{path}?{encoded.query}" if encoded.query else path
    return await caller.request(method, target, content=encoded.body, headers=headers)


def accepted(sandbox: Sandbox) -> list[tuple[object, ...]]:
    """Return the properties of each accepted message that the request determines."""
    return [
        (each.destination_address, each.text, each.source_address, each.send_date, each.validity)
        for each in sandbox.account.messages
    ]


# Surrogates cannot be encoded as UTF-8. The second kind of text has the characters that encodings use.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | st.text(
    '\r\n-:;=&+%u"\\ \t\0\x0b\x85\u2028[]{}aЯ', min_size=1, max_size=40
)
NUMBERS = st.lists(st.from_regex(r"79[0-9]{8}1", fullmatch=True), min_size=1, max_size=4)
SPELLINGS = st.sampled_from([str, str.lower, str.upper, str.swapcase])


@encodings
@given(text=TEXTS, numbers=NUMBERS, validity=st.integers(0, 3000), spell=SPELLINGS, order=st.randoms())
def test_one_message_in_every_encoding(
    encoding: str, text: str, numbers: list[str], validity: int, spell: Callable[[str], str], order: Any
) -> None:
    """The sandbox accepts the same messages from each encoding, letter case and order of the parameters."""

    async def check() -> None:
        caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
        fields = {
            "SessionID": caller.session,
            "DestinationAddresses": numbers,
            "Data": text,
            "SourceAddress": "ACME",
            "Validity": validity,
            "SendDate": "2026-03-11T10:00:00",
        }
        names = list(fields)
        order.shuffle(names)
        encoded = ENCODINGS[encoding]({spell(name): fields[name] for name in names})  # type: ignore[misc]
        answer = await post(caller, spell("Sms/SendBulk"), encoded)
        assert answer.status_code == 200, answer.text
        due = START.replace(day=11, hour=7)
        assert accepted(caller.sandbox) == [
            (number, text, "ACME", due, validity or None) for number in numbers
        ]

    anyio.run(check)


@encodings
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_reading_in_every_encoding(encoding: str, method: str) -> None:
    """With all bodies and POST for all resources, a resource that is read accepts each encoding."""
    dialect = READS_ALL.with_(accepts_post_to_read=True)
    caller = Caller(Sandbox(start=START, dialect=dialect))
    encode = ENCODINGS[encoding]
    login = encode({"Login": "sandbox", "Password": "sandbox-password"})
    caller.session = (await post(caller, "User/SessionId", login, method)).json()
    (segment_id,) = await caller.send()
    for path, fields in (
        ("User/Balance", {}),
        ("Sms/State", {"messageId": segment_id}),
        ("Sms/In", {"minDateUTC": "2026-03-09", "maxDateUTC": "2026-03-10"}),
        ("Sms/Statistics", {"startDateTime": "2026-03-01", "endDateTime": "2026-03-10"}),
    ):
        answer = await post(caller, path, encode({"SessionID": caller.session, **fields}), method)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("encoding", ["json", "json-utf-8", "multipart"])
async def test_the_contract_reads_only_forms(encoding: str) -> None:
    """In the contract, a JSON body and a multipart form have no parameters."""
    caller = await logged_in()
    encoded = ENCODINGS[encoding]({"SessionID": caller.session, **message()})
    assert refused(await post(caller, "Sms/Send", encoded))[:2] == (400, 1)


async def test_the_contract_does_not_read_the_body_of_a_get() -> None:
    """In the contract, the body of a GET request has no parameters."""
    caller = await logged_in()
    encoded = ENCODINGS["form"]({"SessionID": caller.session})
    assert refused(await post(caller, "User/Balance", encoded, "GET"))[:2] == (400, 1)


@pytest.mark.parametrize("dialect", [Dialect.CONTRACT, Dialect.LATEST], ids=["contract", "latest"])
async def test_methods(dialect: Dialect) -> None:
    """POST to a resource that is read is a matter of the dialect; GET never sends."""
    caller = await logged_in(Sandbox(start=START, dialect=dialect))
    answer = await caller.post("User/Balance", {})
    is_latest = dialect == Dialect.LATEST
    assert answer.status_code == (200 if is_latest else 405)
    answer = await caller.request("PUT", "User/Balance")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST" if is_latest else "GET")
    for path in ("Sms/Send", "Sms/SendBulk", "Sms/SendByTimeZone"):
        answer = await post(caller, path, ENCODINGS["form"](message()), "GET")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert caller.sandbox.account.messages == []


VALUES: list[tuple[dict[str, Any], dict[str, object]]] = [
    ({"DestinationAddress": 79031234567}, {"destination_address": "79031234567"}),
    ({"Validity": None, "SendDate": None}, {"validity": None, "send_date": None}),
    ({"Validity": "", "SendDate": ""}, {"validity": None, "send_date": None}),
    ({"Data": 1.50}, {"text": "1.5"}),
    ({"Data": True}, {"text": "True"}),
    ({"Data": "\ud83d\ude42"}, {"text": "🙂"}),
    ({"Data": "a\ud83d"}, {"text": "a\ufffd"}),
    ({"Other": {"Data": "nested"}, "More": [[1]]}, {"text": "Hello"}),
    ({"DestinationAddress": ["79031234567"]}, {"destination_address": "79031234567"}),
]


@pytest.mark.parametrize(("changes", "expected"), VALUES, ids=lambda value: ascii(value)[:40])
async def test_json_values(changes: dict[str, Any], expected: dict[str, object]) -> None:
    """Numbers and true are texts in JSON, null is a missing value, and nested objects are ignored."""
    caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
    body = json.dumps({"SessionID": caller.session, **message(), **changes}).encode()
    answer = await post(caller, "Sms/Send", Encoded("", body, JSON))
    assert answer.status_code == 200, answer.text
    (sent,) = caller.sandbox.account.messages
    assert {name: getattr(sent, name) for name in expected} == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"Data": None},
        {"Data": {"text": "Hi"}},
        {"DestinationAddresses": []},
        {"DestinationAddresses": [None]},
        {"DestinationAddresses": None},
    ],
    ids=str,
)
async def test_missing_json_values(changes: dict[str, Any]) -> None:
    """A required parameter that is null, an object or an empty list in JSON is missing."""
    caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
    fields = {"SessionID": caller.session, **message(), "DestinationAddresses": ["79031234567"]}
    body = json.dumps({**fields, **changes}).encode()
    assert refused(await post(caller, "Sms/SendBulk", Encoded("", body, JSON)))[:2] == (400, 1)


async def test_a_null_in_a_list() -> None:
    """A null between the numbers of a bulk is an invalid number."""
    caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
    numbers = ["79031234567", None]
    body = json.dumps({"SessionID": caller.session, **message(), "DestinationAddresses": numbers}).encode()
    assert refused(await post(caller, "Sms/SendBulk", Encoded("", body, JSON)))[:2] == (400, 6)


@pytest.mark.usefixtures("without_garbage_collection")
@pytest.mark.parametrize("body", [b"{", b"Data=Hi", b"\xff", b"[" * 100_000, b'{"Data": 1,}'])
async def test_unreadable_json(body: bytes) -> None:
    """A JSON body that cannot be read is refused with code 9, and the description does not quote the body."""
    caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
    answer = await post(caller, f"Sms/Send?SessionID={caller.session}", Encoded("", body, JSON))
    assert refused(answer) == (500, 9, "Invalid JSON primitive.")
    assert caller.sandbox.account.messages == []


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"Data"', b'[{"Data": "Hi"}]'])
async def test_json_that_is_no_object(body: bytes) -> None:
    """A JSON body that is not an object has no parameters."""
    caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
    query = plain({"SessionID": caller.session, **message()})
    assert (await post(caller, "Sms/Send", Encoded(query, body, JSON))).status_code == 200


async def test_a_body_has_priority_over_the_query() -> None:
    """A parameter in a JSON body or in a multipart form replaces the parameter in the query."""
    for encode in (ENCODINGS["json"], ENCODINGS["multipart"]):
        caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
        encoded = encode({"data": "body", "DestinationAddresses": ["79031234567", "79031234561"]})
        query = plain({"SessionID": caller.session, **message(), "DestinationAddresses": ["79031234560"]})
        await post(caller, "Sms/SendBulk", attrs.evolve(encoded, query=query))
        assert [(number, text) for number, text, *_ in accepted(caller.sandbox)] == [
            ("79031234567", "body"),
            ("79031234561", "body"),
        ]


async def test_a_file_is_no_parameter() -> None:
    """A part of a multipart form with a file name is not a parameter."""
    caller = await logged_in(Sandbox(start=START, dialect=READS_ALL))
    parts: list[Any] = [(name, (None, str(value))) for name, value in message().items() if name != "Data"]
    parts += [("SessionID", (None, caller.session)), ("Data", ("text.txt", b"Hi"))]
    assert refused(await caller.request("POST", "Sms/Send", files=parts))[:2] == (400, 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{name}[0]=1&{name}[1]=2&{name}[2]=3", "123"),
        ("{name}[2]=3&{name}[0]=1&{name}[1]=2", "123"),
        ("{name}[0]=1&{name}[2]=3", "1"),
        ("{name}[0]=1&{name}[00]=2&{name}[1]=3", "13"),
        ("{name}[1]=2", ""),
        ("{name}[]=1&{name}[]=2", "12"),
        ("{name}[0]=3&{name}=1&{name}=2", "12"),
        ("{name}[x]=1", ""),
        ("{name}%5B0%5D=1&{name}%5B1%5D=2", "12"),
    ],
)
@pytest.mark.parametrize("dialect", [Dialect.CONTRACT, Dialect.LATEST], ids=["contract", "latest"])
async def test_lists_with_indexes(body: str, expected: str, dialect: Dialect) -> None:
    """Items are used in the order of their indexes, up to the first index that is missing."""
    caller = await logged_in(Sandbox(start=START, dialect=dialect))
    body = body.format(name="destinationAddresses").replace("=", "=7903123456")
    query = plain({"SessionID": caller.session, "Data": "Hi", "SourceAddress": "ACME"})
    await post(caller, "Sms/SendBulk", Encoded(query, body.encode(), FORM))
    assert "".join(each.destination_address[-1] for each in caller.sandbox.account.messages) == expected


@given(body=st.binary(max_size=60), content_type=st.sampled_from(CONTENT_TYPES))
def test_any_body_gets_an_answer(body: bytes, content_type: str) -> None:
    """No body makes the sandbox fail: a request without its parameters is refused."""

    async def check() -> None:
        caller = Caller(Sandbox(start=START, dialect=READS_ALL))
        answer = await post(caller, "Sms/Send", Encoded("", body, content_type))
        assert refused(answer)[1] in {1, 9}

    anyio.run(check)
