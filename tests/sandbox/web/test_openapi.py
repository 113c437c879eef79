"""The OpenAPI document describes each route of the control API, and no other route."""

from typing import Any

import pytest

from smsapi_async.sandbox.web.api_routes import API_ROUTES
from smsapi_async.sandbox.web.api_schemas import ANSWER_SCHEMAS
from tests.sandbox.web.support import WebCaller

pytestmark = pytest.mark.anyio


def references(value: Any) -> set[str]:
    """Return all references in a JSON document."""
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_each_route_is_in_the_document(wrong: WebCaller) -> None:
    """A developer finds each route, its parameters and its body in the document."""
    document = await wrong.get("openapi.json")
    described = {
        (method.upper(), path.removeprefix("/")): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    routes = {(route.method, route.path): route for route in API_ROUTES}
    assert described.keys() == routes.keys()
    assert len(API_ROUTES) == len(routes)
    for key, operation in described.items():
        in_query = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
        assert in_query == [field.name for field in routes[key].query]
        in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert in_path == {part.strip("{}") for part in key[1].split("/") if part.startswith("{")}
        assert str(routes[key].status) in operation["responses"]
        content = operation.get("requestBody", {"content": {}})["content"]
        fields = content.get("application/json", {"schema": {"properties": {}}})["schema"]["properties"]
        assert fields.keys() >= {field.name for field in routes[key].body}
    names = [operation["operationId"] for operation in described.values()]
    assert len(set(names)) == len(names)


async def test_each_described_route_answers(wrong: WebCaller) -> None:
    """Each path of the document exists, and each other method of the path is refused."""
    document = await wrong.get("openapi.json")
    for path, operations in document["paths"].items():
        for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
            # An unknown parameter makes each existing route refuse the request.
            answer = await wrong.call(method, f"{path.removeprefix('/')}?unknown=1")
            expected = 422 if method.lower() in operations else 405
            assert answer.status_code == expected, (method, path)


async def test_references(wrong: WebCaller) -> None:
    """Each reference in the document leads to a schema of the document."""
    document = await wrong.get("openapi.json")
    names = {each.removeprefix("#/components/schemas/") for each in references(document)}
    assert names <= document["components"]["schemas"].keys() == ANSWER_SCHEMAS.keys()
    assert document["servers"] == [{"url": f"{wrong.page_url}api/v1"}]
