"""The search in messages: words, `to:`, `from:`, `state:`, `text:`, `has:code`, `has:link` and `-word`."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import attrs

from smsapi_async.sandbox.tables import DELIVERED, FINAL_STATES, description
from smsapi_async.sandbox.web.state_labels import MessageState

# A whole telephone number may contain spaces and brackets without quotation marks.
_NUMBER = (
    r"(?:\+7|[78])(?:[ ()-]{0,2}[0-9]){10}(?!\S)"
    r"|\+(?!7)[0-9]{1,3}(?:[ ()-]{1,2}[0-9]{2,7}){2,4}(?!\S)"
)
_TERM = re.compile(
    rf"""([-!]?)(?:(to|from|state|text|has):)?(?:["“”]([^"“”]*)(?:["“”]|\Z)|({_NUMBER}|\S*))""",
    re.IGNORECASE,
)
_MOST_TERMS = 200
_SHORTEST_NUMBER = 5
_LINK = re.compile(r"https?://\S+", re.IGNORECASE)
_AFTER_LINK = ".,;:!?)]}>\"'»”’"
_LINK_WORDS = frozenset({"link", "links", "url", "urls"})


@attrs.frozen
class SearchedMessage:
    """The parts of a message that the search reads.

    Attributes:
        to: the destination address.
        source: the source address.
        text: the text.
        code: the login code in the text, or None.
        links: the links in the text.
        state: the state of the message; None for an incoming message.
    """

    to: str
    source: str
    text: str
    code: str | None
    links: Sequence[str]
    state: MessageState | None


def matches(message: SearchedMessage, query: str) -> bool:
    """Whether a message fulfils all terms of a query. No query is an error.

    Upper and lower case are equal, and so are the Russian letters "е" and "ё". The first 200 terms count.

    Args:
        message: the message.
        query: terms with spaces between them. A word must occur in the text or in one of the two addresses.
            Quotation marks join words: `"two words"`, `text:"two words"`. `to:` and `from:` search one
            address; a telephone number may have a plus sign, spaces, brackets and hyphens, or begin with 8.
            `text:` searches the text. `state:` searches the code of the state, a part of its label in English
            or Russian, "failed" or "pending". `has:code` and `has:link` require a login code or a link. A
            term that begins with `-` or `!` must not match. A term without a value, for example `to:`, has no
            effect.
    """
    terms = _terms(query)
    if not terms:
        return True
    parts = attrs.evolve(
        message, to=_folded(message.to), source=_folded(message.source), text=_folded(message.text)
    )
    return all(_TESTS[key](parts, value) is not is_excluded for is_excluded, key, value in terms)


def links_in(text: str) -> list[str]:
    """Return the links in a text, without the punctuation that follows a link."""
    return [match[0].rstrip(_AFTER_LINK) for match in _LINK.finditer(text)]


@lru_cache(maxsize=16)
def _terms(query: str) -> tuple[tuple[bool, str, str], ...]:
    """Return the terms of a query: whether the term must not match, the key or "", and the value."""
    found: dict[tuple[bool, str, str], None] = {}
    for match in _TERM.finditer(query):
        sign, key, phrase, word = match.groups()
        value = _folded(phrase if phrase is not None else word)
        if value:
            found[bool(sign), (key or "").lower(), value] = None
        if len(found) == _MOST_TERMS:
            break
    return tuple(found)


def _folded(text: str) -> str:
    """Return a text for comparisons: in lower case, with "е" for "ё", and with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().replace("ё", "е").split())


def _has_state(message: SearchedMessage, value: str) -> bool:
    if message.state is None:
        return False
    state = message.state.state
    if re.fullmatch(r"-?[0-9]+", value, re.ASCII):
        return value == str(state)
    name = re.sub(r"[_-]", " ", value)
    is_final = state in FINAL_STATES
    return (
        name in message.state.label.lower()
        or value in _folded(description(state, "document"))
        or (name == "failed" and is_final and state != DELIVERED)
        or (name == "pending" and not is_final)
    )


def _has(message: SearchedMessage, value: str) -> bool:
    if value in _LINK_WORDS:
        return bool(message.links)
    return value in {"code", "codes"} and message.code is not None


def _has_word(message: SearchedMessage, value: str) -> bool:
    if value in message.text or value in message.to or value in message.source:
        return True
    digits = _digits(value)
    # "1-2" and "12.30" are no parts of a telephone number.
    if digits is None or len(digits) < _SHORTEST_NUMBER:
        return False
    return _is_in_address(digits, message.to) or _is_in_address(digits, message.source)


def _has_address(address: str, value: str) -> bool:
    digits = _digits(value)
    return value in address or (digits is not None and _is_in_address(digits, address))


def _is_in_address(digits: str, address: str) -> bool:
    # In Russia, people write 8 in place of the country code 7.
    is_national = digits[0] == "8" and len(digits) > 3
    return digits in address or (is_national and address.lstrip("+").startswith("7" + digits[1:]))


@lru_cache(maxsize=2 * _MOST_TERMS)
def _digits(value: str) -> str | None:
    """Return the digits of a telephone number or of a part of one; None for any other text."""
    is_number = re.fullmatch(r"[0-9+() .-]+", value, re.ASCII) is not None
    return re.sub(r"[^0-9]", "", value) or None if is_number else None


_TESTS: dict[str, Callable[[SearchedMessage, str], bool]] = {
    "to": lambda message, value: _has_address(message.to, value),
    "from": lambda message, value: _has_address(message.source, value),
    "state": _has_state,
    "text": lambda message, value: value in message.text,
    "has": _has,
    "": _has_word,
}
