"""The key of a message in a ledger, and its content in the form in which a ledger keeps it."""

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import CONTENT_FIELDS, Message
from smsapi_async.privacy import mask_number, mask_text

Stored = str | int | None
"""A value of a message's content as a ledger keeps it."""

# Keys derived from these fields stand in ledgers. A field that was added to `Message` later is a part of
# a key only where it differs from its default, so that the keys of older messages stay as they are.
_FIRST_FIELDS = 5


def key_of(message: Message) -> str:
    """The caller's key, or one derived from the message; equal messages have equal derived keys.

    Raises:
        ValidationError: the key, the number, the text or another field is not of its type.
    """
    if message.key is not None:
        return _checked_key(message.key)
    number, text = message.destination_address, message.text
    if not isinstance(number, str):
        raise ValidationError("destination_address", mask_number(number), "pass a `str`")
    if not isinstance(text, str):
        raise ValidationError("text", mask_text(text), "pass a `str`")
    digits = number.removeprefix("+")
    values = message.content()[1:]
    try:
        shared = _spelled_content(values)
    except TypeError:  # a value that cannot be hashed, and so is not of the type of its field
        shared = _spelled_content.__wrapped__(values)
    # The lengths of the parts precede them, so that different messages never have the same spelling.
    spelled = f"{len(digits)}|{digits}|{len(shared)}|{shared}|{text}"
    return "sha256:" + hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()


def stored_content(message: Message) -> tuple[Stored, ...]:
    """`Message.content` as a ledger keeps it: dates in ISO 8601, truth values as 0 or 1.

    Raises:
        ValidationError: a value is not of the type of its field.
    """
    return tuple(
        [_stored(field, value) for field, value in zip(CONTENT_FIELDS, message.content(), strict=True)]
    )


@lru_cache(maxsize=64)  # the messages of a batch share all but number and text
def _spelled_content(values: tuple[object, ...]) -> str:
    parts = []
    for index, (field, value) in enumerate(zip(CONTENT_FIELDS[1:], values, strict=True), start=1):
        if index < _FIRST_FIELDS:
            parts.append(_spelled(field, value))
        elif value != field.default:
            parts.append(f"{field.name}={_spelled(field, value)}")
    return "|".join(parts)


def _spelled(field: "attrs.Attribute[Any]", value: object) -> str:
    stored = _stored(field, value)
    if isinstance(value, str):
        return repr(stored)
    return str(bool(stored)) if isinstance(field.default, bool) else str(stored)


def _stored(field: "attrs.Attribute[Any]", value: object) -> Stored:
    if isinstance(field.default, bool):
        return int(bool(value))
    if isinstance(value, field.type or object):
        if value is None or isinstance(value, str | int):
            return value
        if isinstance(value, datetime):
            return _stored_date(field.name, value)
    kind = value[0] if isinstance(value, tuple) else type(value).__name__
    raise ValidationError(field.name, f"<{kind}>", _HINTS.get(field.name, "pass a `str`"))


_HINTS = {"send_date": "pass a `datetime`", "validity": "pass whole minutes"}


def _stored_date(parameter: str, date: datetime) -> str:
    """A date in UTC, or without a time zone where it is the recipient's local time."""
    if date.tzinfo is None:
        return date.isoformat()
    with suppress(OverflowError):
        return date.astimezone(UTC).isoformat()
    raise ValidationError(parameter, date.isoformat(), "pass a date that exists in UTC, too")


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise ValidationError("key", f"<{type(key).__name__}>", "pass a `str` that is not empty, or None")
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            # The exception would hold the key.
            reason = "pass a key without lone surrogates"
        else:
            return key
        raise ValidationError("key", mask_text(key), reason)
    return key
