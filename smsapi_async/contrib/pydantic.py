"""The messages and results of this package in models of pydantic and in FastAPI, and checked phone numbers.

This module needs the library pydantic, version 2. `PhoneNumber` also needs the library phonenumbers.

The import of this module makes all messages and results of this package known to pydantic. Import the classes
from this module, or import this module before the first model or route that uses them. The classes are the
same as those of `smsapi_async`::

    from smsapi_async.contrib.pydantic import PhoneNumber, Receipt

    class Login(BaseModel):
        phone: Annotated[str, PhoneNumber(region="RU")]

    @app.post("/login")
    async def login(form: Login, sms: Annotated[AsyncSmsClient, Depends(client)]) -> Receipt:
        return await sms.send(form.phone, "Your code is 4711")

The JSON is that of `smsapi_async.to_json`, so **it contains phone numbers, message texts and segment ids
unmasked**. With ``@app.post("/login", response_model_exclude={"message"})``, the response has no message.
FastAPI reads a parameter of such a class from the body only with ``Annotated[Message, Body()]``.

A wrong value gives the error of pydantic, so FastAPI answers with the status 422. The error names the field
and says what to pass. The error does not contain the wrong value: its ``input`` is masked. Two values are
not masked, so do not log them: the attribute ``body`` of FastAPI's `RequestValidationError`, and the
``input`` of an error about another field. If a field of your own model is missing, for example, that
``input`` is the whole object.

A response is UTF-8, which cannot contain a lone surrogate. Only the message of a `Rejected` can have such a
character, and ``?`` is written in its place.
"""

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Final

from smsapi_async.contrib.missing import needs

with needs(__name__, {"pydantic", "pydantic_core"}, "'pydantic>=2.11'", "pydantic"):
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
    from pydantic import ValidationError as PydanticError
    from pydantic_core import (
        CoreSchema,
        InitErrorDetails,
        PydanticCustomError,
        core_schema,
        to_jsonable_python,
    )

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.inbox import PushedMessage
from smsapi_async.json.container_forms import ArrayForm, MappingForm, OrNullForm
from smsapi_async.json.leaf_forms import (
    AmountForm,
    ConstantForm,
    DurationForm,
    Form,
    MemberForm,
    PlainForm,
    WrongJson,
)
from smsapi_async.json.type_forms import ALWAYS_TAGGED, TAG, ChoiceForm, ModelForm, form_of, is_own, written
from smsapi_async.ledger import DeliverySummary, Record, Resolution, Summary, UnknownMessage
from smsapi_async.models import IncomingMessage, Message, Receipt, Segmentation, SegmentState, Statistics
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from smsapi_async.privacy import mask_number, type_name
from smsapi_async.tracking import Delivery

__all__ = [
    "Accepted",
    "Delivery",
    "DeliverySummary",
    "IncomingMessage",
    "Message",
    "Outcome",
    "PhoneNumber",
    "PushedMessage",
    "Receipt",
    "Record",
    "Rejected",
    "Resolution",
    "SegmentState",
    "Segmentation",
    "Statistics",
    "Summary",
    "Unknown",
    "UnknownMessage",
]

MODELS: Final[tuple[type, ...]] = (
    Accepted,
    Delivery,
    DeliverySummary,
    IncomingMessage,
    Message,
    PushedMessage,
    Receipt,
    Record,
    Rejected,
    Resolution,
    SegmentState,
    Segmentation,
    Statistics,
    Summary,
    Unknown,
    UnknownMessage,
)
"""The classes that this module makes known to pydantic."""

_PLAIN_SCHEMAS: Final[Mapping[type, Callable[[], CoreSchema]]] = {
    str: core_schema.str_schema,
    int: core_schema.int_schema,
    float: core_schema.float_schema,
    bool: core_schema.bool_schema,
    NoneType: core_schema.none_schema,
}
_AMOUNT_PATTERN: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@attrs.frozen
class PhoneNumber:
    """A phone number as people write it, which becomes the digits that `AsyncSmsClient.send` accepts.

    Use an object of this class as an annotation: ``Annotated[str, PhoneNumber(region="RU")]``. With
    ``str | None``, None stays None. `smsapi_async.contrib.phonenumbers.normalize_number` reads the number and
    never guesses. A text that is not certainly one phone number gives the error of pydantic, and FastAPI
    answers with the status 422. The error says what is wrong, and shows only the last two characters of the
    text. Write further constraints, such as ``Field(max_length=20)``, before this annotation: the error of a
    later constraint shows the number.

    Attributes:
        region: the country in which a number without a country code is read, as two letters (ISO 3166-1).

    Raises:
        ValidationError: if the region is unknown.
        ModuleNotFoundError: if the library phonenumbers is not installed.
    """

    region: str = "RU"
    _normalize: Callable[[str, str], str] = attrs.field(init=False, repr=False, eq=False)

    @_normalize.default
    def _imported(self) -> Callable[[str, str], str]:
        with needs("PhoneNumber", {"phonenumbers"}, "phonenumbers"):
            from smsapi_async.contrib.phonenumbers import (  # noqa: PLC0415 - only this class needs the library
                checked_region,
                normalize_number,
            )
        checked_region(self.region)
        return normalize_number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Return the schema of the text, followed by the reading of the number."""
        return core_schema.no_info_wrap_validator_function(self._validated, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema of the text, with the format ``phone``."""
        json_schema = handler(schema)
        for part in (json_schema, *json_schema.get("anyOf", ())):
            if part.get("type") == "string":
                part["format"] = "phone"
        return json_schema

    def _validated(self, value: object, inner: Callable[[object], object]) -> object:
        shown = mask_number(value).replace("'", "")
        try:
            text = inner(value)
        except PydanticError as error:
            # The error contains the whole value.
            problems = [(each["type"], each["msg"], each["loc"]) for each in error.errors()]
        else:
            if text is None:
                return None
            try:
                return self._normalize(text, self.region)  # type: ignore[arg-type]
            except ValidationError as error:
                words = f"Input should be a phone number, but {error.hint}"
                problems = [("phone_number", words, ())]
        raise _refusal("PhoneNumber", [(*problem, shown) for problem in problems])


def _refusal(title: str, problems: list[tuple[str, str, tuple[int | str, ...], str]]) -> PydanticError:
    """Return an error of pydantic.

    Args:
        title: the name of the type.
        problems: for each problem its type, its text, its place in the value, and the masked value.
    """
    details: list[InitErrorDetails] = [
        {"type": PydanticCustomError(kind, words), "loc": place, "input": shown}
        for kind, words, place, shown in problems
    ]
    return PydanticError.from_exception_data(title, details)


def _core_schema(cls: type, source: Any, _: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
    """Return the schema with which pydantic reads and writes a class of this package."""
    kind = source if isinstance(source, type) else cls

    def read(data: object) -> object:
        if isinstance(data, kind):
            return data
        try:
            return form_of(kind).read(data)
        except WrongJson as error:
            wrong = error
        if wrong.shown == "a missing field":
            words = f"Field required: {wrong.hint}"
            raise _refusal(kind.__name__, [("missing", words, tuple(wrong.path), wrong.shown)])
        words = f"Input should not be {wrong.shown}: {wrong.hint}"
        raise _refusal(kind.__name__, [("smsapi_json", words, tuple(wrong.path), wrong.shown)])

    # pydantic shows the name of the function in the errors of a union.
    read.__name__ = kind.__name__
    return core_schema.no_info_plain_validator_function(
        read,
        ref=_ref(kind),
        serialization=core_schema.plain_serializer_function_ser_schema(
            _written,
            info_arg=True,
            when_used="json",
        ),
    )


def _json_schema(cls: type, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """Return the JSON schema of a class of this package, with a name in the OpenAPI document."""
    form = form_of(cls)
    return handler(_described(form, is_output=handler.mode == "serialization"))


def _written(value: object, info: SerializationInfo) -> object:
    """Return an object as JSON data, without the fields that the caller excludes."""
    try:
        # For the type checkers, the two libraries have different types for the same values.
        chosen: dict[str, Any] = {"include": info.include, "exclude": info.exclude}
        return to_jsonable_python(_encodable(written(value)), **chosen)
    except WrongJson as error:
        # pydantic puts the text of this error into its own error.
        path = ".".join(map(str, error.path)) or type_name(value)
        wrong = ValidationError(path, error.shown, error.hint)
    raise wrong


def _encodable(data: object) -> object:
    """Return JSON data with ``?`` in place of each lone surrogate, which UTF-8 cannot contain."""
    if isinstance(data, str):
        return data if data.isascii() else data.encode(errors="replace").decode()
    if isinstance(data, list):
        return [_encodable(item) for item in data]
    return {key: _encodable(each) for key, each in data.items()} if isinstance(data, dict) else data


def _described(form: Form, *, is_output: bool) -> CoreSchema:
    """Return a core schema that has the JSON schema of a form.

    Args:
        form: the form of a type.
        is_output: whether the schema describes JSON that is written. Then no field is missing.
    """
    if isinstance(form, ModelForm):
        return _described_model(form, is_output=is_output)
    if isinstance(form, ChoiceForm):
        return core_schema.union_schema([_described(each, is_output=is_output) for each in form.forms])
    if isinstance(form, ArrayForm):
        return core_schema.list_schema(_described(form.item, is_output=is_output))
    if isinstance(form, MappingForm):
        return core_schema.dict_schema(values_schema=_described(form.value, is_output=is_output))
    if isinstance(form, OrNullForm):
        return _described(form.form, is_output=is_output)
    return _described_leaf(form)


def _described_leaf(form: Form) -> CoreSchema:
    if isinstance(form, PlainForm):
        return _PLAIN_SCHEMAS[form.kind]()
    if isinstance(form, AmountForm):
        return core_schema.str_schema(pattern=_AMOUNT_PATTERN)
    if isinstance(form, MemberForm):
        return core_schema.enum_schema(form.kind, list(form.kind))
    if isinstance(form, ConstantForm):
        return core_schema.literal_schema(list(form.constants))
    return core_schema.timedelta_schema() if isinstance(form, DurationForm) else core_schema.datetime_schema()


def _described_model(form: ModelForm, *, is_output: bool) -> CoreSchema:
    fields = {}
    if is_own(form.kind):
        is_required = is_output or form.kind in ALWAYS_TAGGED
        fields[TAG] = core_schema.typed_dict_field(
            core_schema.literal_schema([form.kind.__name__]), required=is_required
        )
    for field in form.fields:
        schema = _described(field.form, is_output=is_output)
        has_default = field.default is not attrs.NOTHING
        if has_default and not is_output and isinstance(field.default, str | int | None):
            schema = core_schema.with_default_schema(schema, default=field.default)
        fields[field.name] = core_schema.typed_dict_field(schema, required=is_output or not has_default)
    summary = (form.kind.__doc__ or "").partition("\n")[0]
    return core_schema.typed_dict_schema(
        fields,
        # pydantic takes the title and the description from this class.
        cls=type(form.kind.__name__, (), {"__doc__": summary}),
        ref=_ref(form.kind),
    )


def _ref(kind: type) -> str:
    """Return the reference of a class. In a JSON schema, its last word becomes the name of the class."""
    return f"{kind.__module__}.{kind.__qualname__}:{id(kind)}"


for _kind in MODELS:
    setattr(_kind, "__get_pydantic_core_schema__", classmethod(_core_schema))  # noqa: B010 - unknown to mypy
    setattr(_kind, "__get_pydantic_json_schema__", classmethod(_json_schema))  # noqa: B010
