"""Tests that the errors and log records of a send with a ledger show no number, no text and no key."""

import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from smsapi_async import AsyncSmsClient, RetryPolicy, SmsApiError, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.test_tracebacks import NUMBER, PASSWORD, TEXT, assert_private
from tests.client.tools import client_of_version

pytestmark = pytest.mark.anyio
KEY = f"login of {NUMBER}"


@pytest.fixture
async def sandbox(anyio_backend: str, api_version: int) -> AsyncIterator[Sandbox]:
    """Serve a sandbox whose account has a password with characters that must be encoded in a URL."""
    async with run_sandbox(
        password=PASSWORD, dialect="contract" if api_version == 1 else "latest"
    ) as running:
        yield running


def _send(sms: AsyncSmsClient, ledger: Ledger, **options: Any) -> Any:
    return sms.send(NUMBER, TEXT, ledger=ledger, **{"key": KEY, **options})


def _by_time_zone(sms: AsyncSmsClient, ledger: Ledger) -> Any:
    return sms.send_by_time_zone(NUMBER, TEXT, send_date=datetime(2030, 1, 1), key=KEY, ledger=ledger)  # noqa: DTZ001


async def _until_it_fails(call: Callable[[], Any]) -> list[BaseException]:
    """Call a function twice: the first error comes from the send, and the second one from the ledger."""
    errors: list[BaseException] = []
    for _ in range(2):
        try:
            await call()
        except (SmsApiError, LookupError) as error:
            errors.append(error)
    return errors


def _refuse(sandbox: Sandbox, code: int) -> None:
    sandbox.refuse_next("Sms/Send", code, f"no route to {NUMBER} for {TEXT}", times=2)


SITUATIONS: dict[str, Callable[[Sandbox], object]] = {
    "refused": lambda sandbox: _refuse(sandbox, 6),
    "forbidden": lambda sandbox: _refuse(sandbox, 7),
    "no credits": lambda sandbox: _refuse(sandbox, 5),
    "unknown": lambda sandbox: sandbox.answer_next(
        "Sms/Send", 500, f'{{"Code": 9, "Desc": "{NUMBER} {TEXT}"}}', accept=True
    ),
    "bad ids": lambda sandbox: sandbox.answer_next("Sms/Send", 200, f'["{NUMBER}", 1.5, "{TEXT}"]'),
    "too many": lambda sandbox: sandbox.answer_next("Sms/Send", 429, TEXT, times=2),
}


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_errors_of_the_gateway(
    sandbox: Sandbox, tmp_path: Path, situation: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error of a send, and the same error from the ledger, show no private value with their traceback."""
    caplog.set_level(logging.DEBUG)
    SITUATIONS[situation](sandbox)
    retry = RetryPolicy(attempts=1)
    async with client_of_version(sandbox, retry=retry) as sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
        errors = await _until_it_fails(lambda: _send(sms, ledger))
    assert len(errors) == 2
    for error in errors:
        assert_private(error, sandbox)
        assert KEY not in f"{error} {error!r} {vars(error)}"
    assert not [secret for secret in (NUMBER, "4711-0815", KEY) if secret in caplog.text]


class _Broken(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await super().handle_async_request(request)
        raise LookupError(request.method)


CALLS: dict[str, Callable[[AsyncSmsClient, Ledger], Any]] = {
    "another message": lambda sms, ledger: _send(sms, ledger, source_address="Other"),
    "by time zone": _by_time_zone,
    "empty key": lambda sms, ledger: _send(sms, ledger, key=""),
    "key of another message": lambda sms, ledger: _send(sms, ledger, key=f"sha256:{'A' * 22}:{NUMBER}"),
    "wrong key": lambda sms, ledger: _send(sms, ledger, key=[KEY]),
    "surrogate": lambda sms, ledger: _send(sms, ledger, key=f"{KEY}\ud800"),
    "no ledger": lambda sms, _: sms.send(NUMBER, TEXT, key=KEY),
    "bad number": lambda sms, ledger: sms.send(f"8 {NUMBER}", TEXT, key=KEY, ledger=ledger),
}


@pytest.mark.parametrize("name", CALLS)
async def test_errors_of_the_caller(
    sandbox: Sandbox, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error of a wrong parameter shows no number, no text and no key with its traceback."""
    caplog.set_level(logging.DEBUG)
    async with client_of_version(sandbox) as sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
        await _send(sms, ledger)
        with pytest.raises(SmsApiError) as caught:
            await CALLS[name](sms, ledger)
    assert_private(caught.value, sandbox)
    assert KEY not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert not [secret for secret in (NUMBER, "4711-0815", KEY) if secret in caplog.text]


@pytest.mark.parametrize("way", ["read only", "closed"])
async def test_a_ledger_that_cannot_record(sandbox: Sandbox, tmp_path: Path, way: str) -> None:
    """The error of a ledger that cannot record a message shows no private value with its traceback."""
    path = tmp_path / "run.db"
    async with Ledger.sqlite(path):
        pass
    async with client_of_version(sandbox) as sms, Ledger.sqlite(path, read_only=True) as ledger:
        if way == "closed":
            await ledger.aclose()
        errors = await _until_it_fails(lambda: _send(sms, ledger))
    assert len(errors) == 2
    for error in errors:
        assert_private(error, sandbox)


async def test_an_unexpected_error_of_the_callers_transport(sandbox: Sandbox, tmp_path: Path) -> None:
    """An unexpected error of the caller's transport, and the recorded error, show no private value."""
    async with (
        client_of_version(sandbox, transport=_Broken()) as sms,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
    ):
        errors = await _until_it_fails(lambda: _send(sms, ledger))
    assert len(errors) == 2
    for error in errors:
        assert_private(error, sandbox)


@pytest.mark.parametrize("parameter", ["ledger", "timeout", "validity", "send_date"])
async def test_a_key_in_a_wrong_place(sandbox: Sandbox, tmp_path: Path, parameter: str) -> None:
    """The error of a call that confuses the key with another parameter does not show the key."""
    async with client_of_version(sandbox) as sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
        with pytest.raises(ValidationError) as caught:
            values: dict[str, Any] = {"ledger": ledger, "key": NUMBER, parameter: KEY}
            await _send(sms, **values)
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert not [secret for secret in (NUMBER, "4711-0815", KEY) if secret in shown]
