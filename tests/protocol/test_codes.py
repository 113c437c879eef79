"""For each error code of the gateway, the client raises the documented exception (contract, "Codes")."""

from datetime import UTC, datetime

import pytest

import smsapi_async
from smsapi_async.calls.verdicts import Again, Circumstances, Failed, SessionRefused, judge_read, judge_send
from smsapi_async.errors import RequestRejected
from smsapi_async.http.exchange import HttpResponse
from smsapi_async.protocol import resources
from smsapi_async.protocol.decoding import decode_balance

NOW = datetime(2026, 1, 28, 16, 0, tzinfo=UTC)

# Each row of `TABLE` contains an error code, an HTTP status, and the expected exceptions: first for a read (a
# request that sends no message), then for a send.
TABLE = [
    (1, 400, smsapi_async.ArgumentNullOrEmpty, smsapi_async.ArgumentNullOrEmpty),
    (2, 400, smsapi_async.InvalidArgument, smsapi_async.InvalidArgument),
    (3, 400, smsapi_async.InvalidSession, smsapi_async.InvalidSession),
    (4, 401, smsapi_async.Unauthorized, smsapi_async.Unauthorized),
    (5, 403, smsapi_async.NotEnoughCredits, smsapi_async.NotEnoughCredits),
    (6, 400, smsapi_async.InvalidOperation, smsapi_async.InvalidOperation),
    (7, 403, smsapi_async.Forbidden, smsapi_async.Forbidden),
    (8, 500, smsapi_async.GatewayFault, smsapi_async.OutcomeUnknown),
    (9, 500, smsapi_async.InternalServerError, smsapi_async.OutcomeUnknown),
]


def _answer(code: int, status: int, description: str = "words of the gateway") -> HttpResponse:
    """Return a response with an error body."""
    return HttpResponse(status, f'{{"Code":{code},"Desc":"{description}"}}'.encode())


def _circumstances(resource: resources.Resource) -> Circumstances:
    return Circumstances(resource, (), NOW)


@pytest.mark.parametrize(("code", "status", "read_error", "_send_error"), TABLE)
def test_a_code_on_a_read(
    code: int, status: int, read_error: type[Exception], _send_error: type[Exception]
) -> None:
    """A response with an error code makes a read raise the exception of the code.

    The exception contains the code, the HTTP status and the description.
    """
    verdict = judge_read(_answer(code, status), decode_balance, _circumstances(resources.BALANCE))
    assert isinstance(verdict, Again | Failed | SessionRefused)
    error = verdict.error
    assert type(error) is read_error
    assert isinstance(error, RequestRejected | smsapi_async.ReadFailed)
    assert (error.code, error.http_status, error.description) == (code, status, "words of the gateway")
    assert "words of the gateway" in str(error)


@pytest.mark.parametrize(("code", "status", "_read_error", "send_error"), TABLE)
@pytest.mark.parametrize("resource", [resources.SEND, resources.SEND_BY_TIME_ZONE, resources.SEND_BULK])
def test_a_code_on_a_send(
    resource: resources.Resource,
    code: int,
    status: int,
    _read_error: type[Exception],
    send_error: type[Exception],
) -> None:
    """For a send, codes 1 to 7 raise the exception of the code, and codes 8 and 9 raise `OutcomeUnknown`."""
    verdict = judge_send(_answer(code, status), _circumstances(resource))
    assert isinstance(verdict, Failed | SessionRefused)
    error = verdict.error
    assert type(error) is send_error
    assert isinstance(error, RequestRejected | smsapi_async.OutcomeUnknown)
    assert (error.code, error.http_status, error.description) == (code, status, "words of the gateway")


@pytest.mark.parametrize(
    ("code", "status", "description", "is_repeated"),
    [
        (3, 400, "", True),
        (4, 401, "SessionID expired", True),
        (4, 401, "Invalid user login or password", False),
        *[(code, status, "SessionID", False) for code, status, *_ in TABLE if code not in {3, 4}],
    ],
)
def test_only_a_refused_session_is_cured_by_a_login(
    code: int, status: int, description: str, is_repeated: object
) -> None:
    """The client logs in again only after code 3, or after code 4 with `SessionID` in the description."""
    answer = _answer(code, status, description)
    sent = judge_send(answer, _circumstances(resources.SEND))
    read = judge_read(answer, decode_balance, _circumstances(resources.BALANCE))
    assert isinstance(sent, SessionRefused) is is_repeated
    assert isinstance(read, SessionRefused) is is_repeated


@pytest.mark.parametrize("description", ["Invalid user login or password", "SessionID expired", ""])
@pytest.mark.parametrize("status", [401, 403])
def test_code_4_means_the_credentials(description: str, status: int) -> None:
    """Code 4 means that the login or the password is wrong, if the request contained them.

    The client does not repeat such a request.
    """
    circumstances = Circumstances(resources.LOGIN, (), NOW, has_credentials=True)
    for verdict in (
        judge_read(_answer(4, status, description), decode_balance, circumstances),
        judge_send(_answer(4, status, description), circumstances),
    ):
        assert isinstance(verdict, Failed)
        assert type(verdict.error) is smsapi_async.InvalidCredentials


@pytest.mark.parametrize(
    ("code", "is_repeated"), [(8, True), (9, True), (1, False), (2, False), (5, False), (7, False)]
)
def test_which_codes_let_a_read_be_repeated(code: int, is_repeated: object) -> None:
    """A read is repeated after codes 8 and 9 (failures of the gateway), but not after codes 1, 2, 5 and 7."""
    status = next(row[1] for row in TABLE if row[0] == code)
    verdict = judge_read(_answer(code, status), decode_balance, _circumstances(resources.BALANCE))
    assert isinstance(verdict, Again) is is_repeated
