"""Tests of the text form of arrays: PostgreSQL reads back exactly the values."""

from collections.abc import Iterator, Sequence
from datetime import UTC

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapi_async.postgres.address import Address
from smsapi_async.postgres.transactions import ServerConnection
from tests.postgres.server import Server

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_ARRAYS = st.one_of(
    st.tuples(st.just("text[]"), st.lists(st.none() | _texts)),
    st.tuples(st.just("text[]"), st.lists(st.text(alphabet='",\\{} NUL'))),
    st.tuples(st.just("bigint[]"), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1))),
    st.tuples(st.just("boolean[]"), st.lists(st.none() | st.booleans())),
    st.tuples(st.just("timestamptz[]"), st.lists(st.none() | st.datetimes(timezones=st.just(UTC)))),
)


@pytest.fixture(scope="module")
def connections() -> Iterator[list[ServerConnection]]:
    """Yield a list in which the first example puts a connection for all examples."""
    opened: list[ServerConnection] = []
    yield opened
    for each in opened:
        each.close()


@given(case=_ARRAYS)
@example(case=("text[]", ["NULL", None, "", " ", "{}", '"', "\\", "a,b"]))
def test_arrays_come_back(
    server: Server, connections: list[ServerConnection], case: tuple[str, Sequence[object]]
) -> None:
    """PostgreSQL reads texts with quotes, commas and braces, numbers, booleans, times and NULL unchanged."""
    kind, values = case
    if not connections:
        connections.append(ServerConnection(Address.of(server.dsn())))
    found = connections[0].transaction(
        lambda given: given.value(f"SELECT %s::{kind} AS found", list(values)), reads=True
    )
    assert found == list(values)
