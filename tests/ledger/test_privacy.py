"""Tests that numbers and texts stay private.

The errors, reprs and log records of a ledger contain no number and no text. A redacted ledger does not store
numbers and texts.
"""

import logging
import traceback
from pathlib import Path

import pytest

from smsapi_async.ledger import InFlight, Ledger, LedgerError, LedgerUnwritable, Summary
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted
from tests.ledger.tools import (
    NUMBER,
    TEXT,
    Place,
    accepted,
    bytes_of,
    claim_each,
    claim_many,
    execute,
    keyed,
    message,
    recorded,
    unknown,
)

pytestmark = pytest.mark.anyio


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


async def test_a_redacted_ledger_still_tells_outcomes(place: Place, tmp_path: Path) -> None:
    """A redacted ledger returns outcomes with an empty number and an empty text.

    `claim` still recognises the messages that a redacted ledger has recorded, and `resolve` accepts the keys
    that the ledger returns.
    """
    async with place(redact=True) as ledger:
        for number, token in enumerate("abc"):
            await claim_many(ledger, 1, number, token=token)
        await ledger.settle("a", accepted())
        await ledger.release("c")
    async with place() as ledger:
        (told,) = [each async for each in ledger.outcomes(state="accepted")]
        assert told.message == Message("", "", source_address="Shop", key=told.key)
        ((pending, none),) = await ledger.pending()
        assert none is None
        (unknown,) = [each async for each in ledger.unknown()]
        assert NUMBER[:8] not in repr([told.key, pending, unknown.key])
        first, _, third = await ledger.claim("again", keyed(ledger, 3))
        assert isinstance(first, Accepted)
        assert third is None
        await ledger.resolve(unknown.key, sent=False)
        assert await ledger.claim("and again", keyed(ledger, 3)) == [first, None, InFlight("again")]
        await ledger.claim("more", keyed(ledger, 1, first=7))
    assert NUMBER.encode()[:8] not in bytes_of(tmp_path)


async def test_a_full_ledger_cannot_be_redacted_afterwards(path: Path) -> None:
    """If a ledger was created without `redact`, opening it with ``redact=True`` raises `LedgerError`."""
    async with Ledger.sqlite(path):
        pass
    with pytest.raises(LedgerError, match="created without `redact`"):
        await Ledger.sqlite(path, redact=True).__aenter__()


async def test_errors_and_reprs_hold_nothing_private(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The errors, the reprs and the log of a ledger show no number and no text, even if a number is a key."""
    caplog.set_level(logging.DEBUG)
    private = message(text="\ud800 secret")
    async with place() as ledger:
        keys = await claim_each(ledger, 2)
        await ledger.settle(keys[0], unknown())
        twice = [(NUMBER, message(5)), (NUMBER, message(5))]
        errors = []
        for work in (
            lambda: ledger.claim("a", [(NUMBER, private)]),
            lambda: ledger.claim("a", twice),
            lambda: ledger.resolve(NUMBER, sent=True),
        ):
            with pytest.raises(LedgerError) as caught:
                await work()
            errors.append(caught.value)
            assert caught.value.__context__ is None
        await ledger.release(NUMBER)
        await ledger.settle(NUMBER, accepted(NUMBER))
        assert await ledger.summary() == Summary(sending=1, unknown=1)
        words = "".join("".join(traceback.format_exception(error)) for error in errors)
        words += repr(errors) + repr(ledger) + repr([*(await recorded(ledger)).values()])
        words += repr([each async for each in ledger.unknown()]) + repr(
            [each async for each in ledger.report()]
        )
        words += "".join(map(logging.Formatter().format, caplog.records))
    for secret in (NUMBER, TEXT, "secret"):
        assert secret not in words


async def test_a_full_disk_does_not_tell_what_was_written(path: Path) -> None:
    """If the disk is full, the error and its traceback contain no number."""
    async with Ledger.sqlite(path) as ledger:
        await execute(ledger, "PRAGMA max_page_count = 14")
        with pytest.raises(LedgerUnwritable) as caught:
            await ledger.claim("a", keyed(ledger, 2000))
        assert caught.value.__context__ is None
        assert NUMBER[:8] not in "".join(traceback.format_exception(caught.value))
