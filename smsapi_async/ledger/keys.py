"""The key of a message in a ledger, and the stored form of the content of a message."""

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import CONTENT_FIELDS, Message
from smsapi_async.privacy import is_encodable, mask_number, mask_text, sealed

Stored = str | int | None
"""The stored form of one field of a message."""

# Existing ledgers contain keys that were derived from the first five content fields. If a later version of
# this package adds a field to `Message`, the new field becomes part of a key only if its value differs from
# the default, so that the keys in existing ledgers stay valid.
_FIRST_FIELDS = 5


@sealed
def key_of(message: Message) -> str:
    """Return the key of a message: `Message.key`, or a key derived from the content.

    Equal messages have equal derived keys. A derived key is a SHA-256 hash with the prefix ``sha256:``.

    Raises:
        ValidationError: if a field has a wrong type, or if `Message.key` is empty or contains a lone
            surrogate.
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
        shared = _spelled_content(*values)
    except TypeError:  # an unhashable value: call the function without the cache to get a ValidationError
        shared = _spelled_content.__wrapped__(*values)
    # `spelled` contains the length of each part except the last part, so that two different messages never
    # have the same value of `spelled`.
    spelled = f"{len(digits)}|{digits}|{len(shared)}|{shared}|{text}"
    return "sha256:" + hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()


@sealed
def stored_content(message: Message) -> tuple[Stored, ...]:
    """Return the stored form of `Message.content`: dates as ISO 8601 text, booleans as 0 or 1.

    Raises:
        ValidationError: if a field has a wrong type.
    """
    return tuple(
        [_stored(field, value) for field, value in zip(CONTENT_FIELDS, message.content(), strict=True)]
    )


# The messages of a batch often differ only in destination address and text. For all other fields, the cache
# returns the result of an earlier call. `typed=True` is needed because a `str` and an equal member of a
# `StrEnum` have a different `repr`, and so different keys.
@lru_cache(maxsize=64, typed=True)
def _spelled_content(*values: object) -> str:
    parts = []
    for index, (field, value) in enumerate(zip(CONTENT_FIELDS[1:], values, strict=True), start=1):
        if index < _FIRST_FIELDS:
            parts.append(_spelled(field, value))
        elif value != field.default:
            parts.append(f"{field.name}={_spelled(field, value)}")
    return "|".join(parts)


def _spelled(field: "attrs.Attribute[Any]", value: object) -> str:
    # The text for a value must never change, because the keys in existing ledgers are hashes of such texts.
    stored = _stored(field, value)
    if isinstance(field.default, bool):
        return str(bool(stored))
    if isinstance(value, str):
        # The quotation marks of `repr` distinguish the text "None" from the value None.
        return repr(stored)
    return str(stored)


def _stored(field: "attrs.Attribute[Any]", value: object) -> Stored:
    if isinstance(field.default, bool):
        return int(bool(value))
    if isinstance(value, field.type or object):
        if value is None or isinstance(value, str | int):
            return value
        if isinstance(value, datetime):
            return _stored_date(field.name, value)
    # If the validity has a wrong type, `Message.content` contains a tuple of the type name and the validity.
    kind = value[0] if isinstance(value, tuple) else type(value).__name__
    raise ValidationError(field.name, f"<{kind}>", _HINTS.get(field.name, "pass a `str`"))


_HINTS = {
    "send_date": "pass a valid `datetime`; for a time zone of pytz, call tz.localize(...)",
    "validity": "pass whole minutes",
}


def _stored_date(parameter: str, date: datetime) -> str:
    """Return a date as ISO 8601 text.

    An aware date is converted to UTC. A naive date means the local time of the recipient and stays naive.
    """
    if date.tzinfo is None:
        return date.isoformat()
    with suppress(OverflowError):
        return date.astimezone(UTC).isoformat()
    raise ValidationError(
        parameter,
        date.isoformat(),
        "pass a date whose UTC value is in the range of `datetime` (years 1 to 9999)",
    )


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise ValidationError("key", f"<{type(key).__name__}>", "pass a `str` that is not empty, or None")
    if not is_encodable(key):
        raise ValidationError("key", mask_text(key), "pass a key without lone surrogates")
    return key
