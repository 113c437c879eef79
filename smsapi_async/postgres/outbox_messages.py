"""Conversion of messages to the parameter of the function ``smsapi.enqueue``, and of its result to errors."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.ledger.keys import content_digest, key_of
from smsapi_async.ledger.postgres.stored_messages import stored_content_of
from smsapi_async.models import Message
from smsapi_async.postgres.address import checked_account
from smsapi_async.privacy import HiddenText, mask_key, mask_misplaced, mask_word, type_name
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.protocol.dates import GATEWAY_TIME_ZONE, aware
from smsapi_async.protocol.encoding import check_message

# The default of `BatchSettings.recipients_per_request`.
_MOST_RECIPIENTS: Final = 500
# An index entry of PostgreSQL has at most 2,704 bytes.
_LONGEST_KEY: Final = 2600
_LOWEST_PRIORITY, _HIGHEST_PRIORITY = -(2**15), 2**15 - 1
_encode = json.JSONEncoder(separators=(",", ":")).encode


@attrs.define(eq=False)
class _NewRequest:
    """A request that the call inserts.

    Attributes:
        index: the index of the request in the call.
        digest: the digest of the content.
        size: the number of messages in the request.
    """

    index: int
    digest: str
    size: int = 0


@attrs.frozen(eq=False)
class _NewMessage:
    """A message that the call inserts.

    Attributes:
        key: the key of the message.
        number: the digits of the destination address.
        digest: the digest of the content.
        request: the index of the request.
        index: the index of the message in the iterable of the caller; None if the caller passed one message.
    """

    key: str = attrs.field(repr=mask_key)
    number: str = attrs.field(repr=False)
    digest: str = attrs.field(repr=False)
    request: int
    index: int | None


class EnqueueCall:
    """One call of the function ``smsapi.enqueue``. Messages of equal content share a request.

    Args:
        account: the name of the account.
        not_before: the time from which a worker may send the messages; None means now.
        priority: the priority of the messages.

    Raises:
        ValidationError: if a parameter is wrong.
    """

    def __init__(self, account: str, not_before: datetime | None, priority: int) -> None:
        self._account = checked_account(account)
        self._not_before = None if not_before is None else aware("not_before", not_before).isoformat()
        self._priority = _checked_priority(priority)
        self._messages: dict[str, _NewMessage] = {}
        self._contents: list[tuple[str, str]] = []
        # For each content, the request that takes the next message with this content.
        self._requests: dict[tuple[object, ...], _NewRequest] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message, index: int | None = None) -> None:
        """Check a message and add it to the call. A repetition of a message is left out.

        Args:
            message: the message.
            index: the index of the message in the iterable of the caller; None if the caller passed one
                message.

        Raises:
            ValidationError: if the message is invalid, or an earlier message of the call has the same key.
        """
        try:
            self._add(message, index)
        except ValidationError as error:
            refused = _at(index, error)
        else:
            return
        raise refused

    def parameter(self) -> HiddenText:
        """Return the parameter of the function ``smsapi.enqueue``."""
        if len(self._messages) == 1:
            (message,) = self._messages.values()
            ((digest, content),) = self._contents
            values = (self._account, message.key, message.number, digest, content)
            return HiddenText(_encode((*values, self._priority, self._not_before)))
        messages = [
            (each.key, each.number, each.digest, each.request, index)
            for index, each in enumerate(self._messages.values())
        ]
        # Callers with equal keys in opposite orders would wait for each other. PostgreSQL also compares keys
        # by code points.
        return HiddenText(
            _encode(
                {
                    "account": self._account,
                    "not_before": self._not_before,
                    "priority": self._priority,
                    "requests": self._contents,
                    "messages": sorted(messages),
                }
            )
        )

    def check(self, answer: str | None) -> None:
        """Check the result of the function ``smsapi.enqueue``.

        Raises:
            ValidationError: if the function refused the messages. No message of the call was inserted.
        """
        if answer is None:
            return
        refusal: dict[str, Any] = json.loads(answer)
        if refusal["refused"] == "account":
            hint = (
                "this account stores digests in place of numbers and texts (redact=True), so no worker could"
                " send the message; pass an account without `redact`"
            )
            raise ValidationError("account", mask_word(self._account), hint)
        message = list(self._messages.values())[refusal["index"]]
        raise _at(message.index, _key_is_taken(message.key))

    def _add(self, message: Message, index: int | None) -> None:
        if not isinstance(message, Message):
            raise ValidationError("messages", type_name(message), "pass smsapi_async.Message objects")
        number = checked_destination_address(message.destination_address)
        content = message.content()
        try:
            request = self._requests.get(content)
        except TypeError:
            # A field has a value of a wrong type. `check_message` raises the ValidationError for this field.
            request = None
        if request is None:
            # The gateway of the worker may have another time zone, and its client has the source address.
            check_message(message, GATEWAY_TIME_ZONE)
        key = _checked_key(key_of(message))
        digest = content_digest(message) if request is None else request.digest
        known = self._messages.get(key)
        if known is not None:
            if (known.number, known.digest) != (number, digest):
                raise _key_is_taken(key)
            return
        # Only a gateway with a resource of later documents accepts a bulk with `by_time_zone`.
        if request is None or message.by_time_zone or request.size == _MOST_RECIPIENTS:
            request = self._requests[content] = _NewRequest(len(self._contents), digest)
            self._contents.append((digest, stored_content_of(message, redacted=False)))
        request.size += 1
        self._messages[key] = _NewMessage(key, number, digest, request.index, index)


def each_of(messages: object) -> Iterator[tuple[Message, int | None]]:
    """Return an iterator over the messages of a caller with their indexes.

    Raises:
        ValidationError: if the object is neither a message nor an iterable.
    """
    if isinstance(messages, Message):
        return iter([(messages, None)])
    if isinstance(messages, Iterable) and not isinstance(messages, str | bytes):
        return ((each, index) for index, each in enumerate(messages))
    raise ValidationError("messages", type_name(messages), "pass a Message, or an iterable of messages")


def _checked_priority(priority: object) -> int:
    is_in_range = isinstance(priority, int) and _LOWEST_PRIORITY <= priority <= _HIGHEST_PRIORITY
    if not is_in_range or not isinstance(priority, int) or isinstance(priority, bool):
        hint = f"pass an int from {_LOWEST_PRIORITY} to {_HIGHEST_PRIORITY}"
        raise ValidationError("priority", mask_misplaced(priority), hint)
    return int(priority)


def _checked_key(key: str) -> str:
    if "\0" in key:
        raise ValidationError("key", mask_key(key), "pass a key without the character NUL")
    if len(key.encode()) > _LONGEST_KEY:
        raise ValidationError("key", f"a key of {len(key)} characters", f"pass at most {_LONGEST_KEY} bytes")
    return key


def _key_is_taken(key: str) -> ValidationError:
    hint = "another message already has this key; pass a different key for each message"
    return ValidationError("key", mask_key(key), hint)


def _at(index: int | None, error: ValidationError) -> ValidationError:
    """Return an error with the index of the message."""
    if index is None:
        return error
    return ValidationError(error.parameter, f"{error.value} (messages[{index}])", error.hint)
