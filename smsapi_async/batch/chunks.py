"""Groups messages of equal content into chunks. A chunk is sent in one request. The module does no I/O."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Any

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import Message
from smsapi_async.privacy import mask_misplaced, type_name
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.protocol.encoding import (
    Request,
    bulk_request_from_form,
    common_form,
    prepared,
    single_request_from_form,
)

RECIPIENTS_LIMIT = 2999
"""Maximum number of recipients of a bulk, a limit of another service of the vendor (contract, "Rate")."""


def _in_range(low: float, high: float) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValidationError(
                attribute.name, mask_misplaced(value), f"pass a number from {low:g} to {high:g}"
            )

    return check


@attrs.frozen(kw_only=True)
class BatchSettings:
    """The settings of a batch: how messages are grouped, and when the batch halts.

    Attributes:
        recipients_per_request: maximum number of recipients of one bulk, from 1 to 2,999.
        lookahead: maximum number of messages that the batch holds back in order to find other messages of
            equal content, from 1 to 1,000,000.
        linger: maximum time in seconds for which the batch holds back a message, from 0.001 to 3,600.
        unknown_limit: the batch halts after this number of successive requests with an unknown outcome, from
            1 to 1,000,000,000.
        forbidden_limit: the batch halts after the gateway has forbidden this number of different recipients
            (code 7) in a row, from 1 to 1,000,000,000.
        max_in_flight: maximum number of messages in the requests in flight, from 1 to 1,000,000. A crash
            leaves at most this number of messages with an unknown outcome. A smaller number also limits the
            number of recipients of one bulk. The price is speed: if the gateway responds after 0.3 seconds,
            a batch with one text sends about 3,200 messages per second with 1,000 in flight, and 15,600 with
            5,000. Different texts are not affected, because each request has one message.
        grace: maximum time in seconds to wait for requests in flight when the caller leaves the ``async
            with`` block early, from 0 to 3,600.

    Raises:
        ValidationError: if a setting is not a number, or is out of range.
    """

    recipients_per_request: int = attrs.field(default=500, validator=_in_range(1, RECIPIENTS_LIMIT))
    lookahead: int = attrs.field(default=5000, validator=_in_range(1, 1_000_000))
    linger: float = attrs.field(default=0.05, validator=_in_range(0.001, 3600))
    unknown_limit: int = attrs.field(default=5, validator=_in_range(1, 1_000_000_000))
    forbidden_limit: int = attrs.field(default=5, validator=_in_range(1, 1_000_000_000))
    max_in_flight: int = attrs.field(default=1000, validator=_in_range(1, 1_000_000))
    grace: float = attrs.field(default=5.0, validator=_in_range(0, 3600))

    @property
    def largest_request(self) -> int:
        """The largest number of recipients of one bulk."""
        return min(self.recipients_per_request, self.max_in_flight)


def _count(values: list[Any]) -> str:
    return f"<{len(values)}>"


@attrs.define(eq=False)
class Chunk:
    """Messages of equal content that are sent in one request.

    Attributes:
        template: the first message of the chunk, as `prepared` returned it.
        form: the URL-encoded parameters that all messages of the chunk share.
        messages: the messages of the chunk, as the caller passed them.
        numbers: the digits of the destination address of each message.
        keys: the ledger key of each message; an empty list if there is no ledger.
        places: for each message, how many messages the batch has read before; an empty list if there is no
            ledger.
        key_prefix: the part of the derived keys before the number; None if it is not known.
        opened_at: the time in seconds at which the first message was added to the chunk, on the clock of
            AnyIO.
        token: the token of the claim if the ledger has claimed the messages already, or None.
    """

    template: Message
    form: str = attrs.field(repr=False)
    messages: list[Message] = attrs.field(factory=list, repr=_count)
    numbers: list[str] = attrs.field(factory=list, repr=_count)
    keys: list[str] = attrs.field(factory=list, repr=_count)
    places: list[int] = attrs.field(factory=list, repr=_count)
    key_prefix: str | None = attrs.field(default=None, repr=False)
    opened_at: float = 0.0
    token: str | None = attrs.field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def is_local_bulk(self) -> bool:
        """Whether the request is a bulk at the recipients' local time."""
        return self.template.by_time_zone and len(self) > 1

    @property
    def outcome_keys(self) -> Sequence[str | None]:
        """The key of the outcome of each message. Without a ledger, each key is None."""
        return self.keys or [None] * len(self)

    def request(self) -> Request:
        """Build the request for all messages of the chunk."""
        if len(self.numbers) == 1:
            return single_request_from_form(self.form, self.template, self.numbers[0])
        return bulk_request_from_form(self.form, self.template, self.numbers)

    def pick(self, indexes: range | list[int]) -> "Chunk":
        """Return a new chunk with some of the messages of this chunk.

        Args:
            indexes: the positions of the messages to copy, counted from 0.
        """
        return Chunk(
            self.template,
            self.form,
            [self.messages[index] for index in indexes],
            [self.numbers[index] for index in indexes],
            [self.keys[index] for index in indexes] if self.keys else [],
            [self.places[index] for index in indexes] if self.places else [],
        )

    def singles(self) -> list["Chunk"]:
        """Divide the chunk into chunks of one message, in the order of the messages."""
        return [self.pick([index]) for index in range(len(self))]

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """Divide the chunk into two chunks. The chunk must contain at least two messages."""
        middle = len(self) // 2
        return self.pick(range(middle)), self.pick(range(middle, len(self)))


@attrs.define(eq=False)
class LocalBulks:
    """Whether a batch sends messages with ``by_time_zone`` in bulks. Otherwise, each of them is alone.

    Attributes:
        are_used: whether such bulks are sent. The value becomes False if the gateway does not have their
            resource.
        are_possible: whether it is proved that the gateway has their resource.
    """

    are_used: bool
    are_possible: bool = False


Found = tuple[tuple[object, ...], str, Chunk | None]
"""The content of a message, the digits of its number, and the chunk of messages with equal content."""


class Grouper:
    """Collects messages of equal content in chunks, until a chunk is full or has waited too long.

    Args:
        settings: the settings of the batch, which limit the size of a chunk, the number of held messages, and
            the time for which a message is held.
        default_source_address: the source address for messages without a source address.
        zone: the time zone of the gateway.
        local_bulks: whether messages with ``by_time_zone`` are collected.

    Attributes:
        held: the number of messages in all chunks that the grouper still holds.
    """

    def __init__(
        self,
        settings: BatchSettings,
        default_source_address: str | None,
        zone: tzinfo,
        local_bulks: LocalBulks,
    ) -> None:
        self._settings = settings
        self._default_source_address = default_source_address
        self._zone = zone
        self._local_bulks = local_bulks
        # The oldest chunk comes first. Unlike a `dict`, an `OrderedDict` finds its first item in constant
        # time, also after thousands of first items were removed.
        self._groups: OrderedDict[tuple[object, ...], Chunk] = OrderedDict()
        self.held = 0

    def look_up(self, message: Message) -> Found:
        """Check a message, and find the chunk of messages with equal content.

        Raises:
            ValidationError: if the number is invalid, or the object is no message.
        """
        if not isinstance(message, Message):
            raise ValidationError("messages", type_name(message), "pass smsapi_async.Message objects")
        content = message.content()
        number = checked_destination_address(message.destination_address)
        try:
            return content, number, self._groups.get(content)
        except TypeError:
            # A field has a value of a wrong type that has no hash, for example a list. `prepared` or
            # `common_form` raises the ValidationError for this field.
            return content, number, None

    def add(
        self,
        message: Message,
        found: Found,
        now: Callable[[], float],
        key: str | None = None,
        place: int = 0,
    ) -> Chunk | None:
        """Add a message to the chunk of messages with equal content.

        Args:
            message: the message to add.
            found: the result of `look_up` for the message.
            now: a function that returns the current time in seconds.
            key: the ledger key of the message; None if there is no ledger.
            place: how many messages the batch has read before; it has a meaning only with a ledger.

        Returns:
            A chunk that the caller must send now, or None. The grouper returns the chunk of the message if
            that chunk is full. If the grouper holds more messages than ``lookahead``, it returns the oldest
            chunk.

        Raises:
            ValidationError: if the message is invalid. An invalid message is not added.
        """
        content, number, chunk = found
        if chunk is None:
            template = prepared(message, self._default_source_address)
            chunk = self._groups[content] = Chunk(
                template, common_form(template, self._zone), opened_at=now()
            )
            if key is not None and message.key is None and key.endswith(number):
                chunk.key_prefix = key[: -len(number)]
        chunk.messages.append(message)
        chunk.numbers.append(number)
        if key is not None:
            chunk.keys.append(key)
            chunk.places.append(place)
        self.held += 1
        # Only a gateway with a resource of later documents accepts a bulk with `by_time_zone` (contract,
        # "Sms/SendByTimeZoneToAddresses").
        is_alone = message.by_time_zone and not self._local_bulks.are_used
        if is_alone or len(chunk.messages) >= self._settings.largest_request:
            return self._take(content)
        return self.take_oldest() if self.held > self._settings.lookahead else None

    def take_overdue(self, now: float) -> Chunk | None:
        """Remove and return the oldest chunk if the grouper has held it for ``linger`` seconds or more.

        Args:
            now: the current time in seconds.
        """
        oldest = next(iter(self._groups.values()), None)
        is_overdue = oldest is not None and oldest.opened_at <= now - self._settings.linger
        return self.take_oldest() if is_overdue else None

    def take_oldest(self) -> Chunk | None:
        """Remove and return the oldest chunk; None if the grouper holds no chunk."""
        return self._take(next(iter(self._groups))) if self._groups else None

    def groups(self) -> list[Chunk]:
        """Return all chunks, without removing the chunks from the grouper."""
        return list(self._groups.values())

    def _take(self, content: tuple[object, ...]) -> Chunk:
        chunk = self._groups.pop(content)
        self.held -= len(chunk)
        return chunk
