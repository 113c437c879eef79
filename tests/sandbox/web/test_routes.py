"""Every route of the control API answers as its documentation says."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault
from smsapi_async.sandbox.web.api_routes import API_ROUTES, ApiRoute
from smsapi_async.sandbox.web.api_schemas import ANSWER_SCHEMAS, check_json
from tests.cli.test_process import running_sandbox
from tests.sandbox.web.support import WebCaller, served, until

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
RULE = {"fault": "reset-after-pass", "resource": "Sms/Send", "times": 1}

# One successful request for each route: its body, its query, and a part of its answer.
CASES: dict[tuple[str, str], tuple[dict[str, Any] | None, str, dict[str, Any]]] = {
    ("GET", "state"): (None, "state", {}),
    ("GET", "messages"): (None, "messages?to=%2B79031234567&limit=5", {"total": 1}),
    ("GET", "messages/latest"): (None, "messages/latest?to=79031234567&wait=10", {"code": "4711"}),
    ("GET", "messages/{id}"): (None, "messages/1", {"number": 1}),
    ("GET", "incoming"): (None, "incoming", {}),
    ("GET", "pushes"): (None, "pushes", {"pushes": []}),
    ("GET", "requests"): (None, "requests?resource=sms/send", {"total": 1}),
    ("GET", "requests/{n}"): (None, "requests/1", {"resource": "Sms/Send", "status": 200}),
    ("GET", "clock"): (None, "clock", {"speed": 1.0}),
    ("GET", "account"): (None, "account", {"balance": "9998.50", "price": "1.50"}),
    ("GET", "faults"): (None, "faults", {"rules": []}),
    ("GET", "info"): (None, "info", {"login": "sandbox"}),
    ("GET", "livez"): (None, "livez", {"status": "ok"}),
    ("GET", "openapi.json"): (None, "openapi.json", {"openapi": "3.1.0"}),
    ("PUT", "messages/{id}/state"): ({"state": 46}, "messages/1/state", {"state": 46, "label": "expired"}),
    ("POST", "incoming"): (
        {"source_address": "79031234567", "destination_address": "ACME", "text": "Да"},
        "incoming",
        {"source_address": "79031234567", "destination_address": "ACME", "text": "Да"},
    ),
    ("PATCH", "clock"): ({"running": False, "speed": 2}, "clock", {"running": False, "speed": 2.0}),
    ("POST", "clock/advance"): ({"seconds": 60}, "clock/advance", {"running": False}),
    ("PATCH", "account"): (
        {"balance": "12.5", "price": 3, "latency": 0.001},
        "account",
        {"balance": "12.50", "price": "3.00", "latency": 0.001},
    ),
    ("POST", "account/expire-sessions"): (None, "account/expire-sessions", {"logins": 1}),
    ("POST", "refusals"): ({"resource": "sms/send", "code": 5}, "refusals", {}),
    ("POST", "answers"): ({"status": 503, "body": "no", "headers": {"X-A": "b"}}, "answers", {}),
    ("POST", "answers/release"): (None, "answers/release", {"released": 0, "removed": 0}),
    ("DELETE", "answers"): (None, "answers", {"released": 0, "removed": 2}),
    ("PUT", "faults"): ({"rules": [RULE]}, "faults", {"seed": 0}),
    ("DELETE", "faults"): (None, "faults", {"rules": []}),
    ("DELETE", "messages"): (None, "messages", {"deleted": 1}),
    ("POST", "reset"): (None, "reset", {}),
}


def inlined(schema: Any) -> Any:
    """Return a JSON Schema with each reference replaced by the schema."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return inlined(ANSWER_SCHEMAS[schema["$ref"].rpartition("/")[2]])
        return {name: inlined(each) for name, each in schema.items()}
    return [inlined(each) for each in schema] if isinstance(schema, list) else schema


async def every_route(caller: WebCaller) -> None:
    """Send one message, and then one request to each route except the stream of events."""
    assert (await caller.send(text="Your code is 4711.")).status_code == 200
    routes: dict[tuple[str, str], ApiRoute] = {(route.method, route.path): route for route in API_ROUTES}
    assert CASES.keys() == routes.keys() - {("GET", "events")}
    for key, (body, path, expected) in CASES.items():
        options = {} if body is None else {"json": body}
        answer = await caller.call(key[0], path, **options)
        assert answer.status_code == routes[key].status, (key, answer.text)
        assert answer.headers["content-type"] == "application/json"
        document = answer.json()
        assert document.items() >= expected.items(), key
        check_json(document, inlined(ANSWER_SCHEMAS[routes[key].answer]), str(key))


async def test_every_route(anyio_backend: str) -> None:
    """Each route answers with the status and the fields that the OpenAPI document promises."""
    async with served(faults_port=0) as (sandbox, caller):
        await every_route(caller)
        assert sandbox.account.count() == 0, "requests to the control API are no arrivals"


async def test_every_route_of_the_command(anyio_backend: str) -> None:
    """The command `sandbox` serves the page and each route, and prints the URL of the page."""
    with running_sandbox("--json") as (_, announced):
        document = json.loads(announced)
        async with httpx.AsyncClient(timeout=30) as client:
            caller = WebCaller(client, document["base_url"], document["page_url"])
            await every_route(caller)
            page = await client.get(document["page_url"])
            assert page.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_message(anyio_backend: str) -> None:
    """A message has its text, segments, timeline, price, dates, code and links, and the costly character."""
    async with served(start=START) as (sandbox, caller):
        text = f"Your code is 4711. It’s at https://acme.example/p. {'a' * 30}"
        await caller.send(text=text)
        shown = (await caller.get("state"))["messages"][0]
        assert shown == await caller.get("messages/latest", to="79031234567")
        assert shown["encoding"] == "UCS-2"
        assert shown["hint"] == {"characters": "’", "segments": 1}
        assert (shown["code"], shown["links"]) == ("4711", ["https://acme.example/p"])
        assert "".join(each["text"] for each in shown["segments"]) == text
        assert [each["id"] for each in shown["segments"]] == list(sandbox.account.messages[0].segment_ids)
        assert shown["segments"][0]["timeline"] == [
            ["2026-03-10T09:00:00.000Z", 255],
            ["2026-03-10T09:00:01.000Z", -2],
            ["2026-03-10T09:00:02.000Z", -1],
            ["2026-03-10T09:00:05.000Z", 0],
        ]
        assert (shown["price"], shown["accepted_at"], shown["request"]) == (
            "3.00",
            "2026-03-10T09:00:00.000Z",
            1,
        )
        assert (shown["utc_offset"], shown["send_date"]) == (180, None)


async def test_a_request(anyio_backend: str) -> None:
    """A request shows its parameters as they came, its answer, and a curl command that repeats it."""
    async with served() as (sandbox, caller):
        await caller.send(text="O'Hara")
        shown = await caller.get("requests/1")
        assert [each["name"] for each in shown["parameters"]] == [
            "SessionID",
            "DestinationAddress",
            "SourceAddress",
            "Data",
        ]
        assert shown["parameters"][3] == {"name": "Data", "value": "O'Hara", "note": "6 characters, GSM-7"}
        assert shown["answer"] == json.dumps([(await caller.get("messages/1"))["id"]])
        assert f"{caller.base_url}/Sms/Send" in shown["curl"]
        assert shown["parameters"][0]["note"] == "open, 2 h 0 min left"
        sandbox.advance(minutes=121)
        await caller.send()
        assert (await caller.get("requests"))["requests"][-1]["parameters"][0]["note"] == "expired"
        assert (await caller.call("GET", "requests/7")).status_code == 404


async def test_held_answer(anyio_backend: str) -> None:
    """A request whose answer is held has no status yet, and the account shows the gate."""
    async with served() as (sandbox, caller):
        with sandbox.hold("User/SessionId"):
            with pytest.raises(httpx.ReadTimeout):
                await caller.client.get(f"{caller.base_url}/User/SessionId", timeout=0.3)
            state = await caller.get("state")
            assert (state["requests"][0]["status"], state["requests"][0]["answer"]) == (None, "")
            gate = {"resource": "User/SessionId", "caught": 1, "held": 0}
            assert state["account"]["gates"] == [gate], "the client has given up"


async def test_answers_are_held_and_released(anyio_backend: str) -> None:
    """`POST answers` with `hold` holds answers until they are released; the state counts them."""
    async with served() as (sandbox, caller), anyio.create_task_group() as tasks:
        answers: list[int] = []

        async def send() -> None:
            answers.append((await caller.send()).status_code)

        for _ in range(2):
            account = await caller.order("POST", "answers", {"resource": "sms/send", "hold": True})
        assert account["gates"] == [{"resource": "Sms/Send", "caught": 0, "held": 0}]
        await caller.order("POST", "answers", {"status": 500, "resource": "Sms/Send", "hold": True})
        tasks.start_soon(send)
        await sandbox.gates[0].arrived()
        account = (await caller.get("state"))["account"]
        assert (account["held"], account["prepared"], answers) == (1, [], [])
        assert (await caller.order("POST", "answers/release", {"resource": "Sms/SendBulk"}))["released"] == 0
        released = await caller.order("POST", "answers/release", {"resource": "Sms/Send"})
        assert (released["released"], released["account"]["held"]) == (1, 0)
        await until(lambda: answers == [500])
        await caller.order("POST", "answers", {"hold": True})
        await caller.order("POST", "answers", {"status": 503, "times": 3})
        tasks.start_soon(send)
        await sandbox.gates[0].arrived()
        deleted = await caller.order("DELETE", "answers")
        assert (deleted["released"], deleted["removed"], deleted["account"]["gates"]) == (1, 2, [])
        await until(lambda: answers == [500, 503])


async def test_events_tell_of_held_answers(anyio_backend: str) -> None:
    """When a request is held, released or given up, or gets a prepared answer, the account has an event."""
    async with served() as (sandbox, caller):

        def events() -> int:
            return sum(each.kind == "account" for each in sandbox.feed.since(0) or [])

        sandbox.hold()
        with pytest.raises(httpx.ReadTimeout):
            await caller.client.get(f"{caller.base_url}/User/SessionId", timeout=0.2)
        await until(lambda: events() == 3)
        assert sandbox.gates[0].held == 0
        assert (sandbox.release_held(), sandbox.release_held(), events()) == (0, 0, 4)
        sandbox.answer_next(None, 500)
        await caller.client.get(f"{caller.base_url}/User/SessionId")
        assert events() == 6


async def test_filters(anyio_backend: str) -> None:
    """`GET messages` filters by number, sender, text, state, number of the message, and a search."""
    async with served(start=START) as (sandbox, caller):
        for number, text, source in (
            ("79031234567", "one", "ACME"),
            ("79031234946", "two", "ACME"),
            ("447700900123", "Three 4711", "79160000000"),
        ):
            await caller.send(number, text, source)
        sandbox.advance(timedelta(seconds=10))

        async def found(**query: Any) -> list[int]:
            return [each["number"] for each in (await caller.get("messages", **query))["messages"]]

        assert await found() == [1, 2, 3]
        for written in ("+7 (903) 123-45-67", "8 903 123-45-67", "89031234567"):
            assert await found(to=written) == [1]
            assert (await caller.get("messages/latest", to=written, wait=0))["number"] == 1
        assert await found(to="7903123") == []
        assert await found(**{"from": "acme"}) == [1, 2]
        assert await found(**{"from": "+79160000000"}) == await found(**{"from": "79160000000"}) == [3]
        assert await found(text="THREE") == [3]
        assert await found(state="46") == await found(state="expired") == [2]
        assert await found(q="from:acme -state:expired") == [1]
        assert await found(after=1) == [2, 3]
        assert await found(after=0, limit=2) == [1, 2]
        assert await found(limit=2) == [2, 3]
        assert await found(limit=0) == []


async def test_a_scheduled_message(anyio_backend: str) -> None:
    """A message with a send date is due until then. Dates of incoming messages may be in any time zone."""
    async with served(start=START) as (sandbox, caller):
        await caller.send()
        form = {"SessionID": caller.session, "DestinationAddress": "447700900123", "SourceAddress": "ACME"}
        form |= {"Data": "Later", "SendDate": "2026-03-12T19:00:00"}
        await caller.client.post(f"{caller.base_url}/Sms/SendByTimeZone", data=form)
        sandbox.advance(seconds=3)
        shown = await caller.get("messages/2")
        assert (shown["label"], shown["send_date"]) == ("due 12 Mar 19:00 UTC", "2026-03-12T19:00:00.000Z")
        body = {"source_address": "79031234567", "text": "x", "at": "2026-03-10T12:00:00+03:00"}
        assert (await caller.order("POST", "incoming", body))["created_at"] == "2026-03-10T09:00:00.000Z"


async def test_state_of_one_segment(anyio_backend: str) -> None:
    """`segment` changes the state of one segment; without it, all segments change."""
    async with served(start=START) as (_, caller):
        await caller.send(text="я" * 100)
        first, second = (each["id"] for each in (await caller.get("messages/1"))["segments"])
        changed = await caller.order("PUT", f"messages/{first}/state", {"state": 42, "segment": second})
        assert [each["state"] for each in changed["segments"]] == [255, 42]
        changed = await caller.order("PUT", f"messages/{second}/state", {"state": "Delivered"})
        assert [each["state"] for each in changed["segments"]] == [0, 0]


async def test_commands_change_the_sandbox(anyio_backend: str) -> None:
    """The routes for the account, the refusals and the answers change what the gateway answers."""
    async with served(start=START) as (sandbox, caller):
        await caller.order("PATCH", "account", {"balance": "1"})
        assert (await caller.send()).json()["Code"] == 5
        await caller.order("POST", "refusals", {"resource": None, "code": 7, "description": "No."})
        assert (await caller.send()).json() == {"Code": 7, "Desc": "No."}
        await caller.order("POST", "answers", {"resource": "Sms/Send", "status": 502, "body": "<html>"})
        answer = await caller.send()
        assert (answer.status_code, answer.text) == (502, "<html>")
        await caller.order("PATCH", "account", {"balance": 10})
        await caller.order("POST", "account/expire-sessions")
        assert (await caller.send()).status_code == 401
        await caller.order("POST", "clock/advance", {"hours": 1, "minutes": 30})
        assert sandbox.now() == START + timedelta(minutes=90)
        for paused in (False, True):
            clock = await caller.order("PATCH", "clock", {"paused": paused})
            assert clock["running"] is not paused
        await caller.order("PATCH", "clock", {"running": True, "paused": False, "speed": 60})
        assert (sandbox.running, sandbox.speed) == (True, 60)
        for source in ("+7 903 123-45-67", "8 (903) 123-45-67"):
            await caller.order("POST", "incoming", {"from": source, "to": "ACME", "text": "Hi"})
            assert sandbox.account.incoming[-1].source_address == "79031234567"


async def test_faults(anyio_backend: str) -> None:
    """The answer of `GET faults` can be changed and sent back, and its faults apply to the faulty line."""
    async with served(faults_port=0) as (sandbox, caller):
        plan = await caller.get("faults")
        plan["rules"].append(RULE)
        changed = await caller.order("PUT", "faults", plan)
        assert changed["rules"][0]["fault"] == "reset-after-pass"
        await caller.send()
        on_faulty_line = WebCaller(caller.client, changed["base_url"], caller.page_url, caller.session)
        with pytest.raises(httpx.TransportError):
            await on_faulty_line.send()
        faults = (await caller.get("state"))["faults"]
        assert faults["history"] == [
            {"number": 0, "resource": "Sms/Send", "fault": "reset-after-pass", "passed_on": True}
        ]
        assert (await caller.get("requests"))["requests"][-1]["fault"] == "reset-after-pass"
        assert sandbox.proxy is not None
        lost = await caller.client.get(f"http://127.0.0.1:{sandbox.proxy.port}/")
        assert lost.status_code == 421, "the page is only on the good line"


async def test_no_faulty_line(anyio_backend: str) -> None:
    """Without a faulty line, a fault plan cannot be set, and the answer says so."""
    async with served() as (_, caller):
        assert (await caller.get("faults"))["base_url"] is None
        answer = await caller.call("PUT", "faults", json={"rules": [RULE]})
        assert answer.status_code == 409
        assert (await caller.call("DELETE", "faults")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("GET", "messages?too=1", None, "too"),
        ("GET", "messages?after=x", None, "after"),
        ("GET", "messages?after=-1", None, "after"),
        ("GET", "messages?limit=1&limit=2", None, "limit"),
        ("GET", "messages?to=ACME", None, "to"),
        ("GET", "messages?state=lost", None, "state"),
        ("GET", "messages/latest?wait=1000000", None, "wait"),
        ("GET", "messages/latest?wait=nan", None, "wait"),
        ("GET", "events?after=x", None, "after"),
        ("GET", "livez?x=1", None, "x"),
        ("PATCH", "clock", {"running": "yes"}, "running"),
        ("PATCH", "clock", {"running": True, "paused": True}, "paused"),
        ("PATCH", "clock", {"speed": -1}, "speed"),
        ("PATCH", "clock", {"speed": None}, "speed"),
        ("PATCH", "clock", {"now": "2026-01-01T00:00:00Z"}, "now"),
        ("POST", "clock/advance", {}, "seconds"),
        ("POST", "clock/advance", {"seconds": -1}, "seconds"),
        ("POST", "clock/advance", {"seconds": True}, "seconds"),
        ("POST", "clock/advance", {"days": 1e12}, "days"),
        ("PATCH", "account", {"balance": "much"}, "balance"),
        ("PATCH", "account", {"balance": [1]}, "balance"),
        ("PATCH", "account", {"price": "-1"}, "price"),
        ("PATCH", "account", {"latency": 1e9}, "latency"),
        ("POST", "incoming", {"text": "x"}, "source_address"),
        ("POST", "incoming", {"source_address": "ACME", "text": "x"}, "source_address"),
        ("POST", "incoming", {"source_address": "7903", "from": "7903", "text": "x"}, "from"),
        ("POST", "incoming", {"source_address": "7903", "text": "x", "at": "2026-01-01"}, "at"),
        ("POST", "incoming", {"source_address": "7903", "text": "\ud83d"}, "text"),
        ("POST", "refusals", {"resource": "Sms/Nope", "code": 5}, "resource"),
        ("POST", "refusals", {"code": 10}, "code"),
        ("POST", "refusals", {"code": 5.5}, "code"),
        ("POST", "refusals", {"code": 5, "times": 0}, "times"),
        ("POST", "answers", {"status": 99}, "status"),
        ("POST", "answers", {"body": {}}, "body"),
        ("POST", "answers", {"headers": {"X": "a\r\nb"}}, "headers"),
        ("POST", "answers", {"status": 204, "body": "x"}, "body"),
        ("PUT", "faults", {"rules": [{"fault": "nope"}]}, "rules[0].fault"),
        ("PUT", "faults", {"rules": [{}]}, "rules[0].fault"),
        ("PUT", "faults", {"rules": [{"fault": "pass", "times": "x"}]}, "rules[0].times"),
        ("PUT", "faults", {"rules": [{"fault": "pass", "x": 1}]}, "rules[0].x"),
        ("PUT", "faults", {"faults": "pass"}, "faults"),
        ("PUT", "faults", {"weights": {"nope": 1}}, "weights"),
        ("PUT", "faults", {"weights": {"pass": 0}}, "weights"),
        ("PUT", "faults", {"weights": {"pass": -1}}, "weights.pass"),
        ("PUT", "faults", {"rules": [{"fault": "pass", "resource": "a b"}]}, "rules[0].resource"),
        ("PUT", "faults", {"rules": [{"fault": "pass", "probability": 2}]}, "rules[0].probability"),
        ("PUT", "faults", {"resource": "Sms/Send?x"}, "resource"),
        ("PUT", "faults", {"seed": 1e20}, "seed"),
        ("POST", "answers", {"headers": []}, "headers"),
        ("POST", "incoming", {"source_address": "7903", "text": "x" * 100_001}, "text"),
        ("PUT", "faults", {"rule": []}, "rule"),
        ("PUT", "messages/1/state", {}, "state"),
        ("PUT", "messages/1/state", {"state": "lost"}, "state"),
        ("PUT", "messages/1/state", {"state": 0, "segment": "x"}, "segment"),
    ],
)
async def test_wrong_fields(method: str, path: str, body: Any, field: str, wrong: WebCaller) -> None:
    """A wrong or unknown field is refused, the answer names the field, and nothing changes."""
    before = await wrong.get("account")
    content = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json"} if content else {}
    answer = await wrong.call(method, path, content=content, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert await wrong.get("account") == before


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"rules": [{"fault": "nope"}]}, ["rules[0].fault", "'nope'", *Fault]),
        ({"faults": ["pass", "nope"]}, ["faults[1]", "'nope'", *Fault]),
        ({"weights": {"nope": 1}}, ["weights", "'nope'", *Fault]),
        ({"rules": [{"fault": "pass", "tiems": 1}]}, ["rules[0].tiems", "times, probability, after"]),
        ({"rule": []}, ["'rule'", "faults, rules, weights, resource, seed, retry_after"]),
    ],
)
async def test_wrong_plans(plan: Any, words: list[str], wrong: WebCaller) -> None:
    """The answer to a wrong fault plan names the wrong value, and lists the kinds or fields that exist."""
    answer = await wrong.call("PUT", "faults", json=plan)
    assert answer.status_code == 422
    assert [each for each in words if each not in answer.json()["error"]] == []


@pytest.mark.parametrize(("method", "path"), [("PUT", "messages/1/state"), ("GET", "messages?state=lost")])
async def test_wrong_state(method: str, path: str, wrong: WebCaller) -> None:
    """The answer to an unknown state lists the codes and labels that exist."""
    options: dict[str, Any] = {"json": {"state": "lost"}} if method == "PUT" else {}
    answer = await wrong.call(method, path, **options)
    assert "0 (delivered), " in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b'{"speed": NaN}', b"\xff", b'{"speed": 1e999999999}'])
async def test_no_json(body: bytes, wrong: WebCaller) -> None:
    """A body that is no JSON object is refused."""
    answer = await wrong.call("PATCH", "clock", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "", 404),
        ("GET", "messages/99", 404),
        ("PUT", "messages/99/state", 404),
        ("GET", "requests/x", 404),
        ("POST", "messages", 405),
        ("DELETE", "messages/latest", 405),
        ("OPTIONS", "state", 405),
        ("HEAD", "events", 405),
    ],
)
async def test_wrong_paths(method: str, path: str, status: int, wrong: WebCaller) -> None:
    """An unknown path, message or method gets the status that says so, in JSON."""
    options: dict[str, Any] = {"json": {"state": 0}} if method == "PUT" else {}
    answer = await wrong.call(method, path, **options)
    assert answer.status_code == status
    assert status != 405 or answer.headers["allow"]
    assert method == "HEAD" or "error" in answer.json()


async def test_great_body(wrong: WebCaller) -> None:
    """A body of more than a million bytes is refused."""
    answer = await wrong.call("POST", "answers", json={"body": "x" * 1_000_001})
    assert answer.status_code == 413


async def test_files_of_the_page(wrong: WebCaller) -> None:
    """The page and its files are served, and nothing beside them."""
    page = await wrong.client.get(wrong.page_url)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    script = await wrong.client.get(f"{wrong.page_url}static/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for path in (
        "static/",
        "static/nothing.js",
        "static/..%2Fmount.py",
        "static/%2e%2e/mount.py",
        "mount.py",
    ):
        assert (await wrong.client.get(f"{wrong.page_url}{path}")).status_code == 404
    assert (await wrong.client.post(wrong.page_url)).status_code == 405


async def test_the_gateway_keeps_its_paths(anyio_backend: str) -> None:
    """Everything below `/rest` is the gateway's. Requests to the page get no prepared answer and no delay."""
    async with served(latency=30) as (sandbox, caller):
        sandbox.answer_next(None, 500)
        assert (await caller.call("GET", "livez")).status_code == 200
        assert sandbox.account.arrivals == []
        sandbox.latency = 0
        answer = await caller.client.get(f"{caller.base_url}/api/v1/livez")
        assert answer.status_code == 500
        assert len(sandbox.account.arrivals) == 1


async def test_without_the_page() -> None:
    """With `web=False`, the gateway answers all paths, as without a server."""
    from smsapi_async.sandbox import run_sandbox  # noqa: PLC0415

    async with run_sandbox(web=False) as sandbox, httpx.AsyncClient() as client:
        assert sandbox.page_url is None
        answer = await client.get(f"{sandbox.base_url.removesuffix('/rest')}/")
        assert (answer.status_code, len(sandbox.account.arrivals)) == (404, 1)


def test_state_of_a_sandbox_in_this_process() -> None:
    """A sandbox that is not served has no page."""
    assert (Sandbox().web, Sandbox().page_url) == (None, None)
