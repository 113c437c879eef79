"""Tests of the hint in the error of a refused login. The hint never contains the login or the password."""

import pytest

from smsapi_async import InvalidCredentials, NotSent, RetryPolicy
from smsapi_async.protocol.credentials import credentials_hint
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, client_for

UNUSUAL = [
    ("login", "secret\n", "the password ends with a line break"),
    ("login", "secret\r\n", "the password ends with a line break"),
    ("login", "secret\u2028", "the password ends with a line break"),
    ("login", "\ufeffsecret", "the password contains an invisible character"),
    ("login", "sec\nret", "the password contains a line break"),
    ("login", "sec\tret", "the password contains a tab"),
    ("login", " secret", "the password begins with a space"),
    ("login", "secret ", "the password ends with a space"),
    ("login", "  ", "the password contains only spaces"),
    ("my login", "secret", "the login contains a space"),
    ("login\n", "secret", "the login ends with a line break"),
    ("login ", "secret\n", "the login ends with a space; the password ends with a line break"),
    ("my\u00a0login", "secret", "the login contains a space"),
]


@pytest.mark.parametrize(("login", "password", "words"), UNUSUAL)
def test_an_unusual_form_is_named(login: str, password: str, words: str) -> None:
    """The hint names the value with the unusual form, and does not contain the value."""
    hint = credentials_hint(login, password)
    assert words in hint
    assert "secret" not in hint
    assert "my" not in hint


@pytest.mark.parametrize("password", ["secret", "two words", "p+a=s%s w", "пароль", "a" * 500, "'", "\x7e"])
def test_a_usual_form_has_no_hint(password: str) -> None:
    """A password may contain spaces and signs, and then the error contains no hint."""
    assert credentials_hint("login", password) == ""


@pytest.mark.anyio
async def test_a_password_from_a_file_is_told_apart(sandbox: Sandbox) -> None:
    """A password with a line break at its end is sent as it is, and the refusal names the line break."""
    async with client_for(sandbox, password=f"{sandbox.password}\n") as sms:
        for _ in range(2):
            with pytest.raises(InvalidCredentials, match="the password ends with a line break") as caught:
                await sms.send(NUMBER, TEXT)
            assert caught.value.hint.startswith("the password ends with a line break")
            assert sandbox.password not in f"{caught.value!r} {caught.value} {caught.value.args}"
            assert not caught.value.is_retryable
    assert sandbox.account.logins == 1
    assert sandbox.account.messages == []


@pytest.mark.anyio
async def test_a_wrong_password_of_the_usual_form_has_no_hint(sandbox: Sandbox) -> None:
    """A refused login with values of the usual form has an empty hint."""
    async with client_for(sandbox, password="wrong") as sms:
        with pytest.raises(InvalidCredentials) as caught:
            await sms.balance()
    assert caught.value.hint == ""


@pytest.mark.anyio
async def test_a_failed_login_names_the_wait_that_the_gateway_asks_for(sandbox: Sandbox) -> None:
    """If the gateway answers a login with HTTP status 503 and a wait, the failed send has the wait."""
    sandbox.answer_next("User/SessionId", status=503, body=b"", headers={"Retry-After": "7"})
    async with client_for(sandbox, retry=RetryPolicy(attempts=1)) as sms:
        with pytest.raises(NotSent) as caught:
            await sms.send(NUMBER, TEXT)
    assert (caught.value.retry_after, caught.value.is_retryable) == (7.0, True)
