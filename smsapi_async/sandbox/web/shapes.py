"""The JSON objects of the control API: messages, requests, the clock, the account and the faults."""

import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from shlex import quote
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from smsapi_async.sandbox.account import AcceptedMessage, AcceptedSegment, Arrival, Incoming
from smsapi_async.sandbox.codes import find_code
from smsapi_async.sandbox.faults.plan import FaultPlan
from smsapi_async.sandbox.feed import FeedEvent
from smsapi_async.sandbox.gateway import Sandbox
from smsapi_async.sandbox.number_rules import recipient_offset
from smsapi_async.sandbox.push_attempts import PushAttempt
from smsapi_async.sandbox.splitting import costly_characters, encoding_of, utf16_units
from smsapi_async.sandbox.tables import description
from smsapi_async.sandbox.web.fault_presets import FAULT_KINDS, FAULT_PRESETS
from smsapi_async.sandbox.web.search import SearchedMessage, links_in
from smsapi_async.sandbox.web.secret_masks import MASK, SecretMask
from smsapi_async.sandbox.web.state_labels import STATE_LABELS, message_state, state_at

JsonObject: TypeAlias = dict[str, Any]

_MINUTE = timedelta(minutes=1)
_CENTS = -2
_LEFT_OUT_OF_CURL = frozenset(
    {"host", "content-length", "connection", "accept-encoding", "transfer-encoding"}
)


class Shapes:
    """The JSON objects of one sandbox, for the clients that reach the sandbox under one host and port.

    Args:
        sandbox: the sandbox.
        authority: the host and the port in the URL of the client.
    """

    def __init__(self, sandbox: Sandbox, authority: str) -> None:
        self._sandbox = sandbox
        self._base_url = f"http://{authority}/rest"
        self._host = authority.rpartition(":")[0] if not authority.endswith("]") else authority
        self._host = self._host or authority

    def state(self) -> JsonObject:
        """Return everything that the page shows."""
        sandbox, account = self._sandbox, self._sandbox.account
        # Read the number first: an event that the lists already contain does no harm.
        last = sandbox.feed.last
        return {
            "messages": self.messages(account.messages),
            "incoming": [self.incoming(each) for each in account.incoming],
            "requests": [self.request(each) for each in account.arrivals],
            "pushes": [self.push(each) for each in account.pushes],
            "clock": self.clock(),
            "account": self.account(),
            "info": self.info(),
            "faults": self.faults(),
            "last": last,
        }

    def messages(self, messages: Iterable[AcceptedMessage]) -> list[JsonObject]:
        """Return the messages that the sandbox still stores."""
        return [shape for each in messages if (shape := self.message(each)) is not None]

    def message(self, message: AcceptedMessage) -> JsonObject | None:
        """Return a message, or None if the sandbox no longer stores the message."""
        segments = stored_segments(self._sandbox, message)
        if not segments:
            return None
        now = self._sandbox.now()
        state = message_state(message, segments, now)
        text = message.text
        hint = costly_characters(text)
        return {
            "number": message.number,
            "id": message.segment_ids[0],
            "destination_address": message.destination_address,
            "source_address": message.source_address,
            "text": text,
            "encoding": encoding_of(text),
            "segments": [
                {
                    "id": each.id,
                    "text": each.text,
                    "timeline": [[iso(at), code] for at, code in each.changes],
                    "state": state_at(each, now),
                    "price": money(each.price),
                }
                for each in segments
            ],
            "state": state.state,
            "label": state.label,
            "price": money(message.price),
            "hint": None if hint is None else {"characters": hint.characters, "segments": hint.segments},
            "accepted_at": iso(message.accepted_at),
            "send_date": None if message.send_date is None else iso(message.send_date),
            "validity": message.validity,
            "utc_offset": recipient_offset(message.destination_address) // _MINUTE,
            "resource": message.resource,
            "request": None if message.arrival < 0 else message.arrival,
            "code": find_code(text),
            "links": links_in(text),
        }

    def incoming(self, message: Incoming) -> JsonObject:
        """Return an incoming message."""
        return {
            "id": message.id,
            "source_address": message.source_address,
            "destination_address": message.destination_address,
            "text": message.text,
            "prefix": message.prefix,
            "created_at": iso(message.created_at),
        }

    def request(self, arrival: Arrival) -> JsonObject:
        """Return a request to the gateway and its answer, without the secrets of real accounts."""
        mask = SecretMask.of(arrival, self._sandbox.password, self._sandbox.has_issued)
        target, body = mask.raw(arrival.target), mask.raw(arrival.body.decode("utf-8", "replace"))
        headers = [
            [name, mask.header(name, value)]
            for name, value in (
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in arrival.raw_headers
            )
        ]
        answer = arrival.answer
        return {
            "index": arrival.index,
            "at": iso(arrival.at),
            "method": arrival.method,
            "resource": arrival.resource,
            "version": arrival.version,
            "target": target,
            "headers": headers,
            "body": body,
            "parameters": [
                {
                    "name": mask.text(name),
                    "value": mask.value(name, value),
                    "note": self._note(arrival, name, value, mask),
                }
                for name, value in arrival.given
            ],
            "status": arrival.status,
            "code": arrival.code,
            "fault": None if arrival.fault is None else arrival.fault.value,
            "answer_headers": [] if answer is None else [list(item) for item in answer.headers.items()],
            "answer": "" if answer is None else mask.text(answer.body.decode("utf-8", "replace")),
            "curl": self._curl(arrival.method, target, headers, body),
        }

    def _note(self, arrival: Arrival, name: str, value: str, mask: SecretMask) -> str | None:
        """Return what the page says about a parameter, or None."""
        known = name.lower()
        if known == "password":
            return None if value == mask.own else "not the sandbox's password, so the value is masked"
        if known in {"sessionid", "session_id"}:
            if mask.text(value) == MASK:
                return "not a session id of the sandbox, so the value is masked"
            end = self._sandbox.end_of_session(value)
            if end is None:
                return "not a session id of the sandbox"
            return f"open, {_duration(end - arrival.at)} left" if arrival.at < end else "expired"
        if known == "data":
            units = utf16_units(value)
            return f"{units} {'character' if units == 1 else 'characters'}, {encoding_of(value)}"
        return {"validity": "minutes"}.get(known)

    def push(self, attempt: PushAttempt) -> JsonObject:
        """Return an attempt to push an incoming message."""
        return {
            "message_id": attempt.message_id,
            "attempt": attempt.attempt,
            "at": iso(attempt.at),
            "status": attempt.status,
            "error": attempt.error,
            "reply": attempt.reply,
        }

    def clock(self) -> JsonObject:
        """Return the clock of the sandbox."""
        sandbox = self._sandbox
        return {"now": iso(sandbox.now()), "running": sandbox.running, "speed": sandbox.speed}

    def account(self) -> JsonObject:
        """Return the account, the prepared responses and the gates."""
        sandbox, account = self._sandbox, self._sandbox.account
        addresses = sandbox.source_addresses
        return {
            "balance": money(sandbox.balance),
            "price": money(sandbox.price),
            "latency": float(sandbox.latency),
            "sessions": {"open": sandbox.open_sessions, "given": account.sessions},
            "logins": account.logins,
            "source_addresses": None if addresses is None else list(addresses),
            "prepared": [
                {
                    "resource": each.resource,
                    "status": each.answer.status,
                    "code": each.answer.code,
                    "times": each.times,
                    "accept": each.accept,
                }
                for each in sandbox.prepared
            ],
            "gates": [
                {"resource": each.resource, "caught": each.caught, "held": each.held}
                for each in sandbox.gates
            ],
            "held": sum(each.held for each in sandbox.gates),
        }

    def info(self) -> JsonObject:
        """Return the addresses of the sandbox, and its login and password, which protect nothing."""
        sandbox = self._sandbox
        origin = self._base_url.removesuffix("/rest")
        return {
            "base_url": self._base_url,
            "login": sandbox.login,
            "password": sandbox.password,
            "api": f"{origin}/api/v1",
            "page": f"{origin}/",
            "faults_url": self._faults_url(),
            "version": _package_version(),
            "instance": instance_of(sandbox),
            "keep": sandbox.keep,
            "states": {str(state): label for state, label in STATE_LABELS.items()},
            "state_descriptions": {str(state): description(state, "document") for state in STATE_LABELS},
        }

    def faults(self) -> JsonObject:
        """Return the faulty line: its address, its plan, and the faults so far."""
        return {
            "base_url": self._faults_url(),
            "plan": self._plan(),
            "presets": FAULT_PRESETS,
            "kinds": FAULT_KINDS,
            "history": self.history(),
        }

    def fault_plan(self) -> JsonObject:
        """Return the plan of the faulty line with its address and the faults so far."""
        return {**self._plan(), "base_url": self._faults_url(), "history": self.history()}

    def _plan(self) -> JsonObject:
        proxy = self._sandbox.proxy
        return plan_document(FaultPlan() if proxy is None else proxy.plan)

    def history(self) -> list[JsonObject]:
        """Return the faults so far, in their order."""
        proxy, mask = self._sandbox.proxy, SecretMask(self._sandbox.password, ())
        return [
            {
                "number": each.number,
                "resource": mask.text(f"/{each.resource}")[1:],
                "fault": each.fault.value,
                "passed_on": each.passed_on,
            }
            for each in (() if proxy is None else proxy.history)
        ]

    def event(self, event: FeedEvent) -> JsonObject | None:
        """Return the data of an event, or None if the sandbox no longer stores the object of the event."""
        shape = _EVENT_SHAPES.get(type(event.data))
        if shape is not None:
            return shape(self, event.data)
        current: dict[str, Callable[[], JsonObject]] = {
            "clock": self.clock,
            "account": self.account,
            "faults": self.faults,
        }
        return current.get(event.kind, dict)()

    def _faults_url(self) -> str | None:
        proxy = self._sandbox.proxy
        return None if proxy is None else f"http://{self._host}:{proxy.port}/rest"

    def _curl(self, method: str, target: str, headers: list[list[str]], body: str) -> str:
        words = (
            ["curl", "-X", method]
            if method not in {"GET", "POST"} or (method == "POST" and not body)
            else ["curl"]
        )
        for name, value in headers:
            if name.lower() not in _LEFT_OUT_OF_CURL and value != MASK:
                words += ["-H", f"{name}: {value}"]
        if body:
            words += [*(["-X", "GET"] if method == "GET" else []), "--data-binary", body]
        return " ".join(map(quote, [*words, self._base_url.removesuffix("/rest") + target]))


_EVENT_SHAPES: dict[type, Callable[[Shapes, Any], JsonObject | None]] = {
    AcceptedMessage: Shapes.message,
    Arrival: Shapes.request,
    Incoming: Shapes.incoming,
    PushAttempt: Shapes.push,
}


def searched(sandbox: Sandbox, message: AcceptedMessage) -> SearchedMessage:
    """Return the parts of a message that the search reads."""
    segments = stored_segments(sandbox, message)
    return SearchedMessage(
        to=message.destination_address,
        source=message.source_address,
        text=message.text,
        code=find_code(message.text),
        links=links_in(message.text),
        state=message_state(message, segments, sandbox.now()) if segments else None,
    )


def stored_segments(sandbox: Sandbox, message: AcceptedMessage) -> list[AcceptedSegment]:
    """Return the segments of a message; empty if the sandbox no longer stores the message."""
    try:
        return sandbox.segments(message)
    except LookupError:
        return []


def plan_document(plan: FaultPlan) -> JsonObject:
    """Return a fault plan as JSON, with all fields."""
    return {
        "faults": [fault.value for fault in plan.faults],
        "rules": [
            {
                "fault": rule.fault.value,
                "resource": rule.resource,
                "times": rule.times,
                "probability": rule.probability,
                "after": rule.after,
                "retry_after": rule.retry_after,
            }
            for rule in plan.rules
        ],
        "weights": {fault.value: weight for fault, weight in plan.weights.items()},
        "resource": plan.resource,
        "seed": plan.seed,
        "retry_after": plan.retry_after,
    }


def iso(moment: datetime) -> str:
    """Return an aware datetime as ISO 8601 in UTC, with milliseconds and `Z`.

    All texts have the same length, so that their alphabetical order is their order in time.
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def money(amount: Decimal) -> str:
    """Return an amount of money with at least two digits after the decimal point."""
    exponent = amount.as_tuple().exponent
    return f"{amount:.2f}" if isinstance(exponent, int) and exponent > _CENTS else f"{amount:f}"


def _duration(time: timedelta) -> str:
    hours, minutes = divmod(round(time.total_seconds() / 60), 60)
    return f"{hours} h {minutes} min"


@cache
def _package_version() -> str:
    try:
        return version("smsapi-async")
    except PackageNotFoundError:
        return ""


_INSTANCES: WeakKeyDictionary[Sandbox, str] = WeakKeyDictionary()


def instance_of(sandbox: Sandbox) -> str:
    """Return a text that another sandbox does not have, for example the sandbox after a restart."""
    return _INSTANCES.setdefault(sandbox, secrets.token_hex(8))
