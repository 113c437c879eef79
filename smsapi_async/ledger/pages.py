"""Async iterators that read a ledger page by page, and checkpoints of a ledger. Both serve each database."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, Protocol, Self, TypeVar

import attrs

from smsapi_async.inbox import Position
from smsapi_async.models import Receipt
from smsapi_async.protocol.placeholders import has_placeholder
from smsapi_async.tracking import Delivery
from smsapi_async.tracking.visits import VisitStore

_logger = logging.getLogger("smsapi_async")
_Value = TypeVar("_Value")
_Place = TypeVar("_Place")


class Pages(AsyncIterator[_Value], Generic[_Place, _Value]):
    """An async iterator over rows of a ledger, which reads the rows page by page.

    Between two pages, no transaction is open.

    Args:
        page_after: an async function that takes the place from the page before, and returns the place for the
            next page and the items of the page. No items mean the end.
        first: the place for the first page.
    """

    def __init__(
        self, page_after: Callable[[_Place], Awaitable[tuple[_Place, list[_Value]]]], first: _Place
    ) -> None:
        self._page_after = page_after
        self._last = first
        self._page: deque[_Value] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Value:
        if not self._page:
            self._last, page = await self._page_after(self._last)
            self._page.extend(page)
        if not self._page:
            raise StopAsyncIteration
        return self._page.popleft()


class PagesToTrack(Pages[_Place, Receipt | Delivery]):
    """An async iterator over the messages to track. Messages without their whole segment ids are left out.

    Args:
        page_after: the same as for `Pages`.
        first: the same as for `Pages`.
        ledger: the ledger of the messages, if it keeps the time of the next request of each message.
        visits: what `AsyncSmsClient.track` then asks for due messages, in place of the iteration.
    """

    def __init__(
        self,
        page_after: Callable[[_Place], Awaitable[tuple[_Place, list[Receipt | Delivery]]]],
        first: _Place,
        ledger: object = None,
        visits: VisitStore | None = None,
    ) -> None:
        super().__init__(self._after, first)
        self.ledger = ledger
        self.visits = visits
        self._page_to_track = page_after
        self._left_out = 0

    async def _after(self, last: _Place) -> tuple[_Place, list[Receipt | Delivery]]:
        while True:
            last, page = await self._page_to_track(last)
            whole = [each for each in page if not lacks_number(each)]
            self._left_out += len(page) - len(whole)
            if whole or not page:
                break
        if not page and self._left_out:
            warn_of_left_out(self._left_out)
            self._left_out = 0
        return last, whole


def warn_of_left_out(count: int) -> None:
    """Log a warning about messages that cannot be tracked."""
    _logger.warning(
        "ledger: %d accepted messages cannot be tracked, because their segment ids contain phone numbers,"
        " which this ledger does not store; pass their receipts to `track`",
        count,
    )


def lacks_number(item: Receipt | Delivery) -> bool:
    """Return whether a segment id of a message contains a placeholder in place of a number."""
    receipt = item.receipt if isinstance(item, Delivery) else item
    return any(map(has_placeholder, receipt.segment_ids))


class SortedPages(Pages[int, _Value]):
    """An async iterator over rows that the ledger sorts when the iteration begins.

    Args:
        begin: an async function that sorts the rows, and returns the name of the result.
        page_of: an async function that takes the name, and then works as the parameter of `Pages`.
        end: a function that takes the name, and deletes the result. It is called when the iterator is
            deleted, and must not refer to the iterator.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[str]],
        page_of: Callable[[str, int], Awaitable[tuple[int, list[_Value]]]],
        end: Callable[[str], object],
    ) -> None:
        super().__init__(self._after, 0)
        self._begin, self._page_of, self._end = begin, page_of, end
        self._name: str | None = None

    async def _after(self, last: int) -> tuple[int, list[_Value]]:
        if self._name is None:
            self._name = name = await self._begin()
            weakref.finalize(self, self._end, name).atexit = False
        return await self._page_of(self._name, last)


class PositionStore(Protocol):
    """A ledger as a store of the positions of inboxes."""

    async def load_position(self, name: str) -> Position | None:
        """Return the position of an inbox that was saved last under a name, or None."""

    async def save_position(self, name: str, position: Position) -> None:
        """Store the position of an inbox under a name."""


@attrs.frozen
class LedgerCheckpoint:
    """The class of the checkpoints that `Ledger.checkpoint` returns."""

    _store: PositionStore
    _name: str

    async def load(self) -> Position | None:
        """Return the position of the inbox that was saved last, or None."""
        return await self._store.load_position(self._name)

    async def save(self, position: Position) -> None:
        """Store a position, which replaces the earlier position of the same inbox."""
        await self._store.save_position(self._name, position)
