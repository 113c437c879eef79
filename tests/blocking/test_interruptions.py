"""Tests of interrupted calls of `SmsClient`: Ctrl-C, and time limits that a signal handler raises."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

from smsapi_async import Message
from smsapi_async.blocking import SmsClient
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.portal import _PATIENCE
from smsapi_async.sandbox import Gate, Sandbox, run_sandbox

NUMBER, TEXT = "79031234567", "The code is 4711"


class TimeLimit(Exception):
    """An exception that a task queue raises in a signal handler."""


# How many interruptions the test wants, and how many the handler of the signal has raised.
_counts = {"wanted": 0, "raised": 0}


@pytest.fixture(params=[KeyboardInterrupt, TimeLimit, SystemExit])
def interruption(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    """Let the signal SIGUSR1 raise an exception in the main thread."""
    kind: type[BaseException] = request.param
    _counts.update(wanted=0, raised=0)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _counts["raised"] < _counts["wanted"]:
            _counts["raised"] += 1
            raise kind

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield kind
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox."""
    with run_sandbox() as running:
        yield running


@pytest.fixture
def sms(sandbox: Sandbox) -> Iterator[SmsClient]:
    """Return a client of the sandbox, which is logged in."""
    with SmsClient(
        sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME"
    ) as client:
        client.balance()
        yield client


def _interrupt() -> None:
    """Interrupt the main thread, and return when it has begun to handle the interruption."""
    _counts["wanted"] += 1
    # A signal that arrives just before a wait does not end the wait, so the signal is sent until it does.
    while _counts["raised"] < _counts["wanted"]:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)


@contextmanager
def _meanwhile(gate: Gate, *steps: Callable[[], object]) -> Iterator[None]:
    """Take steps in a thread when the gate holds a request of the block."""

    def take_steps() -> None:
        anyio.run(gate.arrived)
        for step in steps:
            step()

    thread = threading.Thread(target=take_steps)
    thread.start()
    yield
    thread.join()


def test_the_outcome_is_told(
    sms: SmsClient,
    sandbox: Sandbox,
    interruption: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An interrupted send waits for its outcome, and the log and the exception contain the outcome."""
    with (
        sandbox.hold("Sms/Send") as gate,
        _meanwhile(gate, _interrupt, gate.release),
        pytest.raises(interruption) as caught,
    ):
        sms.send(NUMBER, TEXT)
    expected = f"{interruption.__name__} interrupted a call that sends: the call succeeded"
    assert caught.value.__notes__ == [expected]
    assert caplog.messages == [expected]
    assert len(sandbox.account.messages) == 1


def test_the_error_is_told(
    sms: SmsClient,
    sandbox: Sandbox,
    interruption: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the interrupted send fails, the log and the exception contain the error without private values."""
    with (
        sandbox.hold("Sms/Send") as gate,
        _meanwhile(gate, _interrupt),
        pytest.raises(interruption) as caught,
    ):
        sms.send(NUMBER, TEXT, timeout=0.5)
    (told,) = caught.value.__notes__
    assert "interrupted a call that sends: OutcomeUnknown: " in told
    assert caplog.messages == [told]
    assert NUMBER not in told


def test_a_second_interruption(
    sms: SmsClient,
    sandbox: Sandbox,
    interruption: type[BaseException],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """A second Ctrl-C ends the wait at once. The outcome is unknown, also in the ledger."""
    ledger = sms.open(Ledger.sqlite(tmp_path / "run.db"))
    begin = time.monotonic()
    with (
        sandbox.hold("Sms/Send") as gate,
        _meanwhile(gate, _interrupt, _interrupt),
        pytest.raises(interruption),
    ):
        sms.send(NUMBER, TEXT, key="1", ledger=ledger)
    assert time.monotonic() - begin < _PATIENCE
    assert caplog.messages == [
        f"{interruption.__name__} interrupted a call that sends: it is not known whether a message was sent"
    ]
    assert sms.call(ledger.summary) == Summary(unknown=1)


def test_a_send_that_takes_too_long(
    sms: SmsClient,
    sandbox: Sandbox,
    interruption: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An interrupted send that gets no answer is cancelled after the patience."""
    monkeypatch.setattr("smsapi_async.portal._PATIENCE", 0.05)
    ledger = sms.open(Ledger.sqlite(tmp_path / "run.db"))
    with (
        sandbox.hold("Sms/Send") as gate,
        _meanwhile(gate, _interrupt),
        pytest.raises(interruption) as caught,
    ):
        sms.send(NUMBER, TEXT, key="1", ledger=ledger)
    assert "it is not known" in caught.value.__notes__[0]
    assert sms.call(ledger.summary) == Summary(unknown=1)


def test_a_read(
    sms: SmsClient,
    sandbox: Sandbox,
    interruption: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An interrupted read ends at once, without a record, and the client can be used afterwards."""
    begin = time.monotonic()
    with (
        sandbox.hold("User/Balance") as gate,
        _meanwhile(gate, _interrupt),
        pytest.raises(interruption) as caught,
    ):
        sms.balance()
    assert time.monotonic() - begin < _PATIENCE
    assert not hasattr(caught.value, "__notes__")
    assert not caplog.messages
    assert sms.balance() == sandbox.balance


def test_a_start(
    sandbox: Sandbox, interruption: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first call is interrupted while the event loop starts, the next call uses the client."""
    run, starts, may_run = anyio.run, threading.Event(), threading.Event()

    def run_later(*arguments: Any) -> None:
        starts.set()
        may_run.wait()
        run(*arguments)

    def interrupt() -> None:
        starts.wait()
        _interrupt()

    client = SmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME")
    monkeypatch.setattr(anyio, "run", run_later)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(interruption):
        client.balance()
    thread.join()
    may_run.set()
    assert client.balance() == sandbox.balance
    client.close()


def test_a_batch(sms: SmsClient, sandbox: Sandbox, interruption: type[BaseException], tmp_path: Path) -> None:
    """An interrupted batch records its request in flight, and another run sends the rest, none twice."""
    ledger = sms.open(Ledger.sqlite(tmp_path / "run.db"))
    messages = [Message(f"790312345{index:02}", TEXT) for index in range(40)]
    with (
        sandbox.hold("Sms/SendBulk") as gate,
        _meanwhile(gate, _interrupt, gate.release),
        pytest.raises(interruption),
        sms.send_many(messages, ledger=ledger, recipients_per_request=10, max_in_flight=10) as outcomes,
    ):
        list(outcomes)
    with sms.send_many(messages, ledger=ledger) as outcomes:
        assert len(list(outcomes)) == 40
    assert sms.call(ledger.summary) == Summary(accepted=40, segments=40)
    assert len(sandbox.account.messages) == 40
