"""Which messages go out in one request: those of equal content. No I/O here."""

from collections.abc import Callable
from typing import Any

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import Message
from smsapi_async.protocol.addresses import checked_destination
from smsapi_async.protocol.encoding import (
    Request,
    bulk_request_from_form,
    common_form,
    prepared,
    single_request_from_form,
)

RECIPIENTS_LIMIT = 2999
"""The most recipients that the vendor's keyed service takes in a bulk (contract, "Rate")."""


def _in_range(low: float, high: float) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValidationError(attribute.name, repr(value), f"pass a number from {low:g} to {high:g}")

    return check


@attrs.frozen(kw_only=True)
class BatchSettings:
    """How a batch is sent.

    Attributes:
        recipients_per_request: the most recipients of one ``SendBulk``.
        lookahead: how many messages are held back at most while others that share their text are sought.
        linger: for how many seconds at most a message is held back.
        unknown_limit: how many requests in a row may end unknown before the batch is halted.
        grace: for how many seconds requests in flight are waited for when the batch is left early.
    """

    recipients_per_request: int = attrs.field(default=500, validator=_in_range(1, RECIPIENTS_LIMIT))
    lookahead: int = attrs.field(default=5000, validator=_in_range(1, 1_000_000))
    linger: float = attrs.field(default=0.05, validator=_in_range(0.001, 3600))
    unknown_limit: int = attrs.field(default=5, validator=_in_range(1, 1_000_000_000))
    grace: float = attrs.field(default=5.0, validator=_in_range(0, 3600))


def _count(values: list[Any]) -> str:
    return f"<{len(values)}>"


@attrs.define(eq=False)
class Chunk:
    """Messages that go out in one request.

    Attributes:
        template: the first message, checked.
        form: the parameters they share, URL-encoded.
        messages: the messages as they were given.
        numbers: their destinations, digits only.
        keys: their keys in the ledger; empty without one.
    """

    template: Message
    form: str = attrs.field(repr=False)
    messages: list[Message] = attrs.field(factory=list, repr=_count)
    numbers: list[str] = attrs.field(factory=list, repr=_count)
    keys: list[str] = attrs.field(factory=list, repr=_count)
    opened_at: float = 0.0

    def __len__(self) -> int:
        return len(self.messages)

    def request(self) -> Request:
        """The one request for all of them."""
        if len(self.numbers) == 1:
            return single_request_from_form(self.form, self.template, self.numbers[0])
        return bulk_request_from_form(self.form, self.template.text, self.numbers)

    def pick(self, indexes: range | list[int]) -> "Chunk":
        """Some of the messages, to go out in a request of their own."""
        return Chunk(
            self.template,
            self.form,
            [self.messages[index] for index in indexes],
            [self.numbers[index] for index in indexes],
            [self.keys[index] for index in indexes] if self.keys else [],
        )

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """The same messages in two requests."""
        middle = len(self) // 2
        return self.pick(range(middle)), self.pick(range(middle, len(self)))


class Grouper:
    """Gathers messages into chunks, holding back a bounded number of them."""

    def __init__(self, settings: BatchSettings, default_source_address: str | None) -> None:
        self._settings = settings
        self._default_source_address = default_source_address
        self._groups: dict[tuple[object, ...], Chunk] = {}
        self.held = 0

    def add(self, message: Message, key: str | None, now: Callable[[], float]) -> Chunk | None:
        """Take a message in; the chunk that it made full, if any.

        Raises:
            ValidationError: the message cannot be sent.
        """
        if not isinstance(message, Message):
            raise ValidationError(
                "messages", f"<{type(message).__name__}>", "pass smsapi_async.Message objects"
            )
        content = message.content()
        try:
            chunk = self._groups.get(content)
        except TypeError:
            # Something that cannot be hashed stands where a text, a date or a number should.
            chunk = None
        number = checked_destination(message.destination_address)
        if chunk is None:
            template = prepared(message, self._default_source_address)
            chunk = self._groups[content] = Chunk(template, common_form(template), opened_at=now())
        chunk.messages.append(message)
        chunk.numbers.append(number)
        if key is not None:
            chunk.keys.append(key)
        self.held += 1
        if message.by_time_zone or len(chunk.messages) >= self._settings.recipients_per_request:
            return self._take(content)
        return self._take(next(iter(self._groups))) if self.held > self._settings.lookahead else None

    def overdue(self, now: float) -> list[Chunk]:
        """Take the chunks that have been held back for long enough."""
        limit = now - self._settings.linger
        contents = [content for content, chunk in self._groups.items() if chunk.opened_at <= limit]
        return [self._take(content) for content in contents]

    def rest(self) -> list[Chunk]:
        """Take all that is held back."""
        return [self._take(content) for content in list(self._groups)]

    def groups(self) -> list[Chunk]:
        """What is held back, left where it is."""
        return list(self._groups.values())

    def _take(self, content: tuple[object, ...]) -> Chunk:
        chunk = self._groups.pop(content)
        self.held -= len(chunk)
        return chunk
