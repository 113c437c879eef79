"""Tests of claims in PostgreSQL: they are durable, they end, and nobody takes the claims of others."""

import logging
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from smsapi_async.ledger import InFlight, Ledger, LedgerError, LedgerInUse, Summary
from smsapi_async.ledger.postgres import claims
from smsapi_async.outcomes import Accepted, Unknown
from smsapi_async.postgres import transactions
from tests.ledger.tools import Place, accepted, claim_many, keyed, message, recorded, unknown
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
ENDED = "the process ended before the outcome was recorded"


@pytest.fixture
def short_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each claim end at once, as if its time had passed."""
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.0)


@pytest.mark.parametrize("end", ["none", "settle", "release", "settle with a claim"])
async def test_what_was_recorded_survives_a_crash(server: Server, account: str, end: str) -> None:
    """A claim and its end are on the disk when the call returns, even if the role says otherwise."""
    server.rows("DROP ROLE IF EXISTS lazy")
    server.rows("CREATE ROLE lazy LOGIN SUPERUSER")
    server.rows("ALTER ROLE lazy SET synchronous_commit = off")
    async with Ledger.postgres(server.dsn(user="lazy"), account=account) as ledger:
        await claim_many(ledger, 3)
        if end == "settle":
            await ledger.settle("many", accepted("1", "2", "3"))
        elif end == "release":
            await ledger.release("many")
        elif end == "settle with a claim":
            await ledger.claim("next", keyed(ledger, 1, 9), settle=("many", accepted("1", "2", "3")))
        await anyio.to_thread.run_sync(server.restart)
        assert (
            await ledger.summary()
            == {
                "none": Summary(sending=3),
                "settle": Summary(accepted=3, segments=3),
                "release": Summary(pending=3),
                "settle with a claim": Summary(accepted=3, segments=3, sending=1),
            }[end]
        )


async def test_opening_touches_nobodys_requests(place: Place) -> None:
    """If a second process opens and closes the ledger, the claims of the first process stay in flight."""
    async with place() as first:
        await claim_many(first, 2)
        async with place() as second:
            assert await second.claim("second", keyed(second, 3)) == [InFlight("many")] * 2 + [None]
            assert await second.resolve_all(sent=False) == 0
        assert await first.summary() == Summary(sending=2, unknown=1)
        await first.settle("many", accepted("1", "2"))
        assert await first.summary() == Summary(accepted=2, unknown=1, segments=2)


async def test_a_closed_ledger_leaves_its_claims_unknown(place: Place) -> None:
    """If a process closes the ledger during a request, its messages are unknown at once for all others."""
    async with place() as other:
        async with place() as ledger:
            await claim_many(ledger, 2)
        (first, second) = await other.claim("next", keyed(other, 2))
    assert isinstance(first, Unknown)
    assert isinstance(second, Unknown)
    assert first.reason == ENDED


@pytest.mark.usefixtures("short_claims")
async def test_a_claim_whose_time_has_passed_is_unknown(place: Place) -> None:
    """If a sender does not end its claim in time, the message is unknown and is not sent again."""
    async with place() as ledger:
        keys = await claim_many(ledger, 2)
        assert await ledger.summary() == Summary(unknown=2)
        assert await ledger.states([message(0)]) == ["unknown"]
        assert [each.reason async for each in ledger.unknown()] == [ENDED] * 2
        assert [each.state async for each in ledger.report()] == ["unknown"] * 2
        assert {type(each) for each in (await recorded(ledger)).values()} == {Unknown}
        (claimed,) = await ledger.claim("next", keyed(ledger, 1))
        assert isinstance(claimed, Unknown)
        with anyio.fail_after(5):
            await ledger.wait("many")
        await ledger.resolve(keys[0], sent=False)
        assert await ledger.resolve_all(sent=True) == 1
        assert await ledger.summary() == Summary(pending=1, accepted=1)


@pytest.mark.usefixtures("short_claims")
async def test_a_late_answer_after_the_time_is_recorded(place: Place) -> None:
    """An answer that comes after the time of the claim replaces the state unknown."""
    async with place() as ledger:
        await claim_many(ledger, 2)
        await ledger.settle("many", accepted("1", "2"))
        assert await ledger.summary() == Summary(accepted=2, segments=2)


@pytest.mark.usefixtures("short_claims")
async def test_a_late_release_after_the_time_changes_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """After the time of a claim, its messages are unknown, and a release does not make them pending."""
    async with place() as ledger:
        await claim_many(ledger, 2)
        await ledger.release("many")
        assert await ledger.summary() == Summary(unknown=2)
    assert "1 of 1 releases came too late" in caplog.text


async def test_a_late_answer_changes_nothing_of_the_next_sender(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """After a person resolved a message and another sender claimed it, the first answer changes no row."""
    async with place() as first, place() as second:
        (key,) = await claim_many(first, 1, token="first")
        await first.settle("first", unknown())
        await second.resolve(key, sent=False)
        assert await second.claim("second", keyed(second, 1)) == [None]
        for end in (first.settle("first", accepted("late")), first.release("first")):
            caplog.clear()
            await end
            (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
            assert "1 of 1" in warning.getMessage()
        assert await second.summary() == Summary(sending=1)
        await second.settle("second", accepted("right"))
        (outcome,) = (await recorded(first)).values()
    assert isinstance(outcome, Accepted)
    assert outcome.segment_ids == ("right",)


async def test_the_end_of_a_claim_in_another_process_is_noticed(place: Place) -> None:
    """`wait` returns soon after another process has ended its claim."""
    async with place() as first, place() as second:
        await claim_many(first, 1)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(second.wait, "many")
                await first.settle("many", accepted("1"))
        (outcome,) = await second.claim("next", keyed(second, 1))
    assert isinstance(outcome, Accepted)


async def test_times_are_those_of_the_server_in_utc(server: Server, place: Place) -> None:
    """`Record.sent_at` is the time of the server, aware and in UTC."""
    ((before,),) = server.rows("SELECT clock_timestamp()")
    async with place() as ledger:
        await claim_many(ledger, 1)
        (record,) = [each async for each in ledger.report()]
    assert isinstance(record.sent_at, datetime)
    assert record.sent_at.tzinfo is UTC
    assert timedelta(0) <= record.sent_at - before < timedelta(minutes=1)


async def test_a_row_that_another_transaction_holds(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another transaction holds a message and does not end, a claim fails after the time for locks."""
    short = transactions._BEGIN_WRITING.replace("'5s'", "'100ms'")
    monkeypatch.setattr(transactions, "_BEGIN_WRITING", short)
    import psycopg  # noqa: PLC0415 - the package may be missing

    async with place() as ledger:
        pairs = keyed(ledger, 2)
        await ledger.record_pending(pairs)
        with psycopg.connect(server.dsn()) as connection:
            connection.execute(
                "SELECT 1 FROM smsapi.requests r JOIN smsapi.messages m ON m.request_id = r.id"
                " WHERE m.key = %s FOR UPDATE OF r",
                (pairs[0][0],),
            )
            with pytest.raises(LedgerInUse, match="another transaction") as caught:
                await ledger.claim("a", pairs)
            assert caught.value.is_retryable
        assert await ledger.claim("a", pairs) == [None, None]


async def test_the_pending_messages_of_a_batch_are_held(server: Server, place: Place, account: str) -> None:
    """Workers must not send what a stopped batch left pending: released, recorded, resolved or retried."""
    async with place() as ledger:
        await claim_many(ledger, 1, token="a")
        await ledger.release("a")
        await ledger.record_pending(keyed(ledger, 2, 10))
        (key,) = await claim_many(ledger, 1, 20, token="b")
        await ledger.settle("b", unknown())
        await ledger.resolve(key, sent=False)
        assert await ledger.summary() == Summary(pending=4)
    statement = (
        "SELECT DISTINCT not_before = 'infinity' FROM smsapi.requests WHERE state = 'pending'"
        " AND account_id = (SELECT id FROM smsapi.accounts WHERE name = %s)"
    )
    assert server.rows(statement, account) == [(True,)]


async def test_accounts_are_apart(server: Server, account: str) -> None:
    """Two accounts in one database share no message, no key and no checkpoint."""
    async with (
        Ledger.postgres(server.dsn(), account=account) as first,
        Ledger.postgres(server.dsn(), account=f"{account} 2") as second,
    ):
        await claim_many(first, 2)
        assert await second.summary() == Summary()
        await claim_many(second, 2)
        await second.settle("many", accepted("1", "2"))
        assert await first.summary() == Summary(sending=2)
        assert [each async for each in first.outcomes()] == []
        assert await second.other_texts([message(0, "another")]) == [message(0, "another")]
        await first.settle("many", unknown())
        assert await second.resolve_all(sent=False) == 0


async def test_a_key_with_nul_is_refused(place: Place) -> None:
    """A key with the character NUL, which PostgreSQL cannot store, is refused, and nothing is claimed."""
    async with place() as ledger:
        given = message(key="a\0b")
        with pytest.raises(ValueError, match="without the character NUL"):
            ledger.key_of(given)
        with pytest.raises(LedgerError, match="the character NUL"):
            await ledger.claim("a", [("a\0b", given)])
        await claim_many(ledger, 1)
