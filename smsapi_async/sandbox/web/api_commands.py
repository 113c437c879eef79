"""The handlers of the control API that change the sandbox."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from smsapi_async.sandbox.faults.plan import FaultPlan, FaultPlanError
from smsapi_async.sandbox.number_rules import with_country_code
from smsapi_async.sandbox.tables import canonical_name
from smsapi_async.sandbox.web.api_call import ApiCall
from smsapi_async.sandbox.web.api_fields import ApiProblem
from smsapi_async.sandbox.web.api_queries import message_of, no_message, state_code
from smsapi_async.sandbox.web.shapes import JsonObject

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
# The server writes these header fields.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_WITHOUT_BODY = frozenset({204, 205, 304})
_ANSWER_DEFAULTS: Mapping[str, Any] = {
    "status": 200,
    "body": "",
    "headers": None,
    "times": 1,
    "accept": False,
}
_READ_ONLY = frozenset({"base_url", "history"})


async def change_state(call: ApiCall) -> JsonObject:
    """Change the state of a message, or of one of its segments."""
    message, segment = message_of(call), call.body["segment"]
    code = state_code(call.body["state"])
    if segment is not None and segment not in message.segment_ids:
        raise ApiProblem(422, "segment must be the id of a segment of the message", "segment")
    try:
        call.sandbox.set_state(message if segment is None else segment, code)
    except LookupError:
        raise no_message() from None
    shape = call.shapes.message(message)
    if shape is None:
        raise no_message()
    return shape


async def delete_messages(call: ApiCall) -> JsonObject:
    """Remove the messages, the requests, the incoming messages and the pushes."""
    count = len(call.sandbox.account.messages)
    call.sandbox.clear()
    return {"deleted": count}


async def reset_sandbox(call: ApiCall) -> JsonObject:
    """Set the sandbox to the state of a new sandbox."""
    call.sandbox.reset()
    return {"clock": call.shapes.clock(), "account": call.shapes.account(), "last": call.sandbox.feed.last}


async def receive_message(call: ApiCall) -> JsonObject:
    """Store an incoming message."""
    body, sandbox = call.body, call.sandbox
    source = with_country_code(re.sub(r"[\s()+-]", "", body["source_address"]))
    if not re.fullmatch(r"[0-9]{1,15}", source, re.ASCII):
        raise ApiProblem(422, "source_address must be a telephone number", "source_address")
    # Read the message from the account: only the account has its creation time.
    message_id = sandbox.receive(
        source,
        text=body["text"],
        destination_address=body["destination_address"],
        at=body["at"],
        prefix=body["prefix"],
    )
    found = (each for each in reversed(sandbox.account.incoming) if each.id == message_id)
    return next((call.shapes.incoming(each) for each in found), {"id": message_id})


async def change_clock(call: ApiCall) -> JsonObject:
    """Pause the clock, let the clock run, or change its speed."""
    running, paused, speed = (call.body[name] for name in ("running", "paused", "speed"))
    if paused is not None:
        if running is paused:
            raise ApiProblem(422, "paused must be the opposite of running", "paused")
        running = not paused
    if speed is not None:
        call.sandbox.speed = speed
    if running is not None and running is not call.sandbox.running:
        (call.sandbox.run if running else call.sandbox.pause)()
    return call.shapes.clock()


async def advance_clock(call: ApiCall) -> JsonObject:
    """Move the clock forward."""
    units = {name: value for name, value in call.body.items() if value is not None}
    if not units:
        raise ApiProblem(422, "seconds is missing", "seconds")
    call.sandbox.advance(timedelta(**units))
    return call.shapes.clock()


async def change_account(call: ApiCall) -> JsonObject:
    """Change the balance, the price, or the latency."""
    for name in ("balance", "price", "latency"):
        if call.body[name] is not None:
            setattr(call.sandbox, name, call.body[name])
    return call.shapes.account()


async def expire_sessions(call: ApiCall) -> JsonObject:
    """End all sessions."""
    call.sandbox.expire_sessions()
    return call.shapes.account()


async def prepare_refusal(call: ApiCall) -> JsonObject:
    """Refuse the next requests with an error code."""
    body = call.body
    call.sandbox.refuse_next(_resource(call), body["code"], body["description"], body["times"])
    return call.shapes.account()


async def prepare_answer(call: ApiCall) -> JsonObject:
    """Prepare the response to the next requests, or hold the responses to all further requests, or both."""
    resource, answer = _resource(call), {name: call.body[name] for name in _ANSWER_DEFAULTS}
    if answer != _ANSWER_DEFAULTS or not call.body["hold"]:
        _check_answer(answer)
        call.sandbox.answer_next(resource, **answer)
    if call.body["hold"] and all(gate.resource != resource for gate in call.sandbox.gates):
        call.sandbox.hold(resource)
    return call.shapes.account()


def _check_answer(answer: Mapping[str, Any]) -> None:
    for name, value in (answer["headers"] or {}).items():
        if not _TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(value) or name.lower() in _FRAMING:
            raise ApiProblem(422, "headers has a field that a response cannot have", "headers")
    if answer["status"] in _WITHOUT_BODY and answer["body"]:
        raise ApiProblem(422, "body must be empty with this status", "body")


async def release_answers(call: ApiCall) -> JsonObject:
    """Release the held responses of a resource, or all held responses."""
    released = call.sandbox.release_held(_resource(call))
    return {"released": released, "removed": 0, "account": call.shapes.account()}


async def delete_answers(call: ApiCall) -> JsonObject:
    """Remove the prepared responses, and release all held responses."""
    removed, released = call.sandbox.drop_prepared(), call.sandbox.release_held()
    return {"released": released, "removed": removed, "account": call.shapes.account()}


async def set_faults(call: ApiCall) -> JsonObject:
    """Set the plan of the faulty line."""
    given = {name: value for name, value in call.body.items() if name not in _READ_ONLY and value is not None}
    try:
        plan = FaultPlan.from_document(given)
    except FaultPlanError as error:
        # The table of routes has checked each field. Only the sum of the weights remains.
        raise ApiProblem(422, f"the body is no fault plan: {error}", "weights") from None
    return _set_plan(call, plan)


async def delete_faults(call: ApiCall) -> JsonObject:
    """Let all requests on the faulty line pass."""
    return _set_plan(call, FaultPlan())


def _set_plan(call: ApiCall, plan: FaultPlan) -> JsonObject:
    proxy = call.sandbox.proxy
    if proxy is None:
        if plan == FaultPlan():
            return call.shapes.fault_plan()
        raise ApiProblem(409, "the sandbox has no faulty line; start it with a port for the faulty line")
    proxy.plan = plan
    return call.shapes.fault_plan()


def _resource(call: ApiCall) -> str | None:
    try:
        return canonical_name(call.body["resource"])
    except ValueError:
        raise ApiProblem(
            422, "resource must be a resource of the gateway, like Sms/Send", "resource"
        ) from None
