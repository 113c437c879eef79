"""Tests of the size of the file of an SQLite ledger."""

from pathlib import Path

import pytest

from smsapi_async.ledger import Ledger
from tests.ledger.tools import accepted, bytes_of, claim_many, content_of, execute, keyed, message

pytestmark = pytest.mark.anyio


async def test_a_text_sent_to_many_is_kept_once(path: Path) -> None:
    """If many messages have the same text, the ledger stores this text only once, even for several claims."""
    async with Ledger.sqlite(path) as ledger:
        for first in (0, 300, 600):
            many = [message(first + number, "x" * 2000) for number in range(300)]
            await ledger.claim(str(first), [(f"key {each.destination_address}", each) for each in many[:10]])
            await ledger.claim(f"{first} derived", [(ledger.key_of(each), each) for each in many])
        assert await execute(ledger, "SELECT count(*) FROM contents") == 1


async def test_ids_that_nobody_can_divide_are_kept_once(path: Path) -> None:
    """If the segment ids of a request cannot be divided among its messages, the file has the ids once."""
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 1000)
        await ledger.settle("many", accepted(*(f"{number:036d}" for number in range(1500))))
    assert bytes_of(path.parent).count(f"{1499:036d}".encode()) == 1


async def test_a_message_needs_few_bytes(path: Path) -> None:
    """A message of a large request needs fewer than 100 bytes of the file, without its segment ids."""
    async with Ledger.sqlite(path) as ledger:
        for first in range(0, 20_000, 500):
            await ledger.claim(str(first), keyed(ledger, 500, first), positions=range(first + 1, first + 501))
    assert len(content_of(path)) < 20_000 * 100
