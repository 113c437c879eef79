"""Tests of batches with a ledger: over several runs, each message is sent exactly once."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    BatchHalted,
    Message,
    NotEnoughCredits,
    Outcome,
    Rejected,
    Unknown,
)
from smsapi_async.ledger import Ledger, LedgerInUse, LedgerUnwritable
from smsapi_async.sandbox import Sandbox
from tests.batch.test_send_many import messages, number
from tests.client.tools import client_for
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio


async def run(sms: AsyncSmsClient, batch: list[Message], path: Path, size: int = 500) -> list[Outcome]:
    """Send a batch with a ledger, and return all outcomes.

    Args:
        sms: the client that sends the batch.
        batch: the messages to send.
        path: the path of the ledger file.
        size: the maximum number of recipients of one request.
    """
    async with (
        Ledger.sqlite(path) as ledger,
        sms.send_many(batch, ledger=ledger, recipients_per_request=size) as outcomes,
    ):
        return [outcome async for outcome in outcomes]


async def test_the_same_messages_again_send_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """A second run with the same messages returns the outcomes in the ledger and makes no request."""
    batch = [*messages(20), Message("79031234806", "refused")]
    async with client_for(sandbox) as sms:
        first = await run(sms, batch, tmp_path / "run.db")
        requests = sandbox.account.count()
        second = await run(sms, batch, tmp_path / "run.db")
    assert Counter(map(type, first)) == Counter(map(type, second)) == {Accepted: 20, Rejected: 1}
    assert sandbox.account.count() == requests
    assert len(sandbox.account.messages) == 20
    assert not any(outcome.recorded for outcome in first)
    assert all(outcome.recorded for outcome in second)
    ids = {outcome.key: outcome.segment_ids for outcome in first if isinstance(outcome, Accepted)}
    assert ids == {outcome.key: outcome.segment_ids for outcome in second if isinstance(outcome, Accepted)}


async def test_new_messages_join_old_ones(sandbox: Sandbox, tmp_path: Path) -> None:
    """If a later run has more messages than an earlier run, only the additional messages are sent."""
    async with client_for(sandbox) as sms:
        await run(sms, messages(10), tmp_path / "run.db")
        await run(sms, messages(15), tmp_path / "run.db")
    assert len(sandbox.account.messages) == 15


async def test_equal_messages_are_one_unless_their_keys_differ(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two equal messages without keys are sent only once, but each of the two messages has an outcome.

    Two equal messages with different keys are both sent.
    """
    batch = [Message(number(1), "hello"), Message("+" + number(1), "hello")]
    keyed = [Message(number(2), "hello", key="a"), Message(number(2), "hello", key="b")]
    async with client_for(sandbox) as sms:
        outcomes = await run(sms, batch + keyed, tmp_path / "run.db")
    assert len(outcomes) == 4
    assert Counter(m.destination_address for m in sandbox.account.messages) == {number(1): 1, number(2): 2}


async def test_the_writings_of_a_number_are_one_number(sandbox: Sandbox, tmp_path: Path) -> None:
    """A number with the prefix 8, +7 or 7 is one number: its message is sent once, to the number with 7."""
    writings = [f"{prefix}{number(1)[1:]}" for prefix in ("8", "+7", "7", "+8")]
    async with client_for(sandbox) as sms:
        await run(sms, [Message(writings[0], "hello")], tmp_path / "run.db")
        outcomes = await run(sms, [Message(each, "hello") for each in writings], tmp_path / "run.db")
        await sms.send(writings[0], "single")
        await sms.send_bulk([writings[0], number(2)], "bulk")
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 4
    assert {outcome.key for outcome in outcomes if isinstance(outcome, Accepted)} == {outcomes[0].key}
    assert Counter((m.destination_address, m.text) for m in sandbox.account.messages) == {
        (number(1), "hello"): 1,
        (number(1), "single"): 1,
        (number(1), "bulk"): 1,
        (number(2), "bulk"): 1,
    }


async def test_a_key_that_names_two_messages(sandbox: Sandbox, tmp_path: Path) -> None:
    """If two different messages of a batch have the same key, the second message is rejected."""
    batch = [Message(number(1), "hello", key="k"), Message(number(2), "hello", key="k")]
    async with client_for(sandbox) as sms:
        outcomes = {
            outcome.message.destination_address: outcome
            for outcome in await run(sms, batch, tmp_path / "run.db")
        }
    assert isinstance(outcomes[number(1)], Accepted)
    refused = outcomes[number(2)]
    assert isinstance(refused, Rejected)
    assert "another message" in refused.reason
    assert len(sandbox.account.messages) == 1


async def test_after_a_top_up_the_same_ledger_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    """If a batch halts because the account has too few credits, a later run completes the batch.

    Over the halted run and the later run, each message is sent once.
    """
    sandbox.balance = Decimal(15)
    batch = messages(50)
    path = tmp_path / "run.db"
    async with client_for(sandbox, concurrency=1) as sms:
        with pytest.raises(BatchHalted) as caught:
            await run(sms, batch, path, size=5)
        assert isinstance(caught.value.cause, NotEnoughCredits)
        async with Ledger.sqlite(path) as ledger:
            summary = await ledger.summary()
        assert summary.accepted == len(sandbox.account.messages) == 10
        assert caught.value.pending == 40
        assert summary.sending == summary.unknown == summary.rejected == 0
        sandbox.balance = Decimal(1000)
        outcomes = await run(sms, batch, path, size=5)
    assert Counter(map(type, outcomes)) == {Accepted: 50}
    assert Counter(m.destination_address for m in sandbox.account.messages).most_common(1)[0][1] == 1
    assert len(sandbox.account.messages) == 50


async def test_an_unknown_is_settled_by_a_person(sandbox: Sandbox, tmp_path: Path) -> None:
    """A message with an unknown outcome stays unknown until `Ledger.resolve` records whether it was sent."""
    path = tmp_path / "run.db"
    batch = [Message(number(1), "one", key="one"), Message(number(2), "two", key="two")]
    sandbox.answer_next("Sms/Send", status=500, times=2)
    async with client_for(sandbox) as sms:
        for _ in range(2):
            assert Counter(map(type, await run(sms, batch, path))) == {Unknown: 2}
        assert sandbox.account.count("Sms/Send") == 2
        async with Ledger.sqlite(path) as ledger:
            await ledger.resolve("one", sent=True)
            await ledger.resolve("two", sent=False)
        outcomes = {outcome.key: outcome for outcome in await run(sms, batch, path)}
    assert isinstance(outcomes["one"], Accepted)
    assert outcomes["one"].recorded
    assert isinstance(outcomes["two"], Accepted)
    assert not outcomes["two"].recorded
    assert [message.text for message in sandbox.account.messages] == ["two"]


async def test_unattributed_ids_are_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    """If the segment ids of a bulk cannot be divided among its messages, the ledger stores all ids.

    A later run returns all segment ids of the bulk request for each of its messages.
    """
    sandbox.answer_next("Sms/SendBulk", body=b'["1", "2", "3", "4"]', accept=True)
    async with client_for(sandbox) as sms:
        await run(sms, messages(3), tmp_path / "run.db")
        for outcome in await run(sms, messages(3), tmp_path / "run.db"):
            assert isinstance(outcome, Accepted)
            assert outcome.unattributed
            assert outcome.segment_ids == ("1", "2", "3", "4")


async def test_a_second_writer_is_told_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """If a ledger file is open for writing, a second batch cannot use the file.

    Opening the ledger file a second time raises `LedgerInUse`.
    """
    async with client_for(sandbox) as sms, Ledger.sqlite(tmp_path / "run.db"):
        with pytest.raises(LedgerInUse):
            await run(sms, messages(1), tmp_path / "run.db")
    assert sandbox.account.messages == []


async def test_what_cannot_be_recorded_is_not_sent(
    sandbox: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger cannot record a claim (the entry before a send), the batch halts and sends no message."""

    async def full(*_: object, **__: object) -> None:
        raise LedgerUnwritable("the disk is full; a message that cannot be recorded is not sent")

    async with client_for(sandbox) as sms, place() as ledger:
        monkeypatch.setattr(ledger, "claim", full)
        with pytest.raises(BatchHalted, match="disk is full"):
            async with sms.send_many(messages(5), ledger=ledger) as outcomes:
                assert [outcome async for outcome in outcomes] == []
    assert sandbox.account.messages == []


async def test_outcomes_are_given_even_if_they_cannot_be_recorded(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger cannot record an outcome, the batch still returns this outcome.

    If an outcome was not recorded, its message is unknown in the next run.
    """
    given = []

    async def full(*_: object, **__: object) -> None:
        raise LedgerUnwritable("the disk is full")

    async with client_for(sandbox) as sms:
        async with Ledger.sqlite(tmp_path / "run.db") as ledger:
            monkeypatch.setattr(ledger, "settle", full)
            with pytest.raises(BatchHalted, match="disk is full"):
                async with sms.send_many(messages(5), ledger=ledger) as outcomes:
                    async for outcome in outcomes:
                        given.append(outcome)
        assert Counter(map(type, given)) == {Accepted: 5}
        assert Counter(map(type, await run(sms, messages(5), tmp_path / "run.db"))) == {Unknown: 5}
    assert len(sandbox.account.messages) == 5


async def test_a_batch_is_committed_by_the_chunk(
    sandbox: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each request, the batch calls the ledger methods `claim` and `settle` once, not for each message.

    A batch of 1,000 messages with one text needs two requests.
    """
    calls: list[str] = []
    async with client_for(sandbox) as sms, place() as ledger:
        for name in ("claim", "settle", "release", "record_pending"):
            original = getattr(ledger, name)

            async def counted(
                *arguments: object, name: str = name, original: object = original, **options: object
            ) -> object:
                calls.append(name)
                return await original(*arguments, **options)  # type: ignore[operator]

            monkeypatch.setattr(ledger, name, counted)
        # A long `linger` is needed because a busy machine may take longer than the default `linger` to read
        # the 500 messages of a request.
        async with sms.send_many(messages(1000), ledger=ledger, linger=60) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 1000
    assert Counter(calls) == {"claim": 2, "settle": 2}


async def test_an_interrupted_run_leaves_the_rest_pending(sandbox: Sandbox, tmp_path: Path) -> None:
    """After a `break`, the messages that the batch has read but not sent are pending in the ledger.

    The next run sends the messages that are pending in the ledger.
    """
    batch = [Message(number(index), f"text {index}") for index in range(200)]

    def source() -> Iterator[Message]:
        yield from batch

    async with client_for(sandbox, concurrency=2) as sms:
        async with (
            Ledger.sqlite(tmp_path / "run.db") as ledger,
            sms.send_many(source(), ledger=ledger, lookahead=20) as outcomes,
        ):
            async for _ in outcomes:
                break
        async with Ledger.sqlite(tmp_path / "run.db") as ledger:
            summary = await ledger.summary()
        assert summary.accepted == len(sandbox.account.messages)
        assert summary.pending > 0
        assert summary.unknown == summary.sending == 0
        await run(sms, batch, tmp_path / "run.db")
    assert Counter(m.destination_address for m in sandbox.account.messages) == Counter(
        message.destination_address for message in batch
    )
