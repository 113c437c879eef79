"""The responses and the parameters that the sandbox stores with each request."""

import json

import httpx
import pytest

from smsapi_async.sandbox import Dialect, Sandbox
from tests.sandbox.support import START, Caller, logged_in, message

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["User/Balance", "Sms/State", "nothing", "Sms/Send"])
async def test_the_response_is_stored(path: str) -> None:
    """`Arrival.answer` has the status, the header fields and the body that the client received."""
    caller = await logged_in()
    received = await caller.get(path)
    arrival = caller.sandbox.account.arrivals[-1]
    assert arrival.answer is not None
    assert (arrival.answer.status, arrival.answer.body) == (received.status_code, received.content)
    assert dict(arrival.answer.headers) == dict(received.headers)
    assert (arrival.answer.code, arrival.answer.status) == (arrival.code, arrival.status)
    assert "date" in arrival.answer.headers


async def test_a_prepared_response_is_stored() -> None:
    """A prepared response is stored as the client received it, and a held request has no response."""
    caller = await logged_in()
    caller.sandbox.answer_next("User/Balance", 502, "<html>", {"X-Test": "1"})
    assert [script.answer.status for script in caller.sandbox.prepared] == [502]
    await caller.get("User/Balance")
    answer = caller.sandbox.account.arrivals[-1].answer
    assert answer is not None
    assert (answer.status, answer.body, answer.headers["x-test"]) == (502, b"<html>", "1")
    arrival, _, _ = caller.sandbox.admit("GET", "/rest/User/Balance", (), b"")
    assert arrival.answer is None


async def test_parameters_as_they_came() -> None:
    """`Arrival.given` keeps the spelling, the order and the repetitions of the parameters."""
    caller = await logged_in()
    await caller.request(
        "POST",
        "sms/send?SESSIONID=x&a=",
        content="destinationAddress=%2B7903&DATA=a+b&data=c&list[0]=1",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert caller.sandbox.account.arrivals[-1].given == [
        ("SESSIONID", "x"),
        ("a", ""),
        ("destinationAddress", "+7903"),
        ("DATA", "a b"),
        ("data", "c"),
        ("list[0]", "1"),
    ]
    await caller.request("GET", "User/Balance?sessionid=1", content="a=b")
    assert caller.sandbox.account.arrivals[-1].given == [("sessionid", "1")]


@pytest.mark.parametrize(
    ("dialect", "options", "given"),
    [
        ("contract", {"json": {"Login": "a"}}, []),
        ("latest", {"json": {"Login": "a", "List": ["b", 5]}}, ["Login", "List[0]", "List[1]"]),
        ("latest", {"content": "{", "headers": {"Content-Type": "application/json"}}, []),
        ("latest", {"files": {"Login": (None, "a")}}, ["Login"]),
    ],
)
async def test_parameters_of_other_bodies(dialect: str, options: dict[str, object], given: list[str]) -> None:
    """`given` has the parameters of the bodies that the dialect reads. An unreadable body has none."""
    caller = Caller(Sandbox(dialect=Dialect.named(dialect)))
    await caller.request("POST", "User/Balance", **options)
    assert [name for name, _ in caller.sandbox.account.arrivals[-1].given] == given


async def test_the_parameters_can_be_read_again() -> None:
    """`parameters` has the same values before and after the response."""
    caller = await logged_in(Sandbox(start=START))
    await caller.post("Sms/Send", message(text="Привет"))
    arrival = caller.sandbox.account.arrivals[-1]
    assert arrival.parameters.text("data") == "Привет"
    assert arrival.parameters is arrival.parameters
    assert arrival.answer is not None
    assert json.loads(arrival.answer.body) == list(caller.sandbox.account.messages[0].segment_ids)
    assert arrival.fault is None
    assert "Привет" not in repr(arrival) + repr(arrival.answer)
    assert isinstance(httpx.Headers(arrival.answer.headers), httpx.Headers)
