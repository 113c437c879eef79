"""Values that `repr` does not show, and descriptions of private values."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar

from smsapi_async.privacy.scrubbing import masked, scrub, visible

_Value = TypeVar("_Value")


class Secret:
    """A string that `repr` and `str` do not show.

    Args:
        value: the secret string, for example a password.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret string unmasked."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Hidden(Generic[_Value]):
    """A value that no traceback shows, because `repr` does not show it.

    Args:
        value: the private value, for example a list of phone numbers.
    """

    __slots__ = ("value",)

    def __init__(self, value: _Value) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<hidden>"


class HiddenBytes(bytes):
    """Bytes whose `repr` shows only their number, for example an encoded request."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - the types of `bytes`
        # Programs that show local variables, for example rich and structlog, cut a long value, and then call
        # `repr`.
        part = super().__getitem__(index)
        return HiddenBytes(part) if isinstance(index, slice) else part

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


class HiddenText(str):
    """A text whose `repr` shows only its length, for example the parameter of an SQL statement."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - the types of `str`
        return HiddenText(super().__getitem__(index))

    def __repr__(self) -> str:
        return f"<text of {len(self)} characters>"


def type_name(value: object) -> str:
    """Return the type of a value with its module, such as ``<httpx.Client>``, and not the value.

    The module shows that an object belongs to another library than the wanted object of the same name. The
    types of Python itself have no module in the result, such as ``<int>``.
    """
    kind, prefix = (value, "class ") if isinstance(value, type) else (type(value), "")
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"<{prefix}{module}{kind.__qualname__}>"


def mask_number(number: object) -> str:
    """Return a phone number with all characters masked except the last two.

    A number of up to four characters is masked completely. None is not masked. If the object is not a `str`,
    the function returns the name of its type.
    """
    if number is None:
        return "None"
    if not isinstance(number, str):
        return type_name(number)
    return f"'***{visible(number[-2:])}'" if len(number) > 4 else f"'***' ({len(number)} characters)"


def mask_source_address(source: object) -> str:
    """Return a source address. A source address that is a number is masked, and a name is not masked."""
    if source is None:
        return "None"
    # A name has at most 11 characters (contract, "Addresses"). A longer value with letters is masked, because
    # it is not a valid name.
    if isinstance(source, str) and any(character.isalpha() for character in source) and len(source) <= 11:
        return repr(source)
    return mask_number(source)


def mask_misplaced(value: object) -> str:
    """Return the `repr` of a number, a duration, a date or None, and only the type of any other value.

    A caller may confuse two parameters, so that a text or a phone number stands in place of a number.
    """
    is_plain = value is None or isinstance(value, int | float | Decimal | timedelta | datetime)
    return repr(value) if is_plain else type_name(value)


def mask_word(word: object) -> str:
    """Return the beginning of a word that the caller passed, with long numbers masked."""
    return repr(masked(word[:20], ())) if isinstance(word, str) else type_name(word)


def mask_text(text: object) -> str:
    """Return a description of a text, which contains only the length of the text."""
    if text is None:
        return "None"
    return f"<text of {len(text)} characters>" if isinstance(text, str) else type_name(text)


def mask_key(key: object) -> str:
    """Return a key with long numbers masked, because callers may use phone numbers as keys."""
    if key is None:
        return "None"
    return repr(masked(key, ())) if isinstance(key, str) else type_name(key)


def mask_id(segment_id: object) -> str:
    """Return a segment id masked as a phone number is, because a segment id may contain the phone number."""
    return mask_number(segment_id)


def mask_ids(segment_ids: object) -> str:
    """Return a tuple of segment ids, each of them masked."""
    if not isinstance(segment_ids, tuple | list):
        return type_name(segment_ids)
    return f"({', '.join(map(mask_id, segment_ids))}{',' if len(segment_ids) == 1 else ''})"


def mask_words(words: object) -> str:
    """Return a text of the gateway with long numbers masked."""
    return repr(scrub(words, ())) if isinstance(words, str) else type_name(words)


def is_encodable(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8. A text with a lone surrogate cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
