"""The account of the sandbox records every request and every accepted message."""

import ast
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import smsapi_async.sandbox
from smsapi_async.sandbox import Sandbox
from tests.sandbox.support import START, logged_in, message

pytestmark = pytest.mark.anyio


async def test_arrivals_as_they_came() -> None:
    """The account records the raw request, the time, the HTTP status and the error code of each request."""
    caller = await logged_in()
    caller.sandbox.advance(minutes=1)
    await caller.request(
        "POST",
        "sms/send?sessionid=%41%2b&X=1",
        content=b"Data=%D1%8B",
        headers={"Content-Type": "application/x-www-form-urlencoded", "X-Trace": "7"},
    )
    login, sent = caller.sandbox.account.arrivals
    assert (login.index, login.resource, login.status, login.code) == (0, "User/SessionId", 200, None)
    assert (sent.method, sent.target) == ("POST", "/rest/sms/send?sessionid=%41%2b&X=1")
    assert (sent.body, sent.headers["x-trace"]) == (b"Data=%D1%8B", "7")
    assert (sent.resource, sent.status, sent.code) == ("Sms/Send", 400, 1)
    assert sent.at == caller.sandbox.now()
    assert (sent.parameters.text("SessionID"), sent.parameters.text("data")) == ("A+", "ы")


async def test_messages_as_accepted() -> None:
    """The account records each accepted message with its price and the index of its request."""
    caller = await logged_in()
    ids = await caller.send("+79031234567", "ы" * 71, Validity=15)
    await caller.send("79161234567")
    first, second = caller.sandbox.account.messages
    assert first.segment_ids == tuple(ids)
    assert (first.destination_address, first.source_address, first.text) == ("79031234567", "ACME", "ы" * 71)
    assert (first.validity, first.send_date, first.accepted_at) == (15, None, START)
    assert (first.price, first.resource, first.arrival) == (Decimal("3.00"), "Sms/Send", 1)
    assert second.arrival == 2
    assert caller.sandbox.account.sent_to("+79161234567") == [second]


async def test_counts() -> None:
    """`count` filters requests by HTTP status and by resource name; it ignores the case of the name."""
    caller = await logged_in()
    await caller.send()
    await caller.post("Sms/Send", message("123"))
    account = caller.sandbox.account
    assert (account.count(), account.count("SMS/SEND"), account.count("Sms/Send", status=200)) == (3, 2, 1)
    assert account.count(status=400) == 1
    assert (account.logins, account.sessions) == (1, 1)


async def test_reprs_keep_secrets() -> None:
    """No `repr` of a sandbox object shows the password, a session id, a text or a complete phone number."""
    caller = await logged_in()
    await caller.send("79031234567", "a secret text")
    sandbox = caller.sandbox
    account = sandbox.account
    things = [sandbox, account, *account.arrivals, *account.messages, account.arrivals[-1].parameters]
    shown = "\n".join(map(repr, [*things, sandbox._engine.rules]))
    for secret in (sandbox.password, caller.session, "a secret text", "79031234567", "31234567"):
        assert secret not in shown
    assert "<Arrival 1: POST Sms/Send, status 200, code None>" in shown
    assert "to 79***67: 13 characters, 1 segments, by Sms/Send, arrival 1" in shown
    assert "2 arrivals, 1 messages, 1 sessions" in shown


async def test_lists_are_copies() -> None:
    """`account.arrivals` returns a new list, which does not change when more requests arrive."""
    caller = await logged_in(Sandbox())
    before = caller.sandbox.account.arrivals
    await caller.send()
    assert len(before) == 1
    assert len(caller.sandbox.account.arrivals) == 2


def test_price_can_be_set() -> None:
    """A test can set `Sandbox.price` to a str, and the sandbox converts the str to a Decimal."""
    sandbox = Sandbox()
    sandbox.price = "2.5"
    assert sandbox.price == Decimal("2.5")


def test_shares_no_code_with_the_client() -> None:
    """The sandbox imports no code of the client.

    With shared code, the sandbox could repeat a mistake of the client.
    """
    folder = Path(smsapi_async.sandbox.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            ours = [name for name in names if name.split(".")[0] == "smsapi_async"]
            assert all(name.startswith("smsapi_async.sandbox") for name in ours), path


@pytest.mark.parametrize(
    "options",
    [{"price": "-1"}, {"price": "nan"}, {"balance": "inf"}, {"latency": -0.1}, {"latency": float("nan")}],
)
def test_amounts_that_are_no_amounts(options: dict[str, Any]) -> None:
    """A price or latency below zero, and a number that is not finite, raise `ValueError`."""
    with pytest.raises(ValueError, match="must be a finite number"):
        Sandbox(**options)
