"""Tests that numbers and texts stay private.

The errors, reprs and log records of a ledger contain no number and no text. A redacted ledger does not store
numbers and texts.
"""

import logging
import traceback
from pathlib import Path

import pytest
import sqlalchemy

from smsapi_async.ledger import Ledger, LedgerError, LedgerUnwritable, Summary
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted
from tests.ledger.tools import (
    NUMBER,
    TEXT,
    accepted,
    claim_many,
    execute,
    keyed,
    message,
    open_messages,
    recorded,
    unknown,
)

pytestmark = pytest.mark.anyio


def bytes_of(directory: Path) -> bytes:
    """Return the joined contents of all files in a directory."""
    return b"".join(each.read_bytes() for each in directory.iterdir())


async def test_a_redacted_ledger_holds_no_number_and_no_text(path: Path) -> None:
    """The files of a redacted ledger contain no number and no text."""
    async with Ledger.sqlite(path, redact=True) as ledger:
        await claim_many(ledger, 3)
        await ledger.record_pending(keyed(ledger, 5))
        written = bytes_of(path.parent)
    written += bytes_of(path.parent)
    assert b"Shop" in written
    assert NUMBER.encode()[:8] not in written
    assert TEXT.encode() not in written


async def test_a_redacted_ledger_still_tells_outcomes(path: Path) -> None:
    """A redacted ledger returns outcomes with an empty number and an empty text.

    `claim` still recognises the messages that a redacted ledger has recorded.
    """
    async with Ledger.sqlite(path, redact=True) as ledger:
        keys = await claim_many(ledger, 3)
        await ledger.settle([accepted(keys[0])])
        await ledger.release(keys[2:])
    async with Ledger.sqlite(path) as ledger:
        told = (await recorded(ledger))[keys[0]]
        assert told.message == Message("", "", source_address="Shop", key=keys[0])
        assert await ledger.pending() == [(keys[2], None)]
        again = await ledger.claim(keyed(ledger, 3))
        assert isinstance(again[keys[0]], Accepted)
        assert again[keys[2]] is None
        await ledger.claim(keyed(ledger, 1, first=7))
    assert NUMBER.encode()[:8] not in bytes_of(path.parent)


async def test_a_full_ledger_cannot_be_redacted_afterwards(path: Path) -> None:
    """If a ledger was created without `redact`, opening it with ``redact=True`` raises `LedgerError`."""
    async with Ledger.sqlite(path):
        pass
    with pytest.raises(LedgerError, match="created without `redact`"):
        await Ledger.sqlite(path, redact=True).__aenter__()


async def test_errors_and_reprs_hold_nothing_private(path: Path) -> None:
    """The errors and the reprs of a ledger show no number and no text, even if a number is used as a key."""
    private = message(text="\ud800 secret")
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle([unknown(keys[0])])
        twice = [(NUMBER, message(5)), (NUMBER, message(5))]
        errors = []
        for work in (
            lambda: ledger.claim([(NUMBER, private)]),
            lambda: ledger.claim(twice),
            lambda: ledger.claim([(keys[1], message(1))]),
            lambda: ledger.release([NUMBER]),
            lambda: ledger.resolve(NUMBER, sent=True),
            lambda: ledger.settle([accepted(NUMBER)]),
        ):
            with pytest.raises(LedgerError) as caught:
                await work()
            errors.append(caught.value)
            assert caught.value.__context__ is None
        assert await ledger.summary() == Summary(sending=1, unknown=1)
        words = "".join("".join(traceback.format_exception(error)) for error in errors)
        words += repr(errors) + repr(ledger) + repr(await recorded(ledger))
    for secret in (NUMBER, TEXT, "secret"):
        assert secret not in words


async def test_a_full_disk_does_not_tell_what_was_written(path: Path) -> None:
    """If the disk is full, the error and its traceback contain no number."""
    async with Ledger.sqlite(path) as ledger:
        await execute(ledger, "PRAGMA max_page_count = 12")
        with pytest.raises(LedgerUnwritable) as caught:
            await ledger.claim(keyed(ledger, 2000))
        assert caught.value.__context__ is None
        assert NUMBER[:8] not in "".join(traceback.format_exception(caught.value))


async def test_no_log_record_holds_what_is_read(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Even at the log level DEBUG, no log record contains a number or a text from the ledger."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 3)
        await ledger.settle([accepted(keys[0]), unknown(keys[1])])
        await ledger.release(keys[2:])
        assert len(await recorded(ledger)) == 2
        assert len(await ledger.pending()) == 1
        await ledger.claim(keyed(ledger, 3))
        assert len(await open_messages(ledger)) == 1
        await ledger.resolve(keys[1], sent=True)
    ours = [each for each in caplog.records if each.name.startswith("sqlalchemy.engine")]
    assert any("SELECT" in each.getMessage() for each in ours)
    words = "".join(map(logging.Formatter().format, caplog.records))
    assert NUMBER[:8] not in words
    assert TEXT not in words


async def test_the_logs_of_other_engines_are_left(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While a ledger is open, SQLAlchemy still logs the rows of other databases in the same program."""
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    async with Ledger.sqlite(path):
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 'a row of its own'")).all()
        engine.dispose()
    assert "Row ('a row of its own',)" in caplog.text
