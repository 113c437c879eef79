"""Tests that no error, log record or repr contains a number, a text or the password of the DSN."""

import gc
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator

import pytest

from smsapi_async.errors import SmsApiError
from smsapi_async.ledger import Ledger, LedgerError
from smsapi_async.models import Receipt
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery
from tests.ledger.tools import ACCEPTED_AT, Place, accepted, accepted_receipts, keyed, message, unknown
from tests.postgres.server import PASSWORD, Server

pytestmark = pytest.mark.anyio
NUMBER, TEXT = "79035550001", "A private text"
GIVEN = message(int(NUMBER) - 79031234567, TEXT)
OWN = message(int(NUMBER) - 79031234567, TEXT, key=NUMBER)


async def _record(ledger: Ledger) -> None:
    (receipt,) = [each async for each in ledger.to_track() if isinstance(each, Receipt)]
    await ledger.record([Delivery(receipt, Phase.ENROUTE, (None,), False, ACCEPTED_AT)])


CALLS: dict[str, Callable[[Ledger], Awaitable[object]]] = {
    "claim": lambda ledger: ledger.claim("a", [(ledger.key_of(GIVEN), GIVEN)]),
    "claim with an own key": lambda ledger: ledger.claim("a", [(NUMBER, OWN)]),
    "record_pending": lambda ledger: ledger.record_pending([(NUMBER, OWN)]),
    "settle": lambda ledger: ledger.settle("ready", accepted(f"id-{NUMBER}")),
    "settle with a reason": lambda ledger: ledger.settle("ready", unknown()),
    "release": lambda ledger: ledger.release("ready"),
    "resolve": lambda ledger: ledger.resolve("unknown", sent=True, segment_ids=[NUMBER]),
    "record": _record,
}


@pytest.fixture
def refused_rows(server: Server) -> Iterator[None]:
    """Let PostgreSQL refuse each change of a row, with an error that quotes the row."""
    tables = ("requests", "messages", "deliveries")
    yield
    for table in tables:
        server.rows(f"ALTER TABLE smsapi.{table} DROP CONSTRAINT IF EXISTS refused")


def refuse_rows(server: Server, name: str) -> None:
    """Begin to refuse the rows that a call changes last."""
    table = "messages" if "claim" in name or "pending" in name else "requests"
    table = "deliveries" if name == "record" else table
    server.rows(f"ALTER TABLE smsapi.{table} ADD CONSTRAINT refused CHECK (account_id < 0) NOT VALID")


def secrets_in(words: str) -> list[str]:
    """Return the private words in a text."""
    return [each for each in (NUMBER, NUMBER[1:], TEXT, PASSWORD) if each in words]


def words_of(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """Return all that a log, a traceback and a crash report show, with the local variables of our frames."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=False)
    words = "".join(shown.format()) + repr(error) + repr(error.args)
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_globals.get("__name__", "").startswith(("smsapi_async", "psycopg")):
            words += repr(step.tb_frame.f_locals)
        step = step.tb_next
    return words + "".join(map(logging.Formatter().format, caplog.records))


@pytest.mark.usefixtures("refused_rows")
@pytest.mark.parametrize("name", CALLS)
async def test_the_errors_of_the_server_quote_nothing(
    server: Server, place: Place, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """PostgreSQL quotes whole rows in its errors. No error and no log record of the package contains them."""
    caplog.set_level(logging.DEBUG)
    async with place() as ledger:
        await ledger.claim("ready", [("ready", message(1, key="ready"))])
        await ledger.claim("unknown", [("unknown", message(2, key="unknown"))])
        await ledger.settle("unknown", unknown())
        if name == "record":
            await accepted_receipts(ledger, 1)
        refuse_rows(server, name)
        with pytest.raises(LedgerError, match="PostgreSQL reports 23514") as caught:
            await CALLS[name](ledger)
        error: BaseException | None = caught.value
        assert error is not None
        assert error.__context__ is None
        assert error.__cause__ is None
        assert secrets_in(words_of(error, caplog)) == []
        assert secrets_in(repr(ledger)) == []
    # The check can fail: the server really quotes the row.
    assert NUMBER in server.log() or name in {"settle with a reason", "release", "record"}


async def test_wrong_values_quote_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Values that PostgreSQL cannot store are refused without showing them."""
    caplog.set_level(logging.DEBUG)
    wrong = [
        (f"{NUMBER}\0", OWN),
        (NUMBER, message(int(NUMBER) - 79031234567, f"\ud800{TEXT}", key=NUMBER)),
    ]
    async with place() as ledger:
        for pair in wrong:
            with pytest.raises(LedgerError, match="a value to record contains") as caught:
                await ledger.claim("a", [pair])
            assert caught.value.__context__ is None
            assert secrets_in(words_of(caught.value, caplog)) == []


async def test_the_password_is_in_no_text(
    server: Server, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The password of the DSN is not in a log record, an error or a repr, also while the server is away."""
    caplog.set_level(logging.DEBUG)
    ledger = Ledger.postgres(server.dsn(), account=account)
    words = repr(ledger)
    async with ledger:
        words += repr(ledger) + repr(ledger._state)  # type: ignore[attr-defined]
        with server.away():
            pass
        await ledger.claim("a", keyed(ledger, 1))
        server.stop()
    server.start()
    elsewhere = server.dsn().replace("?host=", "?host=/nowhere")
    for dsn in (server.dsn(database="nothing"), server.dsn(user="nobody"), elsewhere):
        with pytest.raises(SmsApiError) as caught:
            await Ledger.postgres(dsn).__aenter__()
        words += words_of(caught.value, caplog)
        assert caught.value.__context__ is None
    gc.collect()
    assert PASSWORD not in words
