"""The search in messages."""

import time

import attrs
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


LETTER = SearchedMessage(
    to="79031234567",
    source="+447700900123",
    text='Ёлка  приедет\nв 12:30, say "hi" - or foo:bar to:7 https://acme.example/p?a=1',
    code=None,
    links=["https://acme.example/p?a=1"],
    state=MessageState(0, "delivered"),
)


@pytest.mark.parametrize(
    "query",
    [
        '"елка приедет"',
        '"приедет в 12:30"',
        "“приедет в”",
        'text:"ПРИЕДЕТ В"',
        'TEXT:"елка"',
        "ЁЛКА",
        "елка",
        '-"приедет елка"',
        '!"приедет елка"',
        '-text:"приедет елка"',
        "-to:7904",
        "-to:+7904",
        "-has:code",
        "HAS:LINK",
        "has:links",
        "-has:",
        '""',
        '-""',
        'text:""',
        '"приедет в',
        '"',
        '-"',
        "- ! -",
        "--no",
        "foo:bar",
        "https://acme.example/p?a=1",
        "12:30",
        '"to:7"',
        "-state:expired",
        "state:0",
        "state:DELIVERED",
        "state:deliv",
        "state:доставлено",
        "STATE:Доставлено",
        'state:"доставлено абоненту"',
        "-state:failed",
        "-state:pending",
        "8 (903) 123-45-67",
        "8 903 1234567 приедет",
        "+7 903 123-45-67 приедет",
        "to:8(903)123-45-67",
        "to:+7 (903) 123-45-67 ёлка",
        "to:89031234567",
        "to:8903",
        "to:8-903",
        "to:(903)",
        'to:"8 903 123"',
        "903-123",
        "from:+447700900123",
        "from:447700",
        "from:+44 7700 900123",
        "+44 7700 900123",
        " ".join(f"-x{index}" for index in range(5000)),
    ],
)
def test_forms_of_terms(query: str) -> None:
    """Phrases, telephone numbers as people write them, and names of states find a message."""
    assert matches(LETTER, query)


@pytest.mark.parametrize(
    "query",
    [
        '"приедет елка"',
        'text:"приедет елка"',
        '-"елка приедет"',
        "-text:елка",
        "-has:link",
        "-to:8903",
        "-8 (903) 123-45-67",
        "to:8 (903) 123-45-68",
        "has:foo",
        "foo:baz",
        "https://other.example",
        "state:46",
        "state:просрочено",
        "state:failed",
        "state:pending",
        "state:доставлено -елка",
        "12-31",
        "1-2",
        "to:x",
        "to:sms7",
    ],
)
def test_forms_that_do_not_match(query: str) -> None:
    """A phrase in another order, another number or another state does not find a message."""
    assert not matches(LETTER, query)


@pytest.mark.parametrize(
    ("state", "query"),
    [
        (MessageState(46, "expired"), "state:failed"),
        (MessageState(46, "expired"), "state:просрочено"),
        (MessageState(-1, "sent"), "state:-1 state:pending -state:1"),
        (MessageState(-1, "sent"), "state:отправлено"),
        (MessageState(-20, "sent to the phone"), 'state:"to the phone" state:sent_to_the_phone'),
        (MessageState(10, "wrong source address"), "state:wrong-source"),
        (MessageState(42, "rejected by the SMS centre"), 'state:"sms centre" state:смс-центром'),
        (MessageState(123, "state 123"), "state:123 -state:12"),
    ],
)
def test_states(state: MessageState, query: str) -> None:
    """A state is found by its code, its label in English or Russian, and by "failed" and "pending"."""
    assert matches(attrs.evolve(LETTER, state=state), query)
    assert not matches(REPLY, query)


@pytest.mark.parametrize(
    "part", ["a ", '"', '"" ', "-", "+7 ", "+44 ", "8 ", "(", "to:", "to:+7 (", 'x"', "x", "ё "]
)
def test_long_queries(part: str) -> None:
    """A long query takes little time for many messages."""
    query = part * (60_000 // len(part))
    start = time.process_time()
    for _ in range(1000):
        matches(LETTER, query)
    assert time.process_time() - start < 5


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
