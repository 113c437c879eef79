"""The search in messages."""

import time

import attrs
import pytest

from smsapi_async.sandbox.web.search import links_in, matches
from smsapi_async.sandbox.web.state_labels import MessageState
from tests.sandbox.web.search_cases import (
    FOUND,
    LETTER,
    LETTER_FOUND,
    LETTER_NOT_FOUND,
    MESSAGE,
    NOT_FOUND,
    REPLY,
    STATES,
)


@pytest.mark.parametrize(
    "query",
    FOUND,
)
def test_found(query: str) -> None:
    """A query finds a message that fulfils all of its terms."""
    if query == "is:":
        assert not matches(MESSAGE, query), "an unknown key is a word"
    else:
        assert matches(MESSAGE, query)


@pytest.mark.parametrize(
    "query",
    LETTER_FOUND,
)
def test_forms_of_terms(query: str) -> None:
    """Phrases, telephone numbers as people write them, and names of states find a message."""
    assert matches(LETTER, query)


@pytest.mark.parametrize(
    "query",
    LETTER_NOT_FOUND,
)
def test_forms_that_do_not_match(query: str) -> None:
    """A phrase in another order, another number or another state does not find a message."""
    assert not matches(LETTER, query)


@pytest.mark.parametrize(
    ("state", "query"),
    STATES,
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
    NOT_FOUND,
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
