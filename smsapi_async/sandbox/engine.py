"""The gateway without I/O: sessions, checks, prices, messages, states, incoming messages, statistics."""

import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter

import attrs

from smsapi_async.sandbox.account import AcceptedMessage, Account, Arrival
from smsapi_async.sandbox.answers import Answer, Refusal, method_not_allowed, not_found, refusal, success
from smsapi_async.sandbox.checks import (
    check_rest,
    checked_destinations,
    due,
    read_order,
    required,
    required_date,
)
from smsapi_async.sandbox.gateway_clock import GatewayClock
from smsapi_async.sandbox.journeys import DEFAULT_VALIDITY, JourneyRule, Timeline, timeline
from smsapi_async.sandbox.number_rules import GATEWAY_OFFSET
from smsapi_async.sandbox.splitting import split_text
from smsapi_async.sandbox.tables import (
    COUNTED_AS,
    COUNTS,
    DELIVERED,
    FINAL_STATES,
    QUEUED,
    RESOURCES,
    STATES,
    UNKNOWN,
    GatewayResource,
)
from smsapi_async.sandbox.wire import MIN_VALUE, Malformed, Value, to_utc

# A session id is valid for 120 minutes (contract, "Session"). A request to Sms/Statistics covers at most 90
# days (contract, "Sms/Statistics").
SESSION_LIFETIME = timedelta(minutes=120)
LONGEST_RANGE = timedelta(days=90)

_UTC = timedelta(0)
# A recipient whose number ends with 700 replies to a delivered message.
_ANSWERING = "700"
# The response of Sms/State for a segment that is not in the database (contract, "State object").
_UNKNOWN_STATE: dict[str, Value] = {
    "State": UNKNOWN,
    "CreationDateUtc": None,
    "SubmittedDateUtc": None,
    "ReportedDateUtc": None,
    "TimeStampUtc": MIN_VALUE,
    "StateDescription": STATES[UNKNOWN],
    "Price": None,
}


@attrs.frozen
class Rules:
    """The options of one sandbox. The docstring of `Sandbox` describes each option."""

    login: str
    password: str = attrs.field(repr=False)
    journey: JourneyRule
    expired_session_code: int
    unquoted_errors: bool
    alphanumeric_ids: bool


@attrs.frozen(repr=False)
class Incoming:
    """One incoming message. Sms/In does not return the message before its creation time."""

    id: int | str
    source_address: str
    destination_address: str
    text: str
    created_at: datetime


class Engine:
    """Processes the requests of one sandbox.

    The engine is not thread-safe: `Sandbox` holds a lock during every call.

    Args:
        rules: the options of the sandbox.
        clock: the clock of the sandbox, which a test can move forward.
        account: the account that records the accepted messages and counts the session ids.
        balance: the money on the account at the start.
        price: the price of one segment.
    """

    def __init__(
        self, rules: Rules, clock: GatewayClock, account: Account, *, balance: Decimal, price: Decimal
    ) -> None:
        self.rules = rules
        self.clock = clock
        self.account = account
        self.balance = balance
        self.price = price
        self.sessions: dict[str, datetime] = {}
        self.incoming: list[Incoming] = []
        self._history: list[tuple[datetime, Counter[int]]] = []
        self._segments: dict[str, tuple[Timeline, Decimal]] = {}
        self._segment_ids = (
            _alphanumeric_ids() if rules.alphanumeric_ids else map(str, itertools.count(_FIRST_ID))
        )
        # The ids of incoming messages begin with the id in the example of the vendor's document.
        self._incoming_ids = itertools.count(539187174, 40)
        self._handlers: dict[str, Callable[[Arrival, GatewayResource], Value]] = {
            "User/SessionId": self._log_in,
            "User/Balance": self._tell_balance,
            "Sms/Send": self._send,
            "Sms/SendByTimeZone": self._send,
            "Sms/SendBulk": self._send,
            "Sms/State": self._tell_state,
            "Sms/In": self._tell_incoming,
            "Sms/Statistics": self._tell_statistics,
        }

    def process(self, arrival: Arrival) -> Answer:
        """Process a request and return the response."""
        if arrival.resource is None:
            return not_found()
        resource = RESOURCES[arrival.resource.lower()]
        if arrival.method != resource.method:
            return method_not_allowed(resource.method)
        try:
            return success(self._handlers[resource.name](arrival, resource))
        except Refusal as error:
            return self.refuse(error)
        except Malformed as error:
            # The sandbox uses code 9 for a parameter that cannot be converted, because the contract defines
            # no code.
            return self.refuse(Refusal(9, str(error)))

    def refuse(self, error: Refusal) -> Answer:
        """Return the response with the error body of a refusal."""
        return refusal(error.code, error.description, unquoted=self.rules.unquoted_errors)

    def receive(self, source_address: str, destination_address: str, text: str, at: datetime) -> int | str:
        """Store an incoming message and return its id. `at` is the creation time, aware, in UTC."""
        number = next(self._incoming_ids)
        message_id = f"IN{number:X}" if self.rules.alphanumeric_ids else number
        self.incoming.append(Incoming(message_id, source_address, destination_address, text, at))
        return message_id

    def record_history(self, at: datetime, states: Counter[int]) -> None:
        """Add segments that only Sms/Statistics counts. `states` maps a state to a number of segments."""
        self._history.append((at, states))

    def expire_sessions(self) -> None:
        """End every session that is open now."""
        now = self.clock.now()
        # Keep the earlier of `ends_at` and `now`, because a session that has already expired must not get a
        # later end.
        self.sessions = {session: min(ends_at, now) for session, ends_at in self.sessions.items()}

    def _log_in(self, arrival: Arrival, _: GatewayResource) -> Value:
        login, password = (required(arrival.parameters, name) for name in ("Login", "Password"))
        if (login, password) != (self.rules.login, self.rules.password):
            raise Refusal(4, "Invalid user login or password")
        # 18 bytes are 36 hexadecimal digits, the length of a session id (contract, "user/sessionid").
        session = secrets.token_hex(18).upper()
        self.sessions[session] = self.clock.now() + SESSION_LIFETIME
        self.account.add_session()
        return session

    def _check_session(self, session: str) -> None:
        ends_at = self.sessions.get(session)
        if ends_at is None:
            raise Refusal(3)
        if self.clock.now() >= ends_at:
            # The contract allows the codes 3 and 4 for an expired session (contract, "Session").
            raise Refusal(4, "SessionID expired") if self.rules.expired_session_code == 4 else Refusal(3)

    def _tell_balance(self, arrival: Arrival, _: GatewayResource) -> Value:
        self._check_session(required(arrival.parameters, "SessionID"))
        return self.balance

    def _send(self, arrival: Arrival, resource: GatewayResource) -> Value:
        # The contract defines the order of the checks (contract, "Checks before a send").
        session, order = read_order(arrival.parameters, resource)
        self._check_session(session)
        pieces = split_text(order.text)
        price = self.price * len(pieces)
        if price * len(order.destinations) > self.balance:
            raise Refusal(5)
        destinations = checked_destinations(order.destinations)
        check_rest(order, destinations)
        # All checks precede the first change of the account, so that the sandbox accepts either all messages
        # of the request or none (contract, "Sms/SendBulk").
        accepted_at = self.clock.now()
        segment_ids: list[str] = []
        for digits in destinations:
            message = AcceptedMessage(
                destination_address=digits,
                source_address=order.source_address,
                text=order.text,
                segment_ids=tuple(itertools.islice(self._segment_ids, len(pieces))),
                send_date=due(order.send_date, digits, resource),
                validity=order.validity or None,
                accepted_at=accepted_at,
                price=price,
                resource=resource.name,
                arrival=arrival.index,
            )
            self._accept(message)
            segment_ids.extend(message.segment_ids)
        return segment_ids

    def _accept(self, message: AcceptedMessage) -> None:
        validity = timedelta(minutes=message.validity) if message.validity else DEFAULT_VALIDITY
        # A message with a send date in the past is sent at once.
        begins_at = max(message.accepted_at, message.send_date or message.accepted_at)
        timelines = [
            timeline(self.rules.journey(message, index), message.accepted_at, begins_at, validity)
            for index in range(len(message.segment_ids))
        ]
        self._segments.update(
            (segment_id, (line, self.price))
            for segment_id, line in zip(message.segment_ids, timelines, strict=True)
        )
        self.balance -= message.price
        self.account.add_message(message)
        # The recipient replies only if all segments are delivered. The creation time of the reply is the time
        # of the delivery, and Sms/In does not return the reply earlier.
        ends = [line.changes[-1] for line in timelines]
        if message.destination_address.endswith(_ANSWERING) and all(state == DELIVERED for _, state in ends):
            delivered_at = max(at for at, _ in ends)
            text = f"Re: {message.text[:20]}"
            self.receive(message.destination_address, message.source_address, text, delivered_at)

    def _tell_state(self, arrival: Arrival, _: GatewayResource) -> Value:
        session = required(arrival.parameters, "SessionID")
        message_id = required(arrival.parameters, "messageId", shown_as="MessageID")
        self._check_session(session)
        now = self.clock.now()
        line, price = self._segments.get(message_id, (None, Decimal(0)))
        if line is None or line.is_forgotten(now) or line.state(now) == UNKNOWN:
            return _UNKNOWN_STATE
        changes = line.until(now)
        changed_at, state = changes[-1]
        return {
            "State": state,
            "CreationDateUtc": changes[0][0],
            # A segment counts as submitted when its first state begins that is neither unknown (255) nor
            # queued (-2).
            "SubmittedDateUtc": next((at for at, each in changes if each not in {UNKNOWN, QUEUED}), None),
            "ReportedDateUtc": changed_at if state in FINAL_STATES else None,
            "TimeStampUtc": changed_at,
            # A test may define states for a segment that `STATES` does not contain.
            "StateDescription": STATES.get(state, STATES[UNKNOWN]),
            "Price": price,
        }

    def _tell_incoming(self, arrival: Arrival, resource: GatewayResource) -> Value:
        parameters = arrival.parameters
        until = to_utc(required_date(parameters, "maxDateUTC", resource, shown_as="maxDateUtc"), _UTC)
        earliest = parameters.date("minDateUTC")
        since = MIN_VALUE if earliest is None else to_utc(earliest, _UTC)
        self._check_session(required(parameters, "SessionID"))
        if since > until:
            raise Refusal(2, "minDateUTC can not be later than maxDateUTC")
        now = self.clock.now()
        found = [
            message
            for message in self.incoming
            if message.created_at <= now and _is_within(message.created_at, since, until)
        ]
        return [
            {
                "Data": message.text,
                "SourceAddress": message.source_address,
                "DestinationAddress": message.destination_address,
                "ID": message.id,
                "CreateDateUtc": message.created_at,
            }
            for message in sorted(found, key=attrgetter("created_at"))
        ]

    def _tell_statistics(self, arrival: Arrival, resource: GatewayResource) -> Value:
        parameters = arrival.parameters
        start = required_date(parameters, "startDateTime", resource)
        end = required_date(parameters, "endDateTime", resource)
        self._check_session(required(parameters, "SessionID"))
        if end - start > LONGEST_RANGE:
            raise Refusal(2, "Нельзя указывать диапазон дат более 90 дней.")
        if start > end:
            raise Refusal(2, "startDateTime can not be later than endDateTime")
        since, until = to_utc(start, GATEWAY_OFFSET), to_utc(end, GATEWAY_OFFSET)
        return _statistics(self._states_within(since, until))

    def _states_within(self, since: datetime, until: datetime) -> Counter[int]:
        now = self.clock.now()
        states: Counter[int] = Counter()
        for at, recorded in self._history:
            if _is_within(at, since, until):
                states.update(recorded)
        # Sms/Statistics also counts messages that are older than 48 hours, although Sms/State returns 255 for
        # these messages.
        for line, _ in self._segments.values():
            if _is_within(line.changes[0][0], since, until):
                states[line.state(now)] += 1
        return states


# Numeric segment ids begin with the segment id in the examples of the vendor's document.
_FIRST_ID = 579700854169272358


def _alphanumeric_ids() -> Iterator[str]:
    """Yield segment ids in the three forms that are not plain digits (contract, "Sms/Send")."""
    number = 0
    while True:
        yield f"GW{0x0261BA732A + number:010X}"
        yield f"WF{0x3F22A2E + number:07X}"
        yield f"SAR-W+{84333 + number}"
        number += 1


# Return whether `moment` is in the range from `since` to `until`, both included. The comparison ignores
# fractions of a second.
def _is_within(moment: datetime, since: datetime, until: datetime) -> bool:
    return since.replace(microsecond=0) <= moment.replace(microsecond=0) <= until.replace(microsecond=0)


def _statistics(states: Counter[int]) -> dict[str, Value]:
    counts = dict.fromkeys(COUNTS, 0)
    for state, number in states.items():
        counts[COUNTED_AS.get(state, "InProcess")] += number
    everything = sum(counts.values())
    # `Total` does not include the messages in `Errors`, and `TotalWithErrors` includes them.
    total = everything - counts["Errors"]
    ratio = round(Decimal(100 * counts["Delivered"]) / total, 2) if total else Decimal(0)
    return {**counts, "Total": total, "TotalWithErrors": everything, "DeliveryRatio": ratio}


def aware(moment: datetime) -> datetime:
    """Convert an aware datetime to UTC.

    Raises:
        ValueError: if `moment` is a naive datetime.
    """
    if moment.tzinfo is None:
        raise ValueError(
            "`at` is naive; pass an aware datetime, for example datetime(2026, 1, 1, tzinfo=UTC)"
        )
    return moment.astimezone(UTC)
