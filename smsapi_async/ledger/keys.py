"""The key of a message in a ledger, and the stored form of the content of a message.

A derived key consists of what it is derived from: a digest of the content, and the number. A ledger can
therefore store the content once, and the number as an integer.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import CONTENT_FIELDS, Message
from smsapi_async.privacy import is_encodable, mask_key, mask_text, sealed
from smsapi_async.protocol.addresses import checked_destination_address

Stored = str | int | None
"""The stored form of one field of a message."""

# 16 bytes of the hash are enough: with 10**12 different contents, two equal digests have a probability of
# less than 10**-14.
_DIGEST_BYTES = 16
_PREFIX = "sha256:"
_LONGEST_NUMBER = 15
_DIGEST = slice(len(_PREFIX), len(_PREFIX) + 22)
_NUMBER = slice(len(f"{_PREFIX}{'x' * 22}:"), None)
# In a redacted ledger, a digest of the number stands in place of the number.
_DERIVED = re.compile(rf"{_PREFIX}([A-Za-z0-9_-]{{22}}):([1-9][0-9]{{6,14}}|[A-Za-z0-9_-]{{22}})", re.ASCII)


@sealed
def key_of(message: Message) -> str:
    """Return the key of a message: `Message.key`, or a key derived from content and destination address.

    Equal messages have equal derived keys.

    Raises:
        ValidationError: if a field has a wrong type or the destination address is invalid. Also if
            `Message.key` is empty, contains a lone surrogate, or is the derived key of another message.
    """
    key = message.key
    if key is not None and not is_derived(checked_key(key)):
        return key
    number = checked_destination_address(message.destination_address)
    if not isinstance(message.text, str):
        raise ValidationError("text", mask_text(message.text), "pass a `str`")
    derived = f"{_PREFIX}{content_digest(message)}:{number}"
    if key is not None and key != derived:
        hint = "this is the derived key of another message; pass a key of your own, or None"
        raise ValidationError("key", mask_key(key), hint)
    return derived


def recorded_key_of(message: Message) -> str:
    """Return the key of a message that a ledger returned, or that was sent with a ledger.

    A redacted ledger returns messages without a number, so their derived keys cannot be checked.
    """
    if message.key is not None and is_derived(checked_key(message.key)):
        return message.key
    return key_of(message)


def is_derived(key: str) -> bool:
    """Return whether a key is a derived key, and not a key of the caller."""
    return parts_of(key) is not None


def parts_of(key: str) -> tuple[str, str] | None:
    """Return the digest of the content and the number from a derived key; None for a key of the caller.

    In the keys of a redacted ledger, a digest stands in place of the number.
    """
    match = _DERIVED.fullmatch(key)
    return None if match is None else (match[1], match[2])


def common_digest(keys: Sequence[str]) -> str | None:
    """Return the digest of the content if all keys are derived keys of one content with a number; else None.

    The function is much faster than a look at each key.
    """
    parts = parts_of(keys[0])
    if parts is None:
        return None
    prefix = keys[0][: _NUMBER.start]
    numbers = numbers_in(keys)
    # If the prefix occurs once for each key and only digits follow, each key begins with the prefix. One
    # count takes a quarter of the time of a look at the beginning of each key.
    is_common = "".join(keys).count(prefix) == len(keys) and "".join(numbers).isdigit()
    return parts[0] if is_common and max(map(len, numbers)) <= _LONGEST_NUMBER else None


def are_derived(keys: Sequence[str]) -> bool:
    """Return whether all keys are derived keys with a number, and not with the digest of a number."""
    return all(map(_DERIVED.fullmatch, keys)) and "".join(numbers_in(keys)).isdigit()


def digests_in(keys: Sequence[str]) -> list[str]:
    """Return the digests of the contents from derived keys."""
    return [key[_DIGEST] for key in keys]


def numbers_in(keys: Sequence[str]) -> list[str]:
    """Return the numbers from derived keys."""
    return [key[_NUMBER] for key in keys]


def derived_key(digest: str, number: str) -> str:
    """Return the derived key for the digest of a content and a number, or the digest of a number."""
    return f"{_PREFIX}{digest}:{number}"


def redacted_key(key: str) -> str:
    """Return a key as a redacted ledger stores it: with a digest in place of the number."""
    parts = parts_of(key)
    is_with_number = parts is not None and len(parts[1]) <= _LONGEST_NUMBER
    return derived_key(parts[0], digest(parts[1])) if parts is not None and is_with_number else key


def content_digest(message: Message) -> str:
    """Return a digest of the content of a message.

    Raises:
        ValidationError: if a field has a wrong type.
    """
    text, *others = message.content()
    return digest(f"{_of_others(others)[0]}|{text}")


def digest(text: str) -> str:
    """Return a digest of 22 characters."""
    hashed = sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]
    return urlsafe_b64encode(hashed)[:22].decode()


def stored_content(message: Message) -> tuple[Stored, ...]:
    """Return the stored form of `Message.content`: dates as ISO 8601 text, booleans as 0 or 1.

    Raises:
        ValidationError: if a field has a wrong type.
    """
    text, *others = message.content()
    stored = text if type(text) is str else _stored(CONTENT_FIELDS[0], text)
    return stored, *_of_others(others)[1]


def _of_others(values: list[object]) -> tuple[str, tuple[Stored, ...]]:
    """Return the spelling and the stored form of all fields of a content except the text."""
    try:
        return _of_other_values(*values)
    except TypeError:  # an unhashable value: call the function without the cache to get a ValidationError
        return _of_other_values.__wrapped__(*values)


# The messages of a batch often differ only in number and text. `typed=True` is needed because a `str` and an
# equal member of a `StrEnum`, or True and 1, are different contents.
@lru_cache(maxsize=64, typed=True)
def _of_other_values(*values: object) -> tuple[str, tuple[Stored, ...]]:
    stored = tuple([_stored(field, value) for field, value in zip(CONTENT_FIELDS[1:], values, strict=True)])
    # The quotation marks of `repr` distinguish the text "None" from the value None, and separate a value from
    # the next value and from the text.
    return repr(stored), stored


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


def checked_key(key: object) -> str:
    """Check a key of the caller.

    Raises:
        ValidationError: if the key is not a `str`, is empty, or contains a lone surrogate.
    """
    if not isinstance(key, str) or not key:
        raise ValidationError("key", f"<{type(key).__name__}>", "pass a `str` that is not empty, or None")
    if not is_encodable(key):
        raise ValidationError("key", mask_text(key), "pass a key without lone surrogates")
    return key
