"""The search in messages."""

import pytest

from smsapi_async.sandbox.web.search import SearchedMessage, links_in, matches
from smsapi_async.sandbox.web.state_labels import MessageState

MESSAGE = SearchedMessage(
    to="79031234567",
    source="ACME",
    text="Your code is 4711: see https://acme.example/p. Привет",
    code="4711",
    links=["https://acme.example/p"],
    state=MessageState(46, "expired"),
)
REPLY = SearchedMessage("ACME", "79031234567", "Спасибо", None, [], None)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  ",
        "CODE",
        "your 4711",
        "привет",
        "7903",
        "acme",
        "to:7903",
        "to:+7-903",
        "from:AC",
        "state:46",
        "state:exp",
        "text:code",
        "has:code",
        "has:link",
        "has:code from:acme -hello",
        "!hello",
        "-to:8",
        "-has:nothing",
        "see https://acme.example",
        "is:",
        "-state:delivered",
        "+79031234567",
        "-",
        "-to:",
        "has: code",
    ],
)
def test_found(query: str) -> None:
    """A query finds a message that fulfils all of its terms."""
    if query == "is:":
        assert not matches(MESSAGE, query), "an unknown key is a word"
    else:
        assert matches(MESSAGE, query)


@pytest.mark.parametrize(
    "query",
    [
        "hello",
        "-code",
        "!code",
        "to:acme",
        "from:7903",
        "state:4",
        "state:delivered",
        "text:7903",
        "code -4711",
    ],
)
def test_not_found(query: str) -> None:
    """A query does not find a message that fails one of its terms."""
    assert not matches(MESSAGE, query)


def test_incoming_messages() -> None:
    """An incoming message has no state and no code."""
    assert matches(REPLY, "from:+7903 to:acme спасибо -has:code -state:delivered")
    assert not matches(REPLY, "state:delivered")


def test_links() -> None:
    """Links end before the punctuation of the sentence."""
    text = "(https://a.example/x?y=1), http://b.example. HTTPS://C.example/! ftp://d"
    assert links_in(text) == ["https://a.example/x?y=1", "http://b.example", "HTTPS://C.example/"]
