"""Chooses the JSON form of a type, and defines the forms of unions, attrs classes and errors.

The package cattrs reads JSON data, too. It is not used here, because it converts values without a check (True
becomes "True"), checks no value that it writes, and its errors contain the wrong values.
"""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

import attrs

from smsapi_async import errors
from smsapi_async.errors import SmsApiError, ValidationError
from smsapi_async.json.container_forms import ArrayForm, MappingForm, OrNullForm
from smsapi_async.json.leaf_forms import (
    AmountForm,
    ConstantForm,
    DurationForm,
    Form,
    MemberForm,
    MomentForm,
    PlainForm,
    WrongJson,
    json_type,
)
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted, Rejected, Unknown
from smsapi_async.privacy import type_name

TAG: Final = "type"
"""The name of the field that contains the name of the class of an object."""

ALWAYS_TAGGED: Final = frozenset({Accepted, Rejected, Unknown})
"""The classes whose objects cannot be read without the field `TAG`.

A rejected and an unknown message have the same fields. Only the rejected message may be sent again.
"""

_PACKAGE: Final = __name__.partition(".")[0]
_SUPPORTED: Final = "pass a Message, a result of this package, or a list of them"
_FIELD_NAME = re.compile(r"[A-Za-z_]{1,40}")
_LEAVES: Final[Mapping[object, Form]] = {
    **{kind: PlainForm(kind) for kind in (str, int, float, bool, NoneType)},
    None: PlainForm(NoneType),
    datetime: MomentForm(must_be_aware=False),
    timedelta: DurationForm(),
    Decimal: AmountForm(),
}
_AWARE_MOMENT: Final = MomentForm(must_be_aware=True)


def form_of(kind: object, owner: type | None = None) -> Form:
    """Return the form of a type.

    Args:
        kind: the type.
        owner: the class of this package that has a field of this type; None for the type itself.

    Raises:
        WrongJson: if objects of this type have no JSON form.
        TypeError: if the object is no type and cannot be hashed.
    """
    return _cached_form(kind, owner)


@lru_cache(maxsize=512)
def _cached_form(kind: Hashable, owner: type | None) -> Form:
    if kind is datetime and owner is not None and owner is not Message:
        return _AWARE_MOMENT
    if kind in _LEAVES:
        return _LEAVES[kind]
    return _form_of_parts(kind, owner) if get_args(kind) else _form_of_class(kind, owner)


def _form_of_parts(kind: object, owner: type | None) -> Form:
    """Return the form of a type with arguments, such as ``tuple[str, ...]``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ConstantForm(arguments)
    if origin is Annotated:
        return form_of(arguments[0], owner)
    forms = [form_of(each, owner) for each in arguments if each is not ...]
    if origin in {Union, UnionType}:
        return ChoiceForm(forms)
    if origin in {dict, Mapping}:
        return MappingForm(*forms)
    if origin in {list, Sequence} or (origin is tuple and arguments[1:] == (...,)):
        return ArrayForm(tuple if origin is tuple else list, *forms)
    raise WrongJson(type_name(origin), _SUPPORTED)


def _form_of_class(kind: object, owner: type | None) -> Form:
    if type(kind).__name__ == "TypeAliasType":
        # `typing` and `typing_extensions` have different classes of this name.
        return form_of(getattr(kind, "__value__", None), owner)
    if isinstance(kind, type):
        if issubclass(kind, Enum) and all(isinstance(member.value, str | int) for member in kind):
            return MemberForm(kind)
        if issubclass(kind, SmsApiError):
            return ErrorForm(kind)
        if callable(getattr(kind, "to_json", None)) and callable(getattr(kind, "from_json", None)):
            return TextForm(kind)
        if attrs.has(kind):
            return ModelForm(kind, owner)
    raise WrongJson(type_name(kind), _SUPPORTED)


def written(value: object) -> object:
    """Return a value of any supported type as JSON data.

    Raises:
        WrongJson: if the value, or a part of the value, has no JSON form.
    """
    if isinstance(value, list | tuple):
        return [_written_part(index, each) for index, each in enumerate(value)]
    if isinstance(value, dict) and all(type(key) is str for key in value):
        # The error does not contain the key, which may be a number or a text.
        return {key: _written_part(index, each) for index, (key, each) in enumerate(value.items())}
    kind = public_class(type(value))
    for plain in (Decimal, datetime, timedelta):
        kind = plain if isinstance(value, plain) else kind
    if isinstance(value, str | int | float) and not isinstance(value, Enum):
        kind = next(each for each in (bool, str, int, float) if isinstance(value, each))
    return form_of(kind).write(value)


def _written_part(step: int, value: object) -> object:
    try:
        return written(value)
    except WrongJson as error:
        raise error.under(step) from None


def public_class(kind: type) -> type:
    """Return the class itself, or for a subclass of the caller the class of this package."""
    return next((each for each in kind.__mro__ if is_own(each)), kind)


def is_own(kind: type) -> bool:
    """Return whether a class belongs to this package."""
    return kind.__module__.partition(".")[0] == _PACKAGE


class ChoiceForm(Form):
    """A union of types.

    The field `TAG` of an object decides between several classes. In any other case, the first type that fits
    is used.

    Args:
        forms: the forms of the types.
    """

    def __init__(self, forms: Sequence[Form]) -> None:
        self.forms = forms
        self.hint = ", or ".join(form.hint for form in forms)

    def write(self, value: object) -> object:
        """Return the value as the first form that fits writes it."""
        models = [form for form in self.forms if isinstance(form, ModelForm) and form.has(value)]
        if models:
            return models[0].write(value)
        for form in self.forms:
            try:
                return form.write(value)
            except WrongJson:
                continue
        raise WrongJson(type_name(value), self.hint)

    def read(self, data: object) -> object:
        """Return the value as the first form that fits reads the data."""
        models = [form for form in self.forms if isinstance(form, ModelForm)]
        if isinstance(data, dict) and models:
            return self._chosen(models, data).read(data)
        for form in self.forms:
            try:
                return form.read(data)
            except WrongJson:
                continue
        raise WrongJson(json_type(data), self.hint)

    @staticmethod
    def _chosen(models: "Sequence[ModelForm]", data: dict[str, object]) -> "ModelForm":
        if len(models) == 1:
            return models[0]
        for form in models:
            if form.is_named_by(data.get(TAG)):
                return form
        names = " or ".join(repr(form.kind.__name__) for form in models)
        shown = json_type(data[TAG]) if TAG in data else "a missing field"
        raise WrongJson(shown, f"pass {names}", TAG)


@attrs.frozen
class ModelField:
    """A field of an attrs class.

    Attributes:
        name: the name of the attribute and of the field of the JSON object.
        argument: the name of the parameter of the constructor.
        form: the form of the value.
        default: the default, or `attrs.NOTHING` if there is no default.
    """

    name: str
    argument: str
    form: Form
    default: object


class ModelForm(Form):
    """An object of an attrs class as a JSON object with the same fields.

    Args:
        kind: the attrs class.
        owner: the class of this package that has a field of this type; None for the type itself.

    Attributes:
        fields: the fields of the class.
    """

    def __init__(self, kind: type, owner: type | None) -> None:
        self.kind = kind
        self.hint = f"pass the JSON object of {kind.__name__}"
        # A message that stands alone may be sent. If an unknown field such as a misspelt `send_date` was
        # ignored, the message would be sent at once.
        self._is_strict = issubclass(kind, Message) and owner is None
        hints = get_type_hints(kind, include_extras=True)
        inside = kind if is_own(kind) else None
        self.fields = [
            ModelField(
                field.name,
                field.alias or field.name,
                self._form_of_field(field.name, hints[field.name], inside, owner),
                field.default,
            )
            for field in attrs.fields(cast("Any", kind))
            if field.init
        ]

    @staticmethod
    def _form_of_field(name: str, kind: object, inside: type | None, owner: type | None) -> Form:
        try:
            form = form_of(kind, inside)
        except WrongJson as error:
            raise error.under(name) from None
        return OrNullForm(form) if owner is Rejected and inside is Message else form

    def has(self, value: object) -> bool:
        """Return whether this form can write an object."""
        return isinstance(value, self.kind)

    def is_named_by(self, tag: object) -> bool:
        """Return whether a tag names this class, or a public subclass."""
        try:
            self._class_of({TAG: tag})
        except WrongJson:
            return False
        return True

    def write(self, value: object) -> object:
        """Return a dictionary with the tag and the fields."""
        if not isinstance(value, self.kind):
            raise WrongJson(type_name(value), f"pass a {self.kind.__name__}")
        actual = public_class(type(value))
        if actual is not self.kind and issubclass(actual, self.kind):
            return form_of(actual).write(value)
        data: dict[str, object] = {TAG: actual.__name__} if is_own(actual) else {}
        for field in self.fields:
            try:
                data[field.name] = field.form.write(getattr(value, field.name))
            except WrongJson as error:
                raise error.under(field.name) from None
        return data

    def read(self, data: object) -> object:
        """Return the object. A missing field has its default."""
        if not isinstance(data, dict):
            raise WrongJson(json_type(data), self.hint)
        actual = self._class_of(data)
        if actual is not self.kind:
            return form_of(actual).read(data)
        if self._is_strict:
            self._refuse_unknown_fields(data)
        arguments = {}
        for field in self.fields:
            try:
                if field.name in data:
                    arguments[field.argument] = field.form.read(data[field.name])
            except WrongJson as error:
                raise error.under(field.name) from None
            if field.name not in data and field.default is attrs.NOTHING:
                raise WrongJson("a missing field", field.form.hint, field.name)
        return self._built(arguments)

    def _built(self, arguments: dict[str, object]) -> object:
        try:
            return self.kind(**arguments)
        except ValidationError as error:
            raise WrongJson(error.value, error.hint, error.parameter.rpartition(".")[2]) from None
        except (ValueError, TypeError, LookupError):
            # The class of the caller checks its fields. Its error may contain their values.
            raise WrongJson("an object with a wrong value", self.hint) from None

    def _class_of(self, data: dict[str, object]) -> type:
        """Return the class that the tag of a JSON object names."""
        bases = _bases_of(self.kind)
        if not bases or (TAG not in data and self.kind not in ALWAYS_TAGGED):
            return self.kind
        tag = data.get(TAG)
        if isinstance(tag, str):
            if tag in bases:
                return self.kind
            named = _public_value(tag)
            if isinstance(named, type) and issubclass(named, self.kind):
                return named
        shown = json_type(tag) if TAG in data else "a missing field"
        raise WrongJson(shown, f"pass {self.kind.__name__!r}", TAG)

    def _refuse_unknown_fields(self, data: dict[str, object]) -> None:
        names = [field.name for field in self.fields]
        for name in data:
            if name != TAG and name not in names:
                # Another name may be a phone number or a text.
                shown = name if _FIELD_NAME.fullmatch(str(name)) else "<name>"
                hint = f"remove the field; the fields of a Message are {', '.join(names)}"
                raise WrongJson("an unknown field", hint, shown)


def _bases_of(kind: type) -> set[str]:
    """Return the names of a class and of its base classes, as far as they belong to this package."""
    return {each.__name__ for each in kind.__mro__ if is_own(each)}


def _public_value(name: str) -> object:
    """Return the value of a public name of this package, or None. The package loads its modules on demand."""
    package = import_module(_PACKAGE)
    return getattr(package, name) if name in package.__all__ else None


class TextForm(Form):
    """An object with the methods `to_json` and `from_json`, for example a `Position`.

    Args:
        kind: the class.
    """

    def __init__(self, kind: type) -> None:
        self.kind: Any = kind
        self.hint = f"pass the JSON object of {kind.__name__}"

    def write(self, value: object) -> object:
        """Return the data that the method `to_json` writes."""
        if not isinstance(value, self.kind):
            raise WrongJson(type_name(value), f"pass a {self.kind.__name__}")
        return json.loads(cast("Any", value).to_json())

    def read(self, data: object) -> object:
        """Return the object that the method `from_json` reads."""
        try:
            return self.kind.from_json(json.dumps(data))
        except (ValidationError, TypeError, ValueError, RecursionError):
            # A dictionary of the caller may contain objects that are no JSON data.
            raise WrongJson(json_type(data), self.hint) from None


class ErrorForm(Form):
    """An error of this package as the name of its class and its ``args``.

    Args:
        kind: the class of the errors, or a base class.
    """

    def __init__(self, kind: type[SmsApiError]) -> None:
        self.kind = kind
        self.hint = f"pass the JSON object of {kind.__name__}"

    def write(self, value: object) -> object:
        """Return the name of the nearest public class and the ``args``, which contain no private values."""
        if not isinstance(value, self.kind):
            raise WrongJson(type_name(value), f"pass a {self.kind.__name__}")
        actual = next(kind for kind in type(value).__mro__ if kind.__module__ == errors.__name__)
        return {TAG: actual.__name__, "args": [written(each) for each in value.args]}

    def read(self, data: object) -> object:
        """Return a new error with the same class and ``args``."""
        if not isinstance(data, dict):
            raise WrongJson(json_type(data), self.hint)
        tag, arguments = data.get(TAG), data.get("args")
        kind = getattr(errors, tag, None) if isinstance(tag, str) else None
        if not isinstance(kind, type) or not issubclass(kind, self.kind):
            raise WrongJson(json_type(tag), f"pass the name of a class of {self.kind.__name__}", TAG)
        if not isinstance(arguments, list):
            raise WrongJson(json_type(arguments), "pass an array", "args")
        try:
            error = kind(*arguments)
            str(error)
        except (ValueError, TypeError, LookupError, AttributeError):
            raise WrongJson(
                "an array with wrong items", f"pass the args of {kind.__name__}", "args"
            ) from None
        return error
