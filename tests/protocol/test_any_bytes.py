"""For any response body, every decoder returns a value of the documented type or raises `Undecodable`."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.models import IncomingMessage, SegmentState, Statistics
from smsapi_async.privacy import Secret
from smsapi_async.protocol import decoding
from smsapi_async.protocol.decoding import ErrorBody, Undecodable
from tests.protocol import test_decoding as recorded


def _is_moment(value: object) -> bool:
    return value is None or (isinstance(value, datetime) and value.utcoffset() == timedelta(0))


def _is_amount(value: object) -> bool:
    # The test also limits the number of digits, because `1E+999999` is a finite amount but has a million
    # digits when a program prints it.
    return value is None or (isinstance(value, Decimal) and value.is_finite() and len(f"{value:f}") < 5000)


def _is_login(value: object) -> bool:
    return isinstance(value, Secret) and value.reveal().isascii() and value.reveal() != ""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_ids(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_text, value)) and all(value)


def _is_state(value: object) -> bool:
    if not isinstance(value, SegmentState):
        return False
    moments = (value.creation_date, value.submitted_date, value.reported_date, value.time_stamp)
    texts = (value.segment_id, value.state_description)
    return all(map(_is_moment, moments)) and _is_amount(value.price) and all(map(_is_text, texts))


def _is_incoming(value: object) -> bool:
    if not isinstance(value, IncomingMessage):
        return False
    texts = (value.id, value.text, value.source_address, value.destination_address)
    return all(map(_is_text, texts)) and _is_moment(value.creation_date)


def _are_incoming(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_incoming, value))


def _are_statistics(value: object) -> bool:
    if not isinstance(value, Statistics):
        return False
    counts: list[object] = [
        value.sent,
        value.delivered,
        value.errors,
        value.in_process,
        value.expired,
        value.rejected,
    ]
    totals: list[object] = [value.total, value.total_with_errors]
    return (
        all(isinstance(count, int) for count in counts)
        and all(total is None or isinstance(total, int) for total in totals)
        and _is_amount(value.delivery_ratio)
    )


# `DECODERS` maps a name to a decoder and to a function that checks whether the decoded value is as
# documented.
DECODERS: dict[str, tuple[Callable[[bytes], object], Callable[[object], bool]]] = {
    "login": (decoding.decode_login, _is_login),
    "balance": (decoding.decode_balance, lambda value: value is not None and _is_amount(value)),
    "segment ids": (decoding.decode_segment_ids, _are_ids),
    "state": (lambda body: decoding.decode_state(body, "1"), _is_state),
    "incoming": (decoding.decode_incoming, _are_incoming),
    "statistics": (decoding.decode_statistics, _are_statistics),
    "error": (decoding.decode_error, lambda value: value is None or isinstance(value, ErrorBody)),
}

RECORDED = [
    recorded.LOGIN,
    recorded.STATE,
    recorded.INCOMING,
    recorded.STATISTICS,
    b"47.30",
    b'["579700854169272358", "GW0261BA732A"]',
    b'{Code: 4, Desc: "SessionID expired"}',
]
NAMES = sorted({name for body in RECORDED[1:4] for name in body.decode().split('"') if name.isalpha()})
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["/Date(1294045911213)/", "/Date(99999999999999999)/", "\ud800", "NaN", "1E+999", "-0", "1_0"]
    )
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*NAMES, "Code", "Desc"]), inner)
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return the body of a recorded response in which a few bytes are replaced."""
    body = draw(st.sampled_from(RECORDED))
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 12)))
    pieces = st.binary(max_size=6) | st.sampled_from(
        [b"null", b"[]", b"{}", b'"', b"1e9999", b"-1", b"true", b"9" * 400, b"\\ud800", b"\\u0000"]
    )
    return body[:start] + draw(pieces) + body[end:]


@st.composite
def objects_of_the_contract(draw: st.DrawFn) -> bytes:
    """Return a JSON object with field names of the contract and arbitrary values, or a list of one object."""
    fields = draw(st.dictionaries(st.sampled_from(NAMES), LEAVES | VALUES, min_size=3))
    return json.dumps([fields] if draw(st.booleans()) else fields).encode()


BODIES = (
    st.binary() | VALUES.map(lambda value: json.dumps(value).encode()) | mutated() | objects_of_the_contract()
)


@pytest.mark.parametrize("name", DECODERS)
@given(body=BODIES)
def test_any_bytes(name: str, body: bytes) -> None:
    """For any response body, a decoder returns a value of the documented type or raises `Undecodable`."""
    decode, is_documented = DECODERS[name]
    try:
        value = decode(body)
    except Undecodable:
        return
    assert is_documented(value), value


@pytest.mark.usefixtures("without_garbage_collection")
@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"State":' * 50_000,
        # The next two bodies have 5000 digits, and Python refuses to convert more than 4300 digits to an int
        # (`sys.get_int_max_str_digits`).
        b"9" * 5000,
        b"[" + b"9" * 5000 + b"]",
        b"1e999999999999999999999",
        b'{"Code":' + b"9" * 5000 + b"}",
        b'{"State":0,"Price":1e-999999999}',
        b'{"State":0,"TimeStampUtc":"/Date(999999999999999999)/"}',
        b'{"State":0,"TimeStampUtc":"/Date(-999999999999999999)/"}',
        b'{"State":"' + b"9" * 4000 + b'"}',
        b"\x00",
        b'"\xed\xa0\x80"',
        '{"State":"٣"}'.encode(),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_hostile_bytes(name: str, body: bytes) -> None:
    """Deep nesting, long numbers and huge exponents in a response raise no exception except `Undecodable`."""
    decode, is_documented = DECODERS[name]
    try:
        value = decode(body)
    except Undecodable:
        return
    assert is_documented(value)


@pytest.mark.parametrize("name", sorted(set(DECODERS) - {"error"}))
@given(body=mutated(), where=st.integers(0, 400))
def test_the_error_holds_nothing_of_the_answer(name: str, body: bytes, where: int) -> None:
    """The text of `Undecodable` never quotes the response.

    The response may contain a phone number or a message text.
    """
    body = body[:where] + b"79031234567" + body[where:]
    try:
        DECODERS[name][0](body)
    except Undecodable as error:
        assert "1234567" not in f"{error} {error!r}"
        assert error.__suppress_context__ or error.__context__ is None
