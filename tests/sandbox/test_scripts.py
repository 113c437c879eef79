"""A test can script the responses of the sandbox."""

import pytest

from smsapi_async.sandbox import Sandbox
from tests.sandbox.support import START, logged_in, message, refused

pytestmark = pytest.mark.anyio


async def test_answer_next_replaces_one_answer() -> None:
    """`answer_next` replaces the response to one request, and this request has no effect."""
    caller = await logged_in()
    caller.sandbox.answer_next("sms/send", 429, b"slow down", {"Retry-After": "7"})
    answer = await caller.post("Sms/Send", message())
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (429, "slow down", "7")
    assert "cache-control" not in answer.headers
    assert caller.sandbox.account.messages == []
    assert caller.sandbox.account.arrivals[-1].status == 429
    assert len(await caller.send()) == 1


async def test_answer_next_can_lie() -> None:
    """With `accept=True`, the sandbox accepts and bills a message even if the response is an error."""
    caller = await logged_in()
    caller.sandbox.answer_next("Sms/Send", 500, "<html>", accept=True)
    answer = await caller.post("Sms/Send", message())
    assert (answer.status_code, answer.text) == (500, "<html>")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert len(caller.sandbox.account.messages) == 1
    assert caller.sandbox.balance < 10000


async def test_scripts_are_used_in_order() -> None:
    """The sandbox uses the scripted responses of a resource in the order of the calls.

    The parameter `times` is the number of requests that get the scripted response.
    """
    caller = await logged_in()
    caller.sandbox.answer_next("User/Balance", body=b"1", times=2)
    caller.sandbox.answer_next("User/Balance", body=b"2")
    caller.sandbox.answer_next("Sms/State", body=b"3")
    seen = [(await caller.get("User/Balance")).text for _ in range(4)]
    assert seen == ["1", "1", "2", "10000"]
    assert (await caller.get("Sms/State")).text == "3"


async def test_script_for_any_resource() -> None:
    """With None as resource, `answer_next` scripts the response to the next requests.

    Requests with an unknown resource also get the scripted response.
    """
    caller = await logged_in()
    caller.sandbox.answer_next(None, body=b"1", times=2)
    assert [(await caller.get(path)).text for path in ("Sms/In", "no/such")] == ["1", "1"]


STATUS_BY_CODE = {1: 400, 2: 400, 3: 400, 4: 401, 5: 403, 6: 400, 7: 403, 8: 500, 9: 500}


@pytest.mark.parametrize(("code", "status"), STATUS_BY_CODE.items())
async def test_refuse_next(code: int, status: int) -> None:
    """`refuse_next` scripts a response with an error code, its HTTP status and an optional description."""
    caller = await logged_in()
    caller.sandbox.refuse_next("Sms/Send", code, "Because")
    caller.sandbox.refuse_next("Sms/Send", code, times=2)
    assert refused(await caller.post("Sms/Send", message())) == (status, code, "Because")
    for _ in range(2):
        assert refused(await caller.post("Sms/Send", message()))[:2] == (status, code)
    assert caller.sandbox.account.arrivals[-1].code == code
    assert caller.sandbox.account.messages == []
    assert len(await caller.send()) == 1


async def test_refuse_next_unquoted() -> None:
    """A scripted refusal has unquoted keys if the sandbox has `unquoted_errors=True`."""
    caller = await logged_in(Sandbox(start=START, unquoted_errors=True))
    caller.sandbox.refuse_next("Sms/Send", 8)
    assert (await caller.post("Sms/Send", message())).text == '{Code: 8, Desc: "Gateway error"}'


@pytest.mark.parametrize("arguments", [{"expired_session_code": 5}, {"id_style": "roman"}], ids=str)
def test_options_are_checked(arguments: dict[str, object]) -> None:
    """The constructor of the sandbox refuses an invalid option."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Sandbox(**arguments)  # type: ignore[arg-type]
