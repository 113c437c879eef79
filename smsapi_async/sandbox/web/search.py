"""The search in messages: words, `to:`, `from:`, `state:`, `text:`, `has:code`, `has:link` and `-word`."""

import re
from collections.abc import Callable, Sequence

import attrs

from smsapi_async.sandbox.web.state_labels import MessageState

_TERM = re.compile(r"([-!]?)(?:(to|from|state|text|has):)?(.*)", re.DOTALL)
_LINK = re.compile(r"https?://\S+", re.IGNORECASE)
_AFTER_LINK = ".,;:!?)]}>\"'»”’"


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
    """Whether a message fulfils all terms of a query. Upper and lower case are equal.

    Args:
        message: the message.
        query: terms with spaces between them. A word must occur in the text or in one of the two addresses.
            `to:` and `from:` search one address, `text:` the text, and `state:` the code or the label of
            the state. `has:code` and `has:link` require a login code or a link. A term that begins with `-`
            or `!` must not match. A term without a value, for example `to:`, has no effect.
    """
    return all(_matches_term(message, term) for term in query.lower().split())


def links_in(text: str) -> list[str]:
    """Return the links in a text, without the punctuation that follows a link."""
    return [match[0].rstrip(_AFTER_LINK) for match in _LINK.finditer(text)]


def _matches_term(message: SearchedMessage, term: str) -> bool:
    match = _TERM.fullmatch(term)
    excluded, key, value = match.groups() if match else ("", None, term)
    if not value:
        return True
    return _TESTS[key](message, value) is not bool(excluded)


def _has_state(message: SearchedMessage, value: str) -> bool:
    state = message.state
    return state is not None and (str(state.state) == value or value in state.label.lower())


def _has(message: SearchedMessage, value: str) -> bool:
    return {"code": message.code is not None, "link": bool(message.links)}.get(value, False)


def _has_word(message: SearchedMessage, value: str) -> bool:
    return _without_plus(value) in f"{message.text} {message.to} {message.source}".lower()


def _without_plus(value: str) -> str:
    """Return a telephone number as the sandbox stores it, and any other text as it is."""
    return value[1:] if re.fullmatch(r"\+[0-9]+", value, re.ASCII) else value


_TESTS: dict[str | None, Callable[[SearchedMessage, str], bool]] = {
    "to": lambda message, value: (re.sub(r"[^0-9]", "", value) or value) in message.to.lower(),
    "from": lambda message, value: _without_plus(value) in message.source.lower(),
    "state": _has_state,
    "text": lambda message, value: value in message.text.lower(),
    "has": _has,
    None: _has_word,
}
