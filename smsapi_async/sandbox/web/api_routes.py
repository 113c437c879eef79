"""The table of the control API. The routes and the OpenAPI document are made from this table."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

import attrs

from smsapi_async.sandbox.web import api_commands as commands
from smsapi_async.sandbox.web import api_queries as queries
from smsapi_async.sandbox.web.api_call import ApiCall
from smsapi_async.sandbox.web.api_fields import ApiField
from smsapi_async.sandbox.web.api_schemas import PLAN_SCHEMAS

ApiHandler: TypeAlias = Callable[[ApiCall], Awaitable[Any]]

LONGEST_WAIT = 300
"""The greatest number of seconds that `GET messages/latest` waits."""

_YEAR_SECONDS = 366 * 24 * 3600
_MOST_TIMES = 1_000_000


@attrs.frozen(kw_only=True)
class ApiRoute:
    """One method of one path.

    Attributes:
        method: the HTTP method.
        path: the path below `/api/v1/`, with variable parts in braces.
        summary: what the route does, for the OpenAPI document.
        handler: the function that makes the answer; None for the two routes that the server answers itself,
            the stream of events and the OpenAPI document.
        answer: the name of the JSON Schema of the answer.
        query: the parameters of the query.
        body: the fields of the JSON body.
        status: the HTTP status of a successful answer.
        failures: the further HTTP statuses of failures.
    """

    method: Literal["GET", "PUT", "POST", "PATCH", "DELETE"]
    path: str
    summary: str
    handler: ApiHandler | None
    answer: str
    query: tuple[ApiField, ...] = ()
    body: tuple[ApiField, ...] = ()
    status: int = 200
    failures: tuple[int, ...] = ()


_TO = ApiField(
    name="to",
    kind="text",
    description="Only messages to this destination address. All characters except digits are ignored, and a "
    "Russian mobile number may begin with 8 in place of 7.",
)
_FROM = ApiField(name="from", kind="text", description="Only messages with this source address.")
_TEXT = ApiField(name="text", kind="text", description="Only messages that contain this text.")
_AFTER = ApiField(
    name="after", kind="integer", least=0, description="Only messages with a greater number than this one."
)
_LIMIT = ApiField(
    name="limit",
    kind="integer",
    least=0,
    description="The greatest number of items: the first ones after `after`; without `after`, the last ones.",
)
_STATE = ApiField(name="state", kind="state", description="The code or the label of a state.")
_Q = ApiField(
    name="q",
    kind="text",
    description="A search: words, to: from: state: text: has:code has:link; -word excludes.",
)
_RESOURCE = ApiField(
    name="resource",
    kind="text",
    nullable=True,
    description="The resource of the gateway, for example Sms/Send; without it, all resources.",
)
_TIMES = ApiField(
    name="times",
    kind="integer",
    default=1,
    least=1,
    most=_MOST_TIMES,
    description="The number of requests that get the response.",
)
_PLAN = tuple(
    ApiField(
        name=name,
        kind="any",
        schema=schema,
        description=f"The field `{name}` of a fault plan; see the documentation of FaultPlan.",
    )
    for name, schema in PLAN_SCHEMAS.items()
)
_READ_ONLY_FAULTS = (
    ApiField(
        name="base_url",
        kind="any",
        schema={"readOnly": True},
        description="The base URL of the faulty line. The sandbox ignores the field in a request.",
    ),
    ApiField(
        name="history",
        kind="any",
        schema={"readOnly": True},
        description="The faults so far. The sandbox ignores the field in a request.",
    ),
)


def _unit(name: str, seconds: int) -> ApiField:
    return ApiField(
        name=name,
        kind="number",
        least=0,
        most=100 * _YEAR_SECONDS // seconds,
        description=f"The {name} by which the clock moves forward.",
    )


READING_ROUTES = (
    ApiRoute(
        method="GET",
        path="state",
        summary="Everything that the page shows, and the number of the last event.",
        handler=queries.tell_state,
        answer="State",
    ),
    ApiRoute(
        method="GET",
        path="events",
        summary="The events as server-sent events. After a gap, the event is `reset`: read `state` again.",
        handler=None,
        answer="Events",
        query=(
            ApiField(
                name="after",
                kind="integer",
                least=0,
                description="The number of the last event that the client knows, for example `last` of "
                "`state`. The header field Last-Event-ID has precedence. Without both, only new events "
                "are sent.",
            ),
            ApiField(
                name="instance",
                kind="text",
                description="`info.instance` of the state that the client knows. If the sandbox has another "
                "value, because the sandbox was started again, the first event is `reset`.",
            ),
        ),
        failures=(503,),
    ),
    ApiRoute(
        method="GET",
        path="messages",
        summary="The accepted messages, in the order of their acceptance.",
        handler=queries.list_messages,
        answer="Messages",
        query=(_TO, _FROM, _TEXT, _STATE, _AFTER, _LIMIT, _Q),
    ),
    ApiRoute(
        method="GET",
        path="messages/latest",
        summary="The newest message that fulfils all conditions. Waits for a message if there is none.",
        handler=queries.latest_message,
        answer="Message",
        query=(
            _TO,
            _FROM,
            _TEXT,
            _AFTER,
            ApiField(
                name="wait",
                kind="number",
                default=10,
                least=0,
                most=LONGEST_WAIT,
                description="The longest time to wait, in seconds of real time; 0 answers at once.",
            ),
        ),
        failures=(404, 503),
    ),
    ApiRoute(
        method="GET",
        path="messages/{id}",
        summary="One message, by the id of one of its segments or by its number.",
        handler=queries.show_message,
        answer="Message",
        failures=(404,),
    ),
    ApiRoute(
        method="GET",
        path="incoming",
        summary="The incoming messages.",
        handler=queries.list_incoming,
        answer="IncomingMessages",
    ),
    ApiRoute(
        method="GET",
        path="pushes",
        summary="The attempts to push incoming messages.",
        handler=queries.list_pushes,
        answer="Pushes",
    ),
    ApiRoute(
        method="GET",
        path="requests",
        summary="The requests to the gateway and their answers, in the order of their arrival.",
        handler=queries.list_requests,
        answer="Requests",
        query=(
            ApiField(
                name="after",
                kind="integer",
                least=-1,
                description="Only requests with a greater `index` than this one.",
            ),
            _LIMIT,
            ApiField(name="resource", kind="text", description="Only requests to this resource."),
        ),
    ),
    ApiRoute(
        method="GET",
        path="requests/{n}",
        summary="One request to the gateway, by its `index`.",
        handler=queries.show_request,
        answer="Request",
        failures=(404,),
    ),
    ApiRoute(
        method="GET", path="clock", summary="The clock.", handler=queries.tell_clock, answer="Clock"
    ),
    ApiRoute(
        method="GET", path="account", summary="The account.", handler=queries.tell_account, answer="Account"
    ),
    ApiRoute(
        method="GET",
        path="faults",
        summary="The fault plan of the faulty line, its base URL, and the faults so far.",
        handler=queries.tell_faults,
        answer="FaultPlan",
    ),
    ApiRoute(
        method="GET",
        path="info",
        summary="The addresses of the sandbox, and its login and password.",
        handler=queries.tell_info,
        answer="Info",
    ),
    ApiRoute(
        method="GET",
        path="livez",
        summary="Whether the sandbox answers.",
        handler=queries.is_alive,
        answer="Alive",
    ),
    ApiRoute(
        method="GET", path="openapi.json", summary="This document.", handler=None, answer="Document"
    ),
)  # fmt: skip
"""The routes that change nothing."""

CHANGING_ROUTES = (
    ApiRoute(
        method="PUT",
        path="messages/{id}/state",
        summary="Change the state of a message from now on, by a segment id or by its number.",
        handler=commands.change_state,
        answer="Message",
        body=(
            attrs.evolve(_STATE, required=True),
            ApiField(
                name="segment",
                kind="text",
                nullable=True,
                description="The id of the only segment to change; without it, all segments change.",
            ),
        ),
        failures=(404,),
    ),
    ApiRoute(
        method="DELETE",
        path="messages",
        summary="Remove all messages, requests, incoming messages and pushes.",
        handler=commands.delete_messages,
        answer="Deleted",
    ),
    ApiRoute(
        method="POST",
        path="reset",
        summary="Set the sandbox to the state of a new sandbox.",
        handler=commands.reset_sandbox,
        answer="Reset",
    ),
    ApiRoute(
        method="POST",
        path="incoming",
        summary="Send a message from a phone to the account.",
        handler=commands.receive_message,
        answer="Incoming",
        body=(
            ApiField(
                name="source_address",
                kind="text",
                required=True,
                aliases=("from",),
                description="The number of the phone.",
            ),
            ApiField(name="text", kind="text", required=True, description="The text of the message."),
            ApiField(
                name="destination_address",
                kind="text",
                default="79160000000",
                longest=100,
                aliases=("to",),
                description="The number or the name to which the phone sends.",
            ),
            ApiField(
                name="prefix",
                kind="text",
                default="",
                longest=100,
                description="The keyword at the beginning of the text. Only a push contains the keyword.",
            ),
            ApiField(
                name="at",
                kind="date",
                nullable=True,
                description="The creation time; without it, the current time of the sandbox.",
            ),
        ),
        status=201,
    ),
    ApiRoute(
        method="PATCH",
        path="clock",
        summary="Pause the clock, let the clock run, or change its speed.",
        handler=commands.change_clock,
        answer="Clock",
        body=(
            ApiField(name="running", kind="boolean", description="Whether the clock runs."),
            ApiField(name="paused", kind="boolean", description="The opposite of `running`."),
            ApiField(
                name="speed",
                kind="number",
                least=0,
                most=1_000_000,
                description="The seconds that a running clock advances in one real second.",
            ),
        ),
    ),
    ApiRoute(
        method="POST",
        path="clock/advance",
        summary="Move the clock forward by the sum of the fields.",
        handler=commands.advance_clock,
        answer="Clock",
        body=(_unit("seconds", 1), _unit("minutes", 60), _unit("hours", 3600), _unit("days", 24 * 3600)),
    ),
    ApiRoute(
        method="PATCH",
        path="account",
        summary="Change the balance, the price or the latency.",
        handler=commands.change_account,
        answer="Account",
        body=(
            ApiField(name="balance", kind="money", description="The money on the account."),
            ApiField(name="price", kind="money", least=0, description="The price of one segment."),
            ApiField(
                name="latency",
                kind="number",
                least=0,
                most=3600,
                description="The delay of each response of the gateway, in seconds of real time.",
            ),
        ),
    ),
    ApiRoute(
        method="POST",
        path="account/expire-sessions",
        summary="End all sessions, so that the gateway refuses their session ids.",
        handler=commands.expire_sessions,
        answer="Account",
    ),
    ApiRoute(
        method="POST",
        path="refusals",
        summary="Refuse the next requests to a resource with an error code.",
        handler=commands.prepare_refusal,
        answer="Account",
        body=(
            _RESOURCE,
            ApiField(
                name="code",
                kind="integer",
                required=True,
                least=1,
                most=9,
                description="The error code, which determines the HTTP status.",
            ),
            ApiField(
                name="description",
                kind="text",
                nullable=True,
                aliases=("desc",),
                description="The text in the error body; without it, the usual text of the code.",
            ),
            _TIMES,
        ),
        status=201,
    ),
    ApiRoute(
        method="POST",
        path="answers",
        summary="Prepare the response to the next requests to a resource, or hold the answers of a resource.",
        handler=commands.prepare_answer,
        answer="Account",
        body=(
            _RESOURCE,
            ApiField(
                name="status",
                kind="integer",
                default=200,
                least=200,
                most=599,
                description="The HTTP status.",
            ),
            ApiField(name="body", kind="text", default="", description="The body of the response."),
            ApiField(
                name="headers",
                kind="texts",
                nullable=True,
                description="The header fields; without them, the usual header fields of the gateway.",
            ),
            _TIMES,
            ApiField(
                name="accept",
                kind="boolean",
                default=False,
                description="Whether the gateway also processes the requests and accepts messages.",
            ),
            ApiField(
                name="hold",
                kind="boolean",
                default=False,
                description="Whether the answers to all further requests to the resource are held, until "
                "`POST answers/release`. The gateway processes the requests. With `hold`, a response is "
                "prepared only if another field is not its default.",
            ),
        ),
        status=201,
    ),
    ApiRoute(
        method="POST",
        path="answers/release",
        summary="Send the held answers of a resource, or all held answers, and hold no further ones.",
        handler=commands.release_answers,
        answer="Released",
        body=(_RESOURCE,),
    ),
    ApiRoute(
        method="DELETE",
        path="answers",
        summary="Remove the prepared responses and refusals, and release all held answers.",
        handler=commands.delete_answers,
        answer="Released",
    ),
    ApiRoute(
        method="PUT",
        path="faults",
        summary="Set the fault plan of the faulty line. Missing fields get their defaults.",
        handler=commands.set_faults,
        answer="FaultPlan",
        body=(*_PLAN, *_READ_ONLY_FAULTS),
        failures=(409,),
    ),
    ApiRoute(
        method="DELETE",
        path="faults",
        summary="Let all requests on the faulty line pass.",
        handler=commands.delete_faults,
        answer="FaultPlan",
    ),
)
"""The routes that change the sandbox."""

API_ROUTES: tuple[ApiRoute, ...] = (*READING_ROUTES, *CHANGING_ROUTES)
"""All routes. For two routes that match a path, the first one is used."""
