"""The name of a message in a ledger."""

import hashlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from smsapi_async.errors import ValidationError
from smsapi_async.models import Message
from smsapi_async.privacy import mask_number, mask_text

_MINUTE = timedelta(minutes=1)


def key_of(message: Message) -> str:
    """The caller's key, or one derived from the content; equal content has equal keys.

    Raises:
        ValidationError: the message cannot be named: its key, number or text is not a proper string.
    """
    if message.key is not None:
        return _checked_key(message.key)
    number, text = message.destination_address, message.text
    if not isinstance(number, str):
        raise ValidationError("destination_address", mask_number(number), "pass a `str`")
    if not isinstance(text, str):
        raise ValidationError("text", mask_text(text), "pass a `str`")
    digits = number.removeprefix("+")
    source = message.source_address
    shared = (
        f"{source!r}|{stored_date(message.send_date)}|{stored_validity(message.validity)}"
        f"|{bool(message.by_time_zone)}"
    )
    # Lengths go before the parts, so that no two different messages are written alike.
    content = f"{len(digits)}|{digits}|{len(shared)}|{shared}|{text}"
    return "sha256:" + hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise ValidationError("key", f"<{type(key).__name__}>", "pass a `str` that is not empty, or None")
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            # The exception holds the key itself.
            reason = "pass a key without lone surrogates"
        else:
            return key
        raise ValidationError("key", mask_text(key), reason)
    return key


def stored_date(date: datetime | None) -> str | None:
    """A date as it is kept: ISO 8601, in UTC, or without a zone for the recipient's wall clock.

    Raises:
        ValidationError: it is not a `datetime`, or in UTC it is outside the years 1 to 9999.
    """
    if date is None:
        return None
    if not isinstance(date, datetime):
        raise ValidationError("send_date", f"<{type(date).__name__}>", "pass a `datetime`")
    if date.tzinfo is None:
        return date.isoformat()
    with suppress(OverflowError):
        return date.astimezone(UTC).isoformat()
    raise ValidationError("send_date", date.isoformat(), "pass a date that exists in UTC, too")


def stored_validity(validity: int | timedelta | None) -> int | None:
    """A validity as it is kept: whole minutes.

    Raises:
        ValidationError: it is not a number of whole minutes.
    """
    if isinstance(validity, timedelta):
        minutes, rest = divmod(validity, _MINUTE)
        if not rest:
            return minutes
    elif validity is None or isinstance(validity, int):
        return validity
    raise ValidationError("validity", f"<{type(validity).__name__}>", "pass whole minutes")
