"""Messages, results and errors as JSON text, for queues, caches, databases and web backends.

`to_json` writes, and `from_json` reads an equal object:

- An object of this package has the same fields as its class. The field ``type`` has the name of the class.
- A `Decimal` is a string with all its digits. An enum is its value. A `State` is its number.
- A date is a string with its microseconds and its UTC offset, without the name of the time zone. A naive date
  has no UTC offset.
- A duration is a string, such as "PT10M" for ten minutes.
- An error is an object with ``type`` and ``args``. See `smsapi_async.errors` for what ``args`` contains.

**The JSON text contains phone numbers, message texts and segment ids unmasked**, because a program needs
them. Treat it as personal data: write it to no log.

An earlier or later version of this package can read the JSON text, too. A missing field has its default, and
an unknown field is ignored. There is one exception: for a `Message` that is not part of a result, an unknown
field is an error. A misspelt ``send_date`` would otherwise send the message at once.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar, cast

from typing_extensions import TypeForm

from smsapi_async.errors import ValidationError
from smsapi_async.json.leaf_forms import Form, WrongJson
from smsapi_async.json.type_forms import form_of, written
from smsapi_async.privacy import is_encodable, sealed, type_name

__all__ = ["from_json", "to_json"]

_Value = TypeVar("_Value")


@sealed
def to_json(value: object) -> str:
    """Return a message, a result, an error, or a list of them as one line of JSON text.

    The text contains phone numbers, message texts and segment ids unmasked. Use `from_json` to read it.

    A subclass of yours is written as the class of this package, without the fields that the subclass adds. In
    the message of a `Rejected`, a value of a wrong type is written as null.

    Args:
        value: the object. Lists, tuples, dictionaries with texts as keys, dates, amounts, enums, and attrs
            classes of yours with fields of these types can also be written.

    Raises:
        ValidationError: if the value, or a field of the value, has a wrong type. The error names the field,
            and not its value.
    """
    try:
        data = written(value)
    except WrongJson as error:
        wrong = error
    except RecursionError:
        wrong = WrongJson(type_name(value), "pass lists and dictionaries that do not contain themselves")
    else:
        text = json.dumps(data, ensure_ascii=False)
        # The gateway accepts no text with a lone surrogate, so such a text is only in a rejected message.
        return text if is_encodable(text) else json.dumps(data)
    # Outside of the `except` block, the error has no context, which could contain private values.
    raise _validation_error(wrong, "value")


@sealed
def from_json(
    text: str | bytes | bytearray | Mapping[str, object] | Sequence[object], kind: TypeForm[_Value]
) -> _Value:
    """Return the object that `to_json` wrote, also with another version of this package.

    The values of a message are checked when the message is sent, and not here.

    Args:
        text: the JSON text. You can also pass the object or array that a JSON library read from it, for
            example from a database column for JSON.
        kind: the class, such as ``Receipt``, or a union or list of classes, such as ``Outcome`` and
            ``list[Receipt]``. For an error, pass ``SmsApiError`` or a subclass.

    Raises:
        ValidationError: if the text is not the JSON text of such an object. The error names the field, and
            not its value. The parameter of the error is ``text`` if the text is not JSON, and ``kind`` if the
            kind is not supported.
    """
    form = _form(kind)
    data = _parsed(text)
    try:
        return cast("_Value", form.read(data))
    except WrongJson as error:
        wrong = error
    raise _validation_error(wrong, "text")


def _form(kind: object) -> Form:
    try:
        return form_of(kind)
    except TypeError:
        shown, hint = type_name(kind), "pass a class, or a union or list of classes"
    except WrongJson as error:
        shown, hint = error.shown, error.hint
    raise ValidationError("kind", shown, hint)


def _parsed(text: object) -> object:
    """Return the data of a JSON text. A Python dictionary or list is returned as it is."""
    if isinstance(text, dict | list):
        return text
    if isinstance(text, Mapping):
        return dict(text)
    shown, hint = type_name(text), "pass the JSON text that to_json returned"
    if isinstance(text, str | bytes | bytearray):
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            # The error of the library contains the whole text.
            shown = f"<{len(text)} {'characters' if isinstance(text, str) else 'bytes'}> that are not JSON"
    elif isinstance(text, Sequence):
        return list(text)
    raise ValidationError("text", shown, hint)


def _refuse_constant(_: str) -> NoReturn:
    """Refuse NaN and the infinities, which are not JSON."""
    raise ValueError


def _validation_error(error: WrongJson, parameter: str) -> ValidationError:
    """Return the error for a caller, whose parameter is the path to the wrong value."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)
    return ValidationError(path.removeprefix(".") or parameter, error.shown, error.hint)
