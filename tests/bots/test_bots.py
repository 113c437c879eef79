"""Tests that the Telegram bots in tests/examples forward each SMS, answer it once, and leak nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest

from smsapi_async import Accepted, AsyncSmsClient, Unknown
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.gate import Gate
from tests.bots.bot_api import CHAT, STRANGER, TOKEN, BotApi
from tests.served import served_in_thread

BOTS = Path(__file__).parents[1] / "examples" / "bots"
LIBRARIES = {"aiogram_bot": "aiogram", "telegram_bot": "telegram"}
PHONE, OTHER = "79031234567", "79161234567"
TEXT = "Please call me about order 4711"
REPLY = "We will call you back."


@pytest.fixture(params=LIBRARIES)
def bot(request: pytest.FixtureRequest) -> str:
    """Return the name of a bot."""
    if find_spec(LIBRARIES[request.param]) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{LIBRARIES[request.param]} is not installed")
    name: str = request.param
    return name


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a gateway."""
    with run_sandbox(password="correct-horse") as running:
        yield running


@pytest.fixture
def telegram() -> Iterator[BotApi]:
    """Serve an imitation of Telegram's Bot API."""
    with served_in_thread(BotApi()) as running:
        yield running


@pytest.fixture
def directory(sandbox: Sandbox, tmp_path: Path) -> Path:
    """Return a directory with the ledger of a bot that has run before, and has handled no SMS."""

    async def watch() -> None:
        async with (
            AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url) as sms,
            Ledger.sqlite(tmp_path / "bot.db") as ledger,
            sms.watch_incoming(since=sandbox.now() - timedelta(days=1), checkpoint=ledger.checkpoint()),
        ):
            pass

    anyio.run(watch)
    return tmp_path


def arrived(gate: Gate) -> None:
    """Wait until a request has arrived at the gate."""
    while not gate.held:
        time.sleep(0.01)


def wait_for_start(telegram: BotApi) -> None:
    """Wait until the bot polls for commands. A signal during the start of python-telegram-bot is an error."""
    begin = telegram.polls
    while telegram.polls < begin + 2:
        time.sleep(0.01)


class Running:
    """A bot in a process of its own, whose standard error is kept line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.errors = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end of the process, and return its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        status = self.process.wait(30)
        self._reader.join()
        return status


@contextmanager
def running(bot: str, sandbox: Sandbox, telegram: BotApi, folder: Path, **changed: str) -> Iterator[Running]:
    """Run a bot, and check at the end that its standard error contains no private value."""
    environment = {
        **os.environ,
        "SMSAPI_LOGIN": sandbox.login,
        "SMSAPI_PASSWORD": sandbox.password,
        "SMSAPI_BASE_URL": sandbox.base_url,
        "SMSAPI_SOURCE_ADDRESS": "ACME",
        "TELEGRAM_TOKEN": TOKEN,
        "TELEGRAM_CHAT": str(CHAT),
        "TELEGRAM_URL": telegram.url + ("/bot" if bot == "telegram_bot" else ""),
        **changed,
    }
    # From Python 3.12 on, python-telegram-bot causes this warning.
    allowed = "ignore:There is no current event loop:DeprecationWarning"
    command = [sys.executable, "-W", "error", "-W", allowed, str(BOTS / f"{bot}.py")]
    with subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        started = Running(process)
        try:
            yield started
        finally:
            process.kill()
            started.wait()
    secrets = (PHONE, PHONE[1:], OTHER[1:], TEXT, REPLY, sandbox.password, TOKEN)
    assert not [secret for secret in secrets if secret in started.errors], started.errors


def answered(sandbox: Sandbox) -> list[str]:
    """Return the number of each answer that the sandbox accepted and billed."""
    return [message.destination_address for message in sandbox.account.messages]


def test_each_sms_is_forwarded_and_each_number_answered_once(
    bot: str, sandbox: Sandbox, telegram: BotApi, directory: Path
) -> None:
    """While Telegram is down, the log says so; then the chat gets each SMS, and a number gets one answer."""
    numbers = (PHONE, "+" + PHONE, OTHER, "Shop")
    for number in numbers:
        sandbox.receive(number, text=TEXT)
    telegram.failures = 2
    with running(bot, sandbox, telegram, directory) as process:
        texts = [text.splitlines() for text in telegram.wait_for(4)]
        telegram.write("/balance", STRANGER)
        telegram.write("/balance")
        balance = telegram.wait_for(5)[-1]
        assert process.stop() == 0
    assert [first for first, _ in texts] == [f"{number}: {TEXT}" for number in numbers]
    assert [second for _, second in texts[:3]] == ["Answered."] * 3
    assert texts[3][1].startswith("No answer: destination_address")
    assert answered(sandbox) == [PHONE, OTHER]
    assert balance == f"Balance: {sandbox.balance}"
    assert {chat for chat, _ in telegram.sent} == {CHAT}
    logged = [line for line in process.errors.splitlines() if "starts again" in line]
    assert logged == [f"the watcher starts again in {pause} s" for pause in (1, 2)], process.errors


def test_the_end_of_the_bot_during_a_send(
    bot: str, sandbox: Sandbox, telegram: BotApi, directory: Path
) -> None:
    """After kill -9 during a send, the chat learns that the outcome is unknown, and no SMS is sent again.

    SIGTERM during a send waits for the outcome.
    """
    sandbox.receive(PHONE, text=TEXT)
    sandbox.receive(OTHER, text=TEXT)
    gate = sandbox.hold("Sms/Send")
    with running(bot, sandbox, telegram, directory) as process:
        arrived(gate)
        process.stop(signal.SIGKILL)
    gate.release()
    gate = sandbox.hold("Sms/Send")
    with running(bot, sandbox, telegram, directory) as process:
        arrived(gate)
        wait_for_start(telegram)
        process.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.process.wait(0.5)
        gate.release()
        assert process.wait() == 0, process.errors
    (text,) = telegram.wait_for(1)
    assert "No answer: the message may or may not have been sent" in text
    assert sandbox.account.count("Sms/Send") == 2
    assert anyio.run(recorded, directory) == [Unknown, Accepted]


async def recorded(directory: Path) -> list[type]:
    """Return the classes of the outcomes in the ledger of the bot."""
    async with Ledger.sqlite(directory / "bot.db", read_only=True) as ledger:
        return [type(outcome) async for outcome in ledger.outcomes()]


def test_a_wrong_password_is_logged_and_tried_once(
    bot: str, sandbox: Sandbox, telegram: BotApi, directory: Path
) -> None:
    """A wrong password is in the log, and the starts of the watcher do not lock the account."""
    with running(bot, sandbox, telegram, directory, SMSAPI_PASSWORD="wrong") as process:
        while process.errors.count("the watcher starts again") < 2:
            assert process.process.poll() is None
            time.sleep(0.01)
        wait_for_start(telegram)
        assert process.stop() == 0
    assert "InvalidCredentials" in process.errors
    assert sandbox.account.count("User/SessionId") == 1
