"""For every HTTP status and response body, the client's verdict on the response is as documented."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smsapi_async
from smsapi_async.calls.verdicts import (
    Again,
    Circumstances,
    Done,
    Failed,
    SessionRefused,
    judge_read,
    judge_send,
)
from smsapi_async.errors import RequestRejected
from smsapi_async.http.exchange import ExchangeFailure, HttpResponse
from smsapi_async.privacy import scrub
from smsapi_async.protocol import resources
from smsapi_async.protocol.decoding import decode_balance
from tests.protocol.test_any_bytes import BODIES

NOW = datetime(2026, 1, 28, 16, 0, tzinfo=UTC)
SEND = Circumstances(resources.SEND, ("79031234567", "the text of it"), NOW)
READ = Circumstances(resources.BALANCE, (), NOW)
REFUSALS = {
    1: "ArgumentNullOrEmpty",
    2: "InvalidArgument",
    3: "InvalidSession",
    4: "Unauthorized",
    5: "NotEnoughCredits",
    6: "InvalidOperation",
    7: "Forbidden",
}

# The second strategy draws only HTTP statuses with a special meaning, because a random number from 100 to 599
# is rarely such a status.
statuses = st.integers(100, 599) | st.sampled_from(
    [200, 201, 204, 302, 307, 400, 401, 403, 408, 429, 500, 503]
)
segment_ids = st.lists(st.text("0123456789ABCDEF-+", min_size=1), min_size=1, max_size=5)
garbage = st.sampled_from(
    [b"", b"<html>Bad Gateway</html>", b"[]", b"{}", b"null", b'"ok"', b"[null]", b'["1"', b"\xff\xfe"]
)


@given(status=statuses, ids=segment_ids)
def test_segment_ids_count_only_with_success(status: int, ids: list[str]) -> None:
    """Segment ids prove that a send is accepted only if the response has a 2xx status."""
    verdict = judge_send(HttpResponse(status, json.dumps(ids).encode()), SEND)
    if 200 <= status < 300:
        assert verdict == Done(tuple(ids))
    elif status == 429:
        assert isinstance(verdict, Failed)
        assert type(verdict.error) is smsapi_async.RateLimited
    else:
        assert isinstance(verdict, Failed)
        assert type(verdict.error) is smsapi_async.OutcomeUnknown


@given(
    status=statuses, code=st.integers(-2, 12), description=st.sampled_from(["", "SessionID expired", "words"])
)
def test_an_error_body_on_a_send(status: int, code: int, description: str) -> None:
    """A send is refused only by HTTP status 429, or by codes 1 to 7 with a 4xx status other than 408."""
    verdict = judge_send(HttpResponse(status, json.dumps({"Code": code, "Desc": description}).encode()), SEND)
    assert isinstance(verdict, Failed | SessionRefused)
    is_refusal = 400 <= status < 500 and status not in {408, 429} and code in REFUSALS
    refuses_session = code == 3 or (code == 4 and description == "SessionID expired")
    expected = REFUSALS[code] if is_refusal else "RateLimited" if status == 429 else "OutcomeUnknown"
    assert type(verdict.error).__name__ == expected
    assert isinstance(verdict, SessionRefused) is (is_refusal and refuses_session)
    assert getattr(verdict.error, "http_status", None) == status
    assert getattr(verdict.error, "code", None) == code


@given(status=statuses, body=garbage)
def test_garbage_on_a_send(status: int, body: bytes) -> None:
    """Without segment ids and without an error code in the response, the outcome of a send is unknown.

    Without an error code in the response, only HTTP status 429 refuses the send.
    """
    verdict = judge_send(HttpResponse(status, body), SEND)
    assert isinstance(verdict, Failed)
    assert type(verdict.error).__name__ == ("RateLimited" if status == 429 else "OutcomeUnknown")


@given(status=statuses, body=BODIES)
def test_any_answer_to_a_send(status: int, body: bytes) -> None:
    """The client repeats a send because of a response only if the response refuses the session."""
    verdict = judge_send(HttpResponse(status, body), SEND)
    assert not isinstance(verdict, Again)
    if isinstance(verdict, Done):
        assert 200 <= status < 300
        assert verdict.value
        assert all(one.strip() for one in verdict.value)
    elif isinstance(verdict.error, RequestRejected):
        assert 400 <= status < 500
        assert verdict.error.code in REFUSALS or status == 429
    else:
        assert type(verdict.error) is smsapi_async.OutcomeUnknown


@given(
    kind=st.sampled_from(["httpx.ConnectError", "httpx.ReadTimeout", "ssl.SSLError"]),
    words=st.text(),
    proved=st.booleans(),
)
def test_a_failed_send(kind: str, words: str, proved: bool) -> None:
    """A send is repeated after a failed exchange only if no byte of the request was written.

    Without a proof that no byte was written, the outcome of the send is unknown.
    """
    verdict = judge_send(ExchangeFailure(kind, words, not_sent=proved), SEND)
    if proved:
        assert isinstance(verdict, Again)
        assert type(verdict.error) is smsapi_async.NotSent
    else:
        assert isinstance(verdict, Failed)
        assert type(verdict.error) is smsapi_async.OutcomeUnknown
    assert kind in str(verdict.error)


def test_words_from_the_wire_are_not_shown() -> None:
    """If the request may have been written, the error contains only the class name of the exception.

    The text of the exception may quote the response, for example the text of a message.
    """
    verdict = judge_send(
        ExchangeFailure("httpx.RemoteProtocolError", "illegal line: Код 4821", not_sent=False), SEND
    )
    assert isinstance(verdict, Failed)
    assert "4821" not in str(verdict.error)


@given(status=statuses, body=BODIES, words=st.text(), proved=st.booleans())
def test_any_outcome_of_a_read(status: int, body: bytes, words: str, proved: bool) -> None:
    """A read succeeds only with HTTP status 200.

    A read is repeated only after a failed exchange, or after HTTP status 408, 429 or 5xx.
    """
    failure = judge_read(ExchangeFailure("httpx.ReadError", words, not_sent=proved), decode_balance, READ)
    assert isinstance(failure, Again)
    assert type(failure.error) is smsapi_async.TransportFailed
    verdict = judge_read(HttpResponse(status, body), decode_balance, READ)
    if isinstance(verdict, Done):
        assert status == 200
    elif status >= 500 or status in {408, 429}:
        assert isinstance(verdict, Again)
    else:
        assert isinstance(verdict, Failed | SessionRefused)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"not money", "InvalidAnswer"),
        (204, b"", "InvalidAnswer"),
        (302, b"", "InvalidAnswer"),
        (404, b"<html>", "InvalidAnswer"),
        (429, b"", "RateLimited"),
        (408, b"", "InvalidAnswer"),
        (502, b"<html>", "InternalServerError"),
        (500, b'{"Code":8}', "GatewayFault"),
        (503, b'{"Code":2}', "InternalServerError"),
    ],
)
def test_the_error_of_a_read(status: int, body: bytes, error: str) -> None:
    """The class of the exception of a failed read depends on the HTTP status and on the error code."""
    verdict = judge_read(HttpResponse(status, body), decode_balance, READ)
    assert isinstance(verdict, Again | Failed)
    assert type(verdict.error).__name__ == error


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        (" 2.5 ", 2.5),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("1e9", None),
        ("٣", None),
        ("Wed, 28 Jan 2026 16:00:00 -0000", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(status: int, retry_after: str | None, seconds: float | None) -> None:
    """`Retry-After` is a number of seconds or a date. An invalid value has the same effect as no header."""
    verdict = judge_read(HttpResponse(status, b"", retry_after), decode_balance, READ)
    assert isinstance(verdict, Again)
    assert verdict.retry_after == seconds
    if status == 429:
        assert isinstance(verdict.error, smsapi_async.RateLimited)
        assert verdict.error.retry_after == seconds


@pytest.mark.parametrize(
    "retry_after", ["999999999", "9" * 400, "301", format_datetime(NOW + timedelta(days=9), usegmt=True)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_has_a_limit(status: int, retry_after: str) -> None:
    """A wait of more than five minutes in `Retry-After` counts as five minutes. The limit is a setting."""
    for circumstances, seconds in ((READ, 300), (attrs.evolve(READ, retry_after_limit=7.5), 7.5)):
        verdict = judge_read(HttpResponse(status, b"", retry_after), decode_balance, circumstances)
        assert isinstance(verdict, Again)
        assert verdict.retry_after == seconds


@given(retry_after=st.text() | st.text("0123456789.:, GMTWedJan+-"))
def test_any_retry_after(retry_after: str) -> None:
    """For any value of `Retry-After`, `retry_after` is None or a finite number that is at least 0."""
    for judged in (
        judge_send(HttpResponse(429, b"", retry_after), SEND),
        judge_read(HttpResponse(503, b"", retry_after), decode_balance, READ),
    ):
        assert isinstance(judged, Again | Failed)
        wait = judged.retry_after if isinstance(judged, Again) else getattr(judged.error, "retry_after", None)
        assert wait is None or 0 <= wait < float("inf")


@pytest.mark.parametrize("code", [2, 8])
def test_the_gateway_cannot_make_an_error_show_what_was_sent(code: int) -> None:
    """An error masks the message text and the phone number in the description of the gateway."""
    body = json.dumps({"Code": code, "Desc": "bad 79031234567 'the text of it' 4951234567"}).encode()
    verdict = judge_send(HttpResponse(400 if code == 2 else 500, body), SEND)
    assert isinstance(verdict, Failed)
    shown = f"{verdict.error} {verdict.error!r} {verdict.error.__dict__}"
    for private in ("79031234567", "the text of it", "4951234567"):
        assert private not in shown


@given(
    secret=st.text("abcdef", min_size=8, max_size=36),
    text=st.text("abcdef", min_size=1, max_size=3),
    order=st.booleans(),
)
def test_masking_a_short_text_does_not_uncover_a_secret(secret: str, text: str, order: bool) -> None:
    """`scrub` masks a secret completely, even if the text of the message is a part of the secret."""
    private = (text, secret) if order else (secret, text)
    assert not set("abcdef") & set(scrub(f"SESSION {secret} ENDED", private))
