"""The JSON Schemas of the answers, and a check of JSON values against a schema."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.web.api_fields import ApiProblem

JsonSchema: TypeAlias = dict[str, Any]

_TEXT: JsonSchema = {"type": "string"}
_INTEGER: JsonSchema = {"type": "integer"}
_NUMBER: JsonSchema = {"type": "number"}
_BOOLEAN: JsonSchema = {"type": "boolean"}
_DATE: JsonSchema = {"type": "string", "format": "date-time"}
_MONEY: JsonSchema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
_ID: JsonSchema = {"type": ["integer", "string"]}


def _or_null(schema: JsonSchema) -> JsonSchema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(items: JsonSchema) -> JsonSchema:
    return {"type": "array", "items": items}


def _object(**properties: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _named(name: str) -> JsonSchema:
    return {"$ref": f"#/components/schemas/{name}"}


_NULLABLE_TEXT, _NULLABLE_INTEGER = _or_null(_TEXT), _or_null(_INTEGER)
_HEADERS = _list(_list(_TEXT))
_FAULT: JsonSchema = {"type": "string", "enum": [fault.value for fault in Fault]}
_COUNT: JsonSchema = {"type": ["integer", "null"], "minimum": 0}
# A path below the base URL, in printable ASCII and without a query.
_PLAN_RESOURCE: JsonSchema = {"type": ["string", "null"], "pattern": r"^[!\"$->@-~]+$"}
_SHARE: JsonSchema = {"type": "number", "minimum": 0, "maximum": 1}
_SECONDS: JsonSchema = {"type": "number", "minimum": 0}

PLAN_SCHEMAS: dict[str, JsonSchema] = {
    "faults": _list(_FAULT),
    "rules": _list(
        {
            "type": "object",
            "properties": {
                "fault": _FAULT,
                "resource": _PLAN_RESOURCE,
                "times": _COUNT,
                "probability": _SHARE,
                "after": {"type": "integer", "minimum": 0},
                "retry_after": _SECONDS,
            },
            "required": ["fault"],
            "additionalProperties": False,
        }
    ),
    "weights": {"type": "object", "propertyNames": _FAULT, "additionalProperties": _SECONDS},
    "resource": _PLAN_RESOURCE,
    "seed": {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
    "retry_after": _SECONDS,
}
"""The JSON Schema of each field of a fault plan."""

_PLAN = _object(**PLAN_SCHEMAS)
_DECISION = _object(number=_INTEGER, resource=_TEXT, fault=_FAULT, passed_on=_BOOLEAN)

ANSWER_SCHEMAS: dict[str, JsonSchema] = {
    "Message": _object(
        number=_INTEGER,
        id=_TEXT,
        destination_address=_TEXT,
        source_address=_TEXT,
        text=_TEXT,
        encoding={"type": "string", "enum": ["GSM-7", "UCS-2"]},
        segments=_list(
            _object(
                id=_TEXT,
                text=_TEXT,
                timeline=_list({"type": "array", "prefixItems": [_DATE, _INTEGER]}),
                state=_INTEGER,
                price=_MONEY,
            )
        ),
        state=_INTEGER,
        label=_TEXT,
        price=_MONEY,
        hint={
            "type": ["object", "null"],
            "properties": {"characters": _TEXT, "segments": _INTEGER},
            "required": ["characters", "segments"],
        },
        accepted_at=_DATE,
        send_date=_or_null(_DATE),
        validity=_NULLABLE_INTEGER,
        utc_offset=_INTEGER,
        resource=_TEXT,
        request=_NULLABLE_INTEGER,
        code=_NULLABLE_TEXT,
        links=_list(_TEXT),
    ),
    "Incoming": _object(
        id=_ID,
        source_address=_TEXT,
        destination_address=_TEXT,
        text=_TEXT,
        prefix=_TEXT,
        created_at=_DATE,
    ),
    "Request": _object(
        index=_INTEGER,
        at=_DATE,
        method=_TEXT,
        resource=_NULLABLE_TEXT,
        version=_INTEGER,
        target=_TEXT,
        headers=_HEADERS,
        body=_TEXT,
        parameters=_list(_object(name=_TEXT, value=_TEXT, note=_NULLABLE_TEXT)),
        status=_NULLABLE_INTEGER,
        code=_NULLABLE_INTEGER,
        fault=_NULLABLE_TEXT,
        answer_headers=_HEADERS,
        answer=_TEXT,
        curl=_TEXT,
    ),
    "Push": _object(
        message_id=_ID,
        attempt=_INTEGER,
        at=_DATE,
        status=_NULLABLE_INTEGER,
        error=_NULLABLE_TEXT,
        reply=_NULLABLE_TEXT,
    ),
    "Clock": _object(now=_DATE, running=_BOOLEAN, speed=_NUMBER),
    "Account": _object(
        balance=_MONEY,
        price=_MONEY,
        latency=_NUMBER,
        sessions=_object(open=_INTEGER, given=_INTEGER),
        logins=_INTEGER,
        source_addresses={"type": ["array", "null"], "items": _TEXT},
        prepared=_list(
            _object(
                resource=_NULLABLE_TEXT,
                status=_INTEGER,
                code=_NULLABLE_INTEGER,
                times=_INTEGER,
                accept=_BOOLEAN,
            )
        ),
        gates=_list(_object(resource=_NULLABLE_TEXT, caught=_INTEGER, held=_INTEGER)),
        held={**_INTEGER, "description": "The number of requests whose answers are held now."},
    ),
    "Info": _object(
        base_url=_TEXT,
        login=_TEXT,
        password=_TEXT,
        api=_TEXT,
        page=_TEXT,
        faults_url=_NULLABLE_TEXT,
        version=_TEXT,
        instance=_TEXT,
        keep=_NULLABLE_INTEGER,
        states={"type": "object", "additionalProperties": _TEXT},
        state_descriptions={"type": "object", "additionalProperties": _TEXT},
    ),
    "Faults": _object(
        base_url=_NULLABLE_TEXT,
        plan=_PLAN,
        presets=_list(_object(fault=_FAULT, label=_TEXT, note=_TEXT)),
        kinds=_list(_object(fault=_FAULT, reaches_gateway=_BOOLEAN)),
        history=_list(_DECISION),
    ),
    "FaultPlan": _object(**PLAN_SCHEMAS, base_url=_NULLABLE_TEXT, history=_list(_DECISION)),
    "State": _object(
        messages=_list(_named("Message")),
        incoming=_list(_named("Incoming")),
        requests=_list(_named("Request")),
        pushes=_list(_named("Push")),
        clock=_named("Clock"),
        account=_named("Account"),
        info=_named("Info"),
        faults=_named("Faults"),
        last=_INTEGER,
    ),
    "Messages": _object(
        messages=_list(_named("Message")),
        total={**_INTEGER, "description": "The number of messages that fulfil the conditions."},
        last={**_INTEGER, "description": "The number of the last message that the sandbox accepted."},
    ),
    "Requests": _object(requests=_list(_named("Request")), total=_INTEGER),
    "IncomingMessages": _object(incoming=_list(_named("Incoming"))),
    "Pushes": _object(pushes=_list(_named("Push"))),
    "Released": _object(
        released={**_INTEGER, "description": "The number of requests whose answers were held."},
        removed={**_INTEGER, "description": "The number of requests for which responses were prepared."},
        account=_named("Account"),
    ),
    "Deleted": _object(deleted=_INTEGER),
    "Reset": _object(clock=_named("Clock"), account=_named("Account"), last=_INTEGER),
    "Alive": _object(status=_TEXT),
    "Document": {"type": "object"},
    "Events": _TEXT,
    "Problem": {
        "type": "object",
        "properties": {
            "error": {**_TEXT, "description": "What is wrong, and what the caller can do."},
            "field": {**_TEXT, "description": "The name of the wrong field."},
            "others": {**_list(_named("Message")), "description": "The other messages that came."},
        },
        "required": ["error"],
    },
}
"""The JSON Schema of each answer by its name in the OpenAPI document."""

_LONGEST_SHOWN = 60
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float, Decimal),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def check_json(value: object, schema: Mapping[str, Any], place: str) -> None:
    """Check a JSON value against a schema: types, properties, items, choices and limits.

    Args:
        value: the value.
        schema: the JSON Schema, without references.
        place: the name of the field with the value.

    Raises:
        ApiProblem: if the value does not match. The problem names the field inside of the value.
    """
    kinds = schema.get("type", [])
    names = [kinds] if isinstance(kinds, str) else kinds
    if names and not any(_is_type(value, name) for name in names):
        raise ApiProblem(422, f"{place} must have the type {' or '.join(names)}", place)
    if "enum" in schema and value not in schema["enum"]:
        raise ApiProblem(
            422, f"{place} must be one of: {', '.join(schema['enum'])}; it is {_shown(value)}", place
        )
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        raise ApiProblem(422, f"{place} must match {schema['pattern']}", place)
    if isinstance(value, int | float | Decimal):
        _check_limits(value, schema, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_json(item, schema.get("items", {}), f"{place}[{index}]")
    elif isinstance(value, dict):
        _check_object(value, schema, place)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _is_type(value: object, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _check_limits(value: Decimal | float, schema: Mapping[str, Any], place: str) -> None:
    if value < schema.get("minimum", value):
        raise ApiProblem(422, f"{place} must be at least {schema['minimum']}", place)
    if value > schema.get("maximum", value):
        raise ApiProblem(422, f"{place} must be at most {schema['maximum']}", place)


def _check_object(value: dict[str, Any], schema: Mapping[str, Any], place: str) -> None:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            raise ApiProblem(422, f"{place}.{name} is missing", f"{place}.{name}")
    for name, item in value.items():
        check_json(name, schema.get("propertyNames", {}), place)
        inner = properties.get(name, others)
        if inner is False:
            reason = f"is an unknown field; {place} may contain {', '.join(properties)}"
            raise ApiProblem(422, f"{place}.{name[:100]} {reason}", f"{place}.{name[:100]}")
        if isinstance(inner, dict):
            check_json(item, inner, f"{place}.{name[:100]}")
