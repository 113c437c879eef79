"""The search of the page finds what the search of the control API finds."""

import attrs
from playwright.async_api import Page

from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.tables import DELIVERED, FINAL_STATES, description
from smsapi_async.sandbox.web.search import SearchedMessage, matches
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

_SEARCH = """async ([messages, queries]) => {
    const { searchFor } = await import("/static/search.js");
    return queries.map((query) => messages.map(searchFor(query)));
}"""


def _on_the_page(message: SearchedMessage) -> dict[str, object]:
    state = message.state and {
        "code": message.state.state,
        "label": message.state.label,
        "description": description(message.state.state, "document"),
        "isFailed": message.state.state in FINAL_STATES - {DELIVERED},
        "isPending": message.state.state not in FINAL_STATES,
    }
    parts = {"to": message.to, "from": message.source, "text": message.text, "code": message.code}
    return {**parts, "links": list(message.links), "state": state}


async def test_the_page_finds_what_the_control_api_finds(page: Page, sandbox: Sandbox) -> None:
    """Each query gives the same results in the search of the page and in the search of the control API."""
    messages = [MESSAGE, REPLY, LETTER, *(attrs.evolve(LETTER, state=state) for state, _ in STATES)]
    queries = [*FOUND, *NOT_FOUND, *LETTER_FOUND, *LETTER_NOT_FOUND, *(query for _, query in STATES)]
    await page.goto(sandbox.base_url.removesuffix("rest"))
    found = await page.evaluate(_SEARCH, [[_on_the_page(each) for each in messages], queries])
    expected = [[matches(message, query) for message in messages] for query in queries]
    assert dict(zip(queries, found, strict=True)) == dict(zip(queries, expected, strict=True))
    assert any(any(row) and not all(row) for row in found)
