"""The handlers of the control API that read."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from starlette.requests import Request

from smsapi_async.sandbox.account import AcceptedMessage
from smsapi_async.sandbox.number_rules import written_numbers
from smsapi_async.sandbox.web.api_call import ApiCall
from smsapi_async.sandbox.web.api_fields import ApiProblem
from smsapi_async.sandbox.web.search import matches
from smsapi_async.sandbox.web.shapes import JsonObject, searched
from smsapi_async.sandbox.web.state_labels import STATE_LABELS

# The number of other messages in the answer of a search without a result.
_MOST_OTHERS = 20


async def tell_state(call: ApiCall) -> JsonObject:
    """Return everything that the page shows."""
    return call.shapes.state()


async def list_messages(call: ApiCall) -> JsonObject:
    """Return the messages that fulfil all conditions."""
    wanted = _condition(call)
    found = [message for message in call.sandbox.account.messages if wanted(message)]
    chosen = _limited(found, call.query)
    return {
        "messages": call.shapes.messages(chosen),
        "total": len(found),
        "last": call.sandbox.account.next_number() - 1,
    }


async def show_message(call: ApiCall) -> JsonObject:
    """Return one message."""
    shape = call.shapes.message(message_of(call))
    if shape is None:
        raise no_message()
    return shape


async def latest_message(call: ApiCall) -> JsonObject:
    """Return the newest message that fulfils all conditions. Wait for such a message if there is none."""
    wanted, seconds = _condition(call), call.query["wait"]
    message = next((each for each in reversed(call.sandbox.account.messages) if wanted(each)), None)

    async def wait() -> None:
        nonlocal message
        message = await _wait_for(call, wanted)

    if message is None and seconds:
        await _unless_disconnected(call.request, wait, seconds)
    shape = None if message is None else call.shapes.message(message)
    if shape is not None:
        return shape
    if seconds and call.sandbox.feed.is_ended:
        raise ApiProblem(503, "the sandbox stops, so no further message comes")
    after = call.query["after"] or 0
    others = [each for each in call.sandbox.account.messages if each.number > after]
    waited = f" within {seconds:g} s" if seconds else ""
    came = f"{len(others)} other {'message' if len(others) == 1 else 'messages'} came"
    raise ApiProblem(
        404,
        f"no message fulfils the conditions{waited}; {came}",
        others=call.shapes.messages(others[-_MOST_OTHERS:]),
    )


async def list_requests(call: ApiCall) -> JsonObject:
    """Return the requests to the gateway."""
    after, resource = call.query["after"], call.query["resource"]
    found = [
        arrival
        for arrival in call.sandbox.account.arrivals
        if (after is None or arrival.index > after)
        and (resource is None or (arrival.resource or "").lower() == resource.strip("/").lower())
    ]
    chosen = _limited(found, call.query)
    return {"requests": [call.shapes.request(each) for each in chosen], "total": len(found)}


async def show_request(call: ApiCall) -> JsonObject:
    """Return one request to the gateway."""
    text = call.path["n"]
    is_number = text.isascii() and text.isdigit() and len(text) < 16
    arrival = call.sandbox.account.arrival(int(text)) if is_number else None
    if arrival is None:
        raise ApiProblem(404, "the sandbox stores no request with this number")
    return call.shapes.request(arrival)


async def list_incoming(call: ApiCall) -> JsonObject:
    """Return the incoming messages."""
    return {"incoming": [call.shapes.incoming(each) for each in call.sandbox.account.incoming]}


async def list_pushes(call: ApiCall) -> JsonObject:
    """Return the attempts to push incoming messages."""
    return {"pushes": [call.shapes.push(each) for each in call.sandbox.account.pushes]}


async def tell_clock(call: ApiCall) -> JsonObject:
    """Return the clock."""
    return call.shapes.clock()


async def tell_account(call: ApiCall) -> JsonObject:
    """Return the account."""
    return call.shapes.account()


async def tell_faults(call: ApiCall) -> JsonObject:
    """Return the fault plan."""
    return call.shapes.fault_plan()


async def tell_info(call: ApiCall) -> JsonObject:
    """Return the addresses of the sandbox."""
    return call.shapes.info()


async def is_alive(_: ApiCall) -> JsonObject:
    """Return that the sandbox answers."""
    return {"status": "ok"}


def message_of(call: ApiCall) -> AcceptedMessage:
    """Return the message in the path: a segment id, or the number of a message.

    Raises:
        ApiProblem: if the sandbox does not store the message.
    """
    key, account = call.path["id"], call.sandbox.account
    message = account.message(key)
    if message is None and key.isascii() and key.isdigit() and len(key) < 16:
        message = account.message(int(key))
    if message is None:
        raise no_message()
    return message


def no_message() -> ApiProblem:
    """Return the error for a message that the sandbox does not store."""
    return ApiProblem(404, "the sandbox stores no message with this id or number")


def state_code(value: int | str, name: str = "state") -> int:
    """Return the code of a state that is given as a code or as a label.

    Raises:
        ApiProblem: if no state has the label.
    """
    if isinstance(value, int):
        return value
    text = value.strip().lower()
    if re.fullmatch(r"-?[0-9]{1,5}", text, re.ASCII):
        return int(text)
    found = next((state for state, label in STATE_LABELS.items() if label.lower() == text), None)
    if found is None:
        labels = ", ".join(f"{state} ({label})" for state, label in STATE_LABELS.items())
        raise ApiProblem(422, f"{name} must be the code or the label of a state: {labels}", name)
    return found


def _condition(call: ApiCall) -> Callable[[AcceptedMessage], bool]:
    """Return a function that tells whether a message fulfils the conditions of the query."""
    query, sandbox = call.query, call.sandbox
    to, source, text, after = query["to"], query["from"], query["text"], query["after"] or 0
    try:
        numbers = None if to is None else written_numbers(to)
    except ValueError:
        raise ApiProblem(422, "to must be a telephone number", "to") from None
    name = None if source is None else _address(source)
    part = None if text is None else text.casefold()
    terms: list[str] = [query["q"]] if query.get("q") else []
    if query.get("state") is not None:
        state: str | int = query["state"]
        code = state_code(state)
    else:
        code = None

    def fulfils(message: AcceptedMessage) -> bool:
        if (
            message.number <= after
            or (numbers is not None and message.destination_address not in numbers)
            or (name is not None and _address(message.source_address) != name)
            or (part is not None and part not in message.text.casefold())
        ):
            return False
        if code is None and not terms:
            return True
        parts = searched(sandbox, message)
        has_state = code is None or (parts.state is not None and parts.state.state == code)
        return has_state and all(matches(parts, term) for term in terms)

    return fulfils


def _address(text: str) -> str:
    """Return a source address for comparisons. The gateway accepts a number with or without a plus sign."""
    return text.strip().removeprefix("+").casefold()


def _limited(found: list[Any], query: Mapping[str, Any]) -> list[Any]:
    """Return at most `limit` items: the first ones after `after`, or without `after` the last ones."""
    limit = query["limit"]
    if limit is None:
        return found
    return found[:limit] if query["after"] is not None else found[max(0, len(found) - limit) :]


async def _wait_for(call: ApiCall, wanted: Callable[[AcceptedMessage], bool]) -> AcceptedMessage | None:
    """Return the newest message that fulfils a condition; None if the server stops first."""
    feed = call.sandbox.feed
    seen = feed.last
    candidates = call.sandbox.account.messages
    while True:
        found = next((each for each in reversed(candidates) if wanted(each)), None)
        if found is not None or not await feed.wait(seen):
            return found
        last, events = feed.last, feed.since(seen)
        if events is None:
            candidates = call.sandbox.account.messages
        else:
            candidates = [each.data for each in events if isinstance(each.data, AcceptedMessage)]
            last = events[-1].number if events else last
        seen = last


async def _unless_disconnected(request: Request, wait: Callable[[], Any], seconds: float) -> None:
    """Call a function until its end, until its time has passed, or until the client disconnects."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await wait()
            tasks.cancel_scope.cancel()
