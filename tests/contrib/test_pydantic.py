"""Messages, results and phone numbers in models of pydantic and in FastAPI."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import attrs
import httpx
import pytest
from hypothesis import given

if not os.environ.get("CI"):
    pytest.importorskip("fastapi")
    pytest.importorskip("phonenumbers")

from fastapi import Body, Depends, FastAPI, Request
from pydantic import BaseModel, Field, TypeAdapter
from pydantic import ValidationError as PydanticError

import smsapi_async
import smsapi_async.contrib.pydantic as contrib
from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    Outcome,
    Phase,
    Rejected,
    ValidationError,
    from_json,
    to_json,
)
from smsapi_async.contrib.pydantic import MODELS, Delivery, Message, PhoneNumber, Receipt, SegmentState
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.contrib.future_models import FutureOrder, router
from tests.contrib.test_starlette import served
from tests.models_json.values import ACCEPTED, ANY_MODEL, EXAMPLES, LOCAL, MESSAGE, RECEIPT

NUMBER = "79031234567"
WITHOUT_SCHEMA = {"InFlight", "RequestAnswer"}
SHOWN = {name: value for name, value in EXAMPLES.items() if name not in WITHOUT_SCHEMA}


class Order(BaseModel):
    """An order of a web shop."""

    phone: Annotated[str, PhoneNumber(region="RU")]
    other: Annotated[str | None, PhoneNumber("DE")] = None
    receipt: Receipt | None = None
    outcome: Outcome | None = None
    deliveries: list[Delivery] = []
    phase: Phase = Phase.ENROUTE


def _of_app(request: Request) -> AsyncSmsClient:
    sms: AsyncSmsClient = request.app.state.sms
    return sms


Sms = Annotated[AsyncSmsClient, Depends(_of_app)]


def _app(sandbox: Sandbox) -> FastAPI:
    """Return an application whose client uses the sandbox."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client_for(sandbox) as app.state.sms:
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)

    @app.post("/login")
    async def login(order: Order, sms: Sms) -> Receipt:
        return await sms.send(order.phone, "Your code is 4711")

    @app.post("/quiet", response_model_exclude={"message"})
    async def quiet(phone: Annotated[str, PhoneNumber(region="RU")], sms: Sms) -> Receipt:
        return await sms.send(phone, "Your code is 4711")

    @app.post("/messages")
    async def send_messages(messages: list[Message], sms: Sms) -> list[Outcome]:
        async with sms.send_many(messages) as outcomes:
            return [outcome async for outcome in outcomes]

    @app.post("/message")
    async def send_message(message: Annotated[Message, Body()], sms: Sms) -> Outcome:
        async with sms.send_many([message]) as outcomes:
            return await anext(outcomes)

    @app.post("/orders")
    async def orders(order: Order) -> Order:
        return order

    @app.get("/state/{segment_id}")
    async def state(segment_id: str, sms: Sms) -> SegmentState:
        return await sms.state(segment_id)

    return app


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def web(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """Yield a client of the application, which uvicorn serves."""
    with served(_app(sandbox)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.mark.parametrize("phone", ["8 (903) 123-45-67", "+7 903 123-45-67", "9031234567", NUMBER])
def test_a_login_form(phone: str, web: httpx.Client, sandbox: Sandbox) -> None:
    """A visitor writes the number as usual, gets the message, and the response is the whole receipt."""
    before = len(sandbox.account.messages)
    response = web.post("/login", json={"phone": phone})
    assert response.status_code == 200
    receipt = from_json(response.content, Receipt)
    assert receipt.message.destination_address == NUMBER
    (sent,) = sandbox.account.messages[before:]
    assert sent.destination_address == NUMBER


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ({"phone": "8 (903) 123-45"}, ["phone"], "9 digits"),
        ({"phone": "8 903 123-45-67 доб. 5"}, ["phone"], "extension"),
        ({"phone": ""}, ["phone"], "empty"),
        ({"phone": int(NUMBER)}, ["phone"], "valid string"),
        ({"phone": [NUMBER]}, ["phone"], "valid string"),
        ({"phone": None}, ["phone"], "valid string"),
        ({}, ["phone"], "Field required"),
        ({"phone": NUMBER, "other": "8 903 123-45"}, ["other"], "phone number"),
        (
            {"phone": NUMBER, "receipt": {"message": {}}},
            ["receipt", "message", "destination_address"],
            "required",
        ),
        ({"phone": NUMBER, "deliveries": [{"type": "Receipt"}]}, ["deliveries", 0, "type"], "'Delivery'"),
        ({"phone": NUMBER, "receipt": NUMBER}, ["receipt"], "JSON object of Receipt"),
    ],
    ids=str,
)
def test_a_wrong_body_gives_422(
    body: Any, place: list[Any], words: str, web: httpx.Client, sandbox: Sandbox
) -> None:
    """A wrong number or object gives 422 with the place and the reason; nothing is sent."""
    before = len(sandbox.account.messages)
    response = web.post("/login", json=body)
    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert problem["loc"] == ["body", *place]
    assert words in problem["msg"]
    # A response may be logged. It does not repeat the number. A missing field is reported by FastAPI itself.
    shown = json.dumps(problem).replace("such as +79031234567", "")
    assert "903123" not in shown.replace(" ", "").replace("-", "")
    assert len(sandbox.account.messages) == before


def test_a_response_without_the_message(web: httpx.Client, sandbox: Sandbox) -> None:
    """A route can leave out the message, so that the response contains no number and no text."""
    response = web.post("/quiet", params={"phone": "+79031234567"})
    assert response.status_code == 200
    assert {*response.json()} == {"type", "segment_ids", "accepted_at"}
    assert web.post("/quiet", params={"phone": "903"}).status_code == 422


def test_messages_and_outcomes(web: httpx.Client) -> None:
    """A program posts messages and gets their outcomes, each with the name of its class."""
    messages = [
        {"destination_address": NUMBER, "text": "x", "validity": "PT10M"},
        {"destination_address": "1", "text": "x"},
    ]
    response = web.post("/messages", json=messages)
    outcomes = from_json(response.content, list[Outcome])
    assert {type(outcome) for outcome in outcomes} == {Accepted, Rejected}
    assert [each["type"] for each in response.json()] == [type(outcome).__name__ for outcome in outcomes]
    response = web.post("/message", json=json.loads(to_json(attrs.evolve(LOCAL, text="x", send_date=None))))
    assert isinstance(from_json(response.content, Outcome), Rejected)
    response = web.post("/messages", json=[{**messages[0], "sendDate": "2030-01-01T00:00:00Z"}])
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["body", 0, "sendDate"])


def test_a_rejected_message_with_a_lone_surrogate(web: httpx.Client) -> None:
    """A response contains all outcomes of a batch, also if UTF-8 cannot contain the text of a message."""
    body = json.dumps([{"destination_address": NUMBER, "text": text} for text in ("Код", "Код \ud800")])
    response = web.post("/messages", content=body, headers={"Content-Type": "application/json"})
    outcomes = from_json(response.content, list[Outcome])
    found = {type(outcome): outcome.message.text for outcome in outcomes}
    assert found == {Accepted: "Код", Rejected: "Код ?"}


def test_a_state(web: httpx.Client) -> None:
    """A route returns the state of a segment with the number of the state."""
    receipt = from_json(web.post("/login", json={"phone": NUMBER}).content, Receipt)
    response = web.get(f"/state/{receipt.segment_ids[0]}")
    assert isinstance(from_json(response.content, SegmentState).state, int)


def test_fields_of_a_body(web: httpx.Client) -> None:
    """Receipts, outcomes and deliveries in a body arrive as objects, and go back unchanged."""
    order = Order(
        phone=NUMBER, receipt=RECEIPT, outcome=EXAMPLES["Unknown"], deliveries=[EXAMPLES["Delivery"]]
    )
    response = web.post("/orders", json=order.model_dump(mode="json"))
    assert response.status_code == 200, response.text
    assert Order.model_validate_json(response.content) == order


def test_text_annotations(web: httpx.Client) -> None:
    """The same works in a module with ``from __future__ import annotations``."""
    body = {"phone": "8 903 123-45-67", "outcomes": [json.loads(to_json(ACCEPTED))]}
    assert from_json(web.post("/future", json=body).content, Receipt) == RECEIPT
    assert FutureOrder.model_validate(body).outcomes == [ACCEPTED]
    assert web.post("/future", json={"phone": "903"}).status_code == 422


def test_the_openapi_document(web: httpx.Client) -> None:
    """The OpenAPI document describes each field, so that a generator can write a typed client."""
    document = web.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    content = document["paths"]["/login"]["post"]["responses"]["200"]["content"]
    receipt = schemas[content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    assert (
        {*receipt["properties"]}
        == {"type", "message", "segment_ids", "accepted_at"}
        == {*receipt["required"]}
    )
    assert receipt["properties"]["accepted_at"]["format"] == "date-time"
    assert receipt["description"] == "The gateway accepted a message and bills each of its segments."
    message = schemas[receipt["properties"]["message"]["$ref"].rpartition("/")[2]]
    assert {*message["properties"]} == {"type", *(field.name for field in attrs.fields(Message))}
    assert schemas["Message-Input"]["required"] == ["destination_address", "text"]
    assert schemas["Order-Input"]["properties"]["phone"]["format"] == "phone"
    outcome = schemas["Order-Input"]["properties"]["outcome"]["anyOf"]
    assert [part["$ref"].rpartition("/")[2] for part in outcome[:3]] == [
        "Accepted-Input",
        "Rejected-Input",
        "Unknown-Input",
    ]
    assert "type" in schemas["Unknown-Input"]["required"]


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: str(kind.__name__))
def test_each_model_has_a_schema(kind: type) -> None:
    """Each class can be imported from this module, and its JSON schema has all its fields and no text."""
    assert getattr(contrib, kind.__name__) is kind
    for mode in ("validation", "serialization"):
        schema = TypeAdapter(kind).json_schema(mode=mode)
        schema = schema["$defs"][kind.__name__] if "$ref" in schema else schema
        assert {*schema["properties"]} == {"type", *(field.name for field in attrs.fields(kind))}
        assert schema["title"] == kind.__name__
        assert schema["description"]


def test_the_models_are_complete() -> None:
    """Each class with a JSON form, except those for authors of ledgers, is known to pydantic."""
    assert {kind.__name__ for kind in MODELS} | WITHOUT_SCHEMA == {
        type(each).__name__ for each in EXAMPLES.values()
    }
    assert {*contrib.__all__} == {kind.__name__ for kind in MODELS} | {"Outcome", "PhoneNumber"}


@given(ANY_MODEL.filter(lambda value: type(value).__name__ not in WITHOUT_SCHEMA))
def test_the_json_is_that_of_the_package(value: Any) -> None:
    """Pydantic and `to_json` write the same JSON, and each of them reads the JSON of the other."""
    adapter: TypeAdapter[Any] = TypeAdapter(type(value))
    written = adapter.dump_json(value)
    assert json.loads(written) == json.loads(to_json(value))
    assert from_json(written, type(value)) == adapter.validate_json(to_json(value)) == value
    assert adapter.dump_python(value) is value


@pytest.mark.parametrize("name", SHOWN)
def test_the_schema_fits_the_json(name: str) -> None:
    """The JSON of each example has exactly the fields of the schema, and the types of the schema."""
    value = SHOWN[name]
    schema = TypeAdapter(type(value)).json_schema(mode="serialization")
    _check(json.loads(to_json(value)), schema, schema.get("$defs", {}))


TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}


def _check(data: Any, schema: Any, definitions: Any) -> None:
    """Check JSON data with the small part of JSON Schema that pydantic writes for the models."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        _check_any(data, schema["anyOf"], definitions)
        return
    assert type(data) is TYPES[schema["type"]]
    assert data in schema.get("enum", [data])
    assert data == schema.get("const", data)
    if "properties" in schema:
        assert {*data} == {*schema["properties"]} == {*schema["required"]}
        for name, part in schema["properties"].items():
            _check(data[name], part, definitions)
    elif schema["type"] == "array":
        for each in data:
            _check(each, schema["items"], definitions)


def _check_any(data: Any, parts: Any, definitions: Any) -> None:
    errors = []
    for part in parts:
        try:
            _check(data, part, definitions)
        except AssertionError as error:
            errors.append(error)
    assert len(errors) < len(parts), errors


def test_a_model_of_pydantic() -> None:
    """A model keeps the object itself in Python, masks it in its `repr`, and can leave out fields in JSON."""
    order = Order(phone="+7 (903) 123-45-67", receipt=RECEIPT)
    assert order.phone == NUMBER
    assert order.receipt is RECEIPT
    assert Order(**order.model_dump()) == order
    assert "Код" not in repr(order)
    shown = order.model_dump(mode="json", exclude={"receipt": {"message": {"text", "key"}}})
    assert "text" not in shown["receipt"]["message"]
    assert shown["receipt"]["message"]["destination_address"] == NUMBER
    assert order.model_dump(mode="json", include={"receipt": {"segment_ids"}}) == {
        "receipt": {"segment_ids": [*RECEIPT.segment_ids]}
    }


def test_the_errors_show_no_number() -> None:
    """A program may log the error of pydantic: it shows at most two digits of a wrong number."""
    with pytest.raises(PydanticError) as caught:
        Order.model_validate({"phone": "8 903 123-45-678", "receipt": {"type": "Receipt", "message": NUMBER}})
    shown = f"{caught.value} {caught.value!r} {caught.value.errors()} {caught.value.json()}"
    assert "903 123" not in shown
    assert NUMBER not in shown.replace(f"such as +{NUMBER}", "")
    assert [error["loc"] for error in caught.value.errors()] == [("phone",), ("receipt", "message")]
    with pytest.raises(PydanticError) as caught:
        Order.model_validate({"phone": "903"})
    assert caught.value.errors()[0]["input"] == "*** (3 characters)"
    with pytest.raises(PydanticError, match="at most 5 characters") as caught:
        TypeAdapter(Annotated[str, Field(max_length=5), PhoneNumber()]).validate_python(NUMBER)
    assert NUMBER not in str(caught.value)
    assert caught.value.errors()[0]["type"] == "string_too_long"


def test_an_object_that_cannot_be_written() -> None:
    """A receipt with a value of a wrong type is an error that names the field, and not the value."""
    wrong = attrs.evolve(RECEIPT, message=Message(int(NUMBER), "x"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"message\.destination_address: <int>") as caught:
        TypeAdapter(Receipt).dump_json(wrong)
    assert NUMBER not in str(caught.value)


def test_subclasses() -> None:
    """A subclass of the caller can be the type of a field, too."""

    @attrs.frozen
    class Mine(Message):
        order: int = 17

    adapter = TypeAdapter(Mine)
    assert adapter.validate_python({"destination_address": NUMBER, "text": "x", "order": 18}).order == 18
    mine = Mine(NUMBER, "x")
    assert adapter.validate_python(mine) is mine
    assert TypeAdapter(Message).validate_json(adapter.dump_json(mine)) == Message(NUMBER, "x")
    assert "order" in adapter.json_schema()["properties"]
    with pytest.raises(PydanticError):
        adapter.validate_python(MESSAGE)


@pytest.mark.parametrize("region", ["ru", "XX", None, 7])
def test_unknown_regions(region: Any) -> None:
    """A wrong region is an error where the annotation is written, and not at the first request."""
    with pytest.raises(ValidationError, match=r"^region: "):
        PhoneNumber(region=region)


def test_the_annotation_is_a_value() -> None:
    """Two annotations with one region are equal, and the region is Russia by default."""
    assert PhoneNumber() == PhoneNumber("RU") != PhoneNumber("KZ")
    assert {PhoneNumber(), PhoneNumber(region="RU")} == {PhoneNumber()}
    assert repr(PhoneNumber("KZ")) == "PhoneNumber(region='KZ')"
    assert TypeAdapter(Annotated[str | None, PhoneNumber()]).validate_python(None) is None
    numbers = TypeAdapter(list[Annotated[str, PhoneNumber("DE")]])
    assert numbers.validate_python(["0170 1234567"]) == ["491701234567"]
    assert numbers.json_schema()["items"] == {"type": "string", "format": "phone"}


def _import_without(library: str, script: str) -> str:
    command = f"import sys; sys.modules[{library!r}] = None; {script}"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    return done.stderr + done.stdout


def test_missing_libraries() -> None:
    """Without a library, the error names the package to install. The models do not need phonenumbers."""
    script = "from smsapi_async.contrib.pydantic import PhoneNumber, Receipt; print('models'); PhoneNumber()"
    assert "needs pydantic: pip install 'pydantic>=2.11'" in _import_without("pydantic", script)
    shown = _import_without("phonenumbers", script)
    assert "PhoneNumber needs phonenumbers: pip install phonenumbers" in shown
    assert "models" in shown


def test_the_package_does_not_import_pydantic() -> None:
    """A program without this module does not load pydantic, and its models are plain classes."""
    script = (
        "import sys, smsapi_async; from smsapi_async import *; from smsapi_async import Receipt, to_json;"
        "print('pydantic' in sys.modules, hasattr(Receipt, '__get_pydantic_core_schema__'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert smsapi_async.Receipt is Receipt
