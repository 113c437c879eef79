"""Tests that the bot in tests/examples neither answers for ever nor ends without a log record."""

import itertools
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from smsapi_async import Accepted, IncomingMessage, InvalidCredentials
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Journey, Sandbox, default_journey
from smsapi_async.sandbox.account import AcceptedMessage
from tests.client.tools import until
from tests.examples import bot
from tests.inbox.tools import Killed, SharedClock, in_process

pytestmark = pytest.mark.anyio
PHONE = "79031234567"
OTHER = "79161234567"


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bot make its ledger in an empty directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sandbox() -> Sandbox:
    """Return a sandbox whose time starts at the next midnight and moves only with the clock of the bot."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Sandbox(start=today + timedelta(days=1))


async def run_bot(sandbox: Sandbox, *, minutes: int = 5) -> None:
    """Run the bot, with pauses of 0 seconds after errors, until the time of the sandbox has moved forward."""
    clock = SharedClock(sandbox)
    clock.end = sandbox.now() + timedelta(minutes=minutes)
    async with in_process(sandbox, clock) as sms:
        with pytest.raises(Killed):
            await bot.keep_watching(sms, pause=0)


def answered(sandbox: Sandbox) -> list[str]:
    """Return the number of each answer that the sandbox accepted and billed."""
    return [message.destination_address for message in sandbox.account.messages]


async def test_an_autoresponder_gets_one_answer_a_day(anyio_backend: str) -> None:
    """A phone that answers each answer of the bot at once costs one answer a day, also after restarts."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    spellings = itertools.cycle(["+", ""])

    def autoresponder(message: AcceptedMessage, index: int) -> Journey:
        # The gateway may show a number with or without "+".
        gateway.receive(next(spellings) + message.destination_address, "I am on holiday.")
        return default_journey(message, index)

    gateway = Sandbox(start=today + timedelta(days=1), journey=autoresponder)
    for day in (1, 2, 3):
        gateway.receive(PHONE, "call me")
        await run_bot(gateway)
        await run_bot(gateway)
        assert answered(gateway) == [PHONE] * day
        gateway.advance(days=1)


async def test_each_number_gets_its_answer(sandbox: Sandbox, anyio_backend: str) -> None:
    """The limit of one answer a day holds for each number, so nobody else goes without an answer."""
    for number in (PHONE, OTHER, PHONE, OTHER):
        sandbox.receive(number, "call me")
    await run_bot(sandbox)
    assert answered(sandbox) == [PHONE, OTHER]


async def test_a_restart_after_midnight_repeats_no_answer(sandbox: Sandbox, anyio_backend: str) -> None:
    """A bot that is killed before midnight and starts again after midnight does not repeat its answer."""
    sandbox.advance(hours=23, minutes=59)
    message = IncomingMessage("1", "call me", PHONE, "79160000000", sandbox.now())
    for _ in range(2):
        async with (
            in_process(sandbox, SharedClock(sandbox)) as sms,
            Ledger.sqlite("bot.db") as ledger,
        ):
            await bot.answer(message, sms, ledger)
        sandbox.advance(hours=1)
    assert answered(sandbox) == [PHONE]


async def test_one_forbidden_number_does_not_end_the_bot(
    sandbox: Sandbox, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the gateway forbids the answer to one number, the next number still gets its answer."""
    sandbox.refuse_next("Sms/Send", 7)
    sandbox.receive(PHONE, "call me")
    sandbox.receive(OTHER, "me, too")
    await run_bot(sandbox)
    assert answered(sandbox) == [OTHER]
    assert "starts again" not in caplog.text


async def test_a_watcher_that_ends_says_so_and_starts_again(
    sandbox: Sandbox, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If no credits are left, the log says that the watcher ended, and the answer follows later."""
    sandbox.refuse_next("Sms/Send", 5, times=2)
    sandbox.receive(PHONE, "call me")
    await run_bot(sandbox)
    ends = [record for record in caplog.records if record.name == "bot" and record.levelno == logging.ERROR]
    assert len(ends) == 2
    assert "credits" in ends[0].getMessage()
    assert PHONE not in caplog.text
    assert answered(sandbox) == [PHONE]
    async with Ledger.sqlite("bot.db") as ledger:
        assert [type(outcome) async for outcome in ledger.outcomes()] == [Accepted]


async def test_a_watcher_without_a_ledger_says_so(
    sandbox: Sandbox, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If another process has opened the ledger, the log says so, and the bot starts again later."""
    sandbox.receive(PHONE, "call me")
    async with (
        in_process(sandbox, SharedClock(sandbox)) as sms,
        Ledger.sqlite("bot.db"),
        anyio.create_task_group() as group,
    ):
        group.start_soon(bot.keep_watching, sms, 0)
        await until(lambda: "starts again" in caplog.text)
        group.cancel_scope.cancel()
    await run_bot(sandbox)
    assert answered(sandbox) == [PHONE]


async def test_a_wrong_password_ends_the_bot(
    sandbox: Sandbox, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password ends the bot with an error and a log record, and the bot tries no other login."""
    async with in_process(sandbox, SharedClock(sandbox), password="wrong") as sms:
        with pytest.raises(InvalidCredentials):
            await bot.keep_watching(sms, pause=0)
    assert "the bot ends: InvalidCredentials" in caplog.text
    assert sandbox.account.count("User/SessionId") == 1
