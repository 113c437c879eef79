"""The OpenAPI document of the control API, made from the table of routes."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from smsapi_async.sandbox.web.api_fields import ApiField
from smsapi_async.sandbox.web.api_routes import API_ROUTES, ApiRoute
from smsapi_async.sandbox.web.api_schemas import ANSWER_SCHEMAS

# Each request can get these statuses: a wrong host or origin, a wrong body, and a wrong field.
_FAILURES = (403, 422)
_BODY_FAILURES = (400, 413, 415)


def openapi_document(server_url: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of the control API.

    Args:
        server_url: the URL of the control API.
        version: the version of the package.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in API_ROUTES:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SMS sandbox",
            "version": version or "0",
            "description": "Reads and controls a test gateway on this computer. It sends nothing to phones.",
        },
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {"schemas": ANSWER_SCHEMAS},
    }


def _operation(route: ApiRoute) -> dict[str, Any]:
    words = re.findall(r"[a-z0-9]+", route.path)
    operation: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        "parameters": [*map(_path_parameter, re.findall(r"{(\w+)}", route.path)), *map(_query, route.query)],
        "responses": _responses(route),
    }
    if route.body:
        operation["requestBody"] = {
            "required": any(field.required for field in route.body),
            "content": {"application/json": {"schema": _body_schema(route.body)}},
        }
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(field: ApiField) -> dict[str, Any]:
    schema = field.json_schema
    description = schema.pop("description")
    return {
        "name": field.name,
        "in": "query",
        "required": field.required,
        "description": description,
        "schema": schema,
    }


def _body_schema(fields: Sequence[ApiField]) -> dict[str, Any]:
    # An alias stands for a field, so a required field with an alias is not listed as required.
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: field.json_schema for field in fields}
        | {alias: field.json_schema for field in fields for alias in field.aliases},
        "additionalProperties": False,
    }
    required = [field.name for field in fields if field.required and not field.aliases]
    return {**schema, "required": required} if required else schema


def _responses(route: ApiRoute) -> dict[str, Any]:
    media_type = "text/event-stream" if route.answer == "Events" else "application/json"
    is_changing = route.method != "GET"
    failures = sorted({*_FAILURES, *route.failures, *(_BODY_FAILURES if is_changing else ())})
    return {
        str(route.status): _response(route.status, route.answer, media_type),
        **{str(status): _response(status, "Problem", "application/json") for status in failures},
    }


def _response(status: int, schema: str, media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": HTTPStatus(status).phrase, "content": content}
