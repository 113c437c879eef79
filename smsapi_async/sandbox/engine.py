"""The gateway without I/O: sessions, checks, prices, messages, states, incoming messages, statistics."""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter

import attrs

from smsapi_async.sandbox.account import AcceptedMessage, Account, Arrival, Incoming
from smsapi_async.sandbox.answers import Answer, Refusal, method_not_allowed, not_found, refusal, success
from smsapi_async.sandbox.archive import Archive
from smsapi_async.sandbox.checks import (
    LONGEST_TEXT,
    check_rest,
    checked_destinations,
    due,
    read_credentials,
    read_order,
    required,
    required_date,
)
from smsapi_async.sandbox.dialect import Dialect
from smsapi_async.sandbox.gateway_clock import GatewayClock
from smsapi_async.sandbox.id_styles import Ids
from smsapi_async.sandbox.journeys import DEFAULT_VALIDITY, JourneyRule, Timeline, timeline
from smsapi_async.sandbox.number_rules import destination_digits
from smsapi_async.sandbox.push_attempts import PUSH
from smsapi_async.sandbox.splitting import split_text, utf16_units
from smsapi_async.sandbox.tables import (
    BULK_BY_TIME_ZONE,
    COUNTED_AS,
    COUNTS,
    DELIVERED,
    FINAL_STATES,
    LOGIN,
    QUEUED,
    RESOURCES,
    UNKNOWN,
    GatewayResource,
    description,
)
from smsapi_async.sandbox.wire import MIN_VALUE, Malformed, Value, to_utc

# A session id is valid for 120 minutes (contract, "Session"). A request to Sms/Statistics covers at most 90
# days (contract, "Sms/Statistics").
SESSION_LIFETIME = timedelta(minutes=120)
LONGEST_RANGE = timedelta(days=90)

# A recipient whose number ends with 700 replies to a delivered message.
_ANSWERING = "700"


@attrs.frozen
class Rules:
    """The options of one sandbox. The docstring of `Sandbox` describes each option."""

    login: str
    password: str = attrs.field(repr=False)
    journey: JourneyRule
    dialect: Dialect


class Engine:
    """Processes the requests of one sandbox.

    The engine is not thread-safe: `Sandbox` holds a lock during every call.

    Args:
        rules: the options of the sandbox.
        clock: the clock of the sandbox, which a test can move forward.
        account: the account that records the accepted messages and counts the session ids.
        balance: the money on the account at the start.
        price: the price of one segment.
        keep: the number of sessions that the engine remembers, if the older ones have expired; None means no
            limit.
    """

    def __init__(
        self,
        rules: Rules,
        clock: GatewayClock,
        account: Account,
        *,
        balance: Decimal,
        price: Decimal,
        keep: int | None = None,
    ) -> None:
        self.keep = keep
        self.rules = rules
        self.dialect = rules.dialect
        self.clock = clock
        self.account = account
        self.balance = balance
        self.price = price
        # The source addresses that the account may use; None means all valid source addresses.
        self.source_addresses: tuple[str, ...] | None = None
        self.sessions: dict[str, datetime] = {}
        # The sandbox replaces this function by a function that pushes the message.
        self.on_incoming: Callable[[Incoming], object] = lambda _: None
        self._history: list[tuple[datetime, Counter[int]]] = []
        # The segments of the messages in the account, and the segments of the messages that `keep` removed.
        self._segments: dict[str, tuple[Timeline, Decimal]] = {}
        self._archive = Archive()
        self._ids = Ids(self.dialect.id_style, self.dialect.incoming_id)
        self._handlers: dict[str, Callable[[Arrival, GatewayResource], Value]] = {
            LOGIN: self._log_in,
            "User/Balance": self._tell_balance,
            "Sms/Send": self._send,
            "Sms/SendByTimeZone": self._send,
            "Sms/SendBulk": self._send,
            BULK_BY_TIME_ZONE: self._send,
            "Sms/State": self._tell_state,
            "Sms/In": self._tell_incoming,
            "Sms/Statistics": self._tell_statistics,
        }

    def process(self, arrival: Arrival) -> Answer:
        """Process a request and return the response."""
        if arrival.resource is None or not self._has(arrival.resource, arrival.version):
            return not_found()
        resource = RESOURCES[arrival.resource.lower()]
        methods = [resource.method]
        if resource.method == "GET" and self.dialect.accepts_post_to_read:
            methods.append("POST")
        if arrival.method not in methods:
            return method_not_allowed(", ".join(methods))
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
        return refusal(error, unquoted=self.dialect.unquoted_errors)

    def _has(self, resource: str, version: int) -> bool:
        if version == 2 and not self.dialect.version_2:
            return False
        return resource != BULK_BY_TIME_ZONE or self.dialect.bulk_by_time_zone != "absent"

    def receive(
        self, source_address: str, destination_address: str, text: str, at: datetime, prefix: str = ""
    ) -> int | str:
        """Store an incoming message and return its id. `at` is the creation time, aware, in UTC."""
        message_id = self._ids.of_incoming()
        message = Incoming(message_id, source_address, destination_address, text, at, prefix)
        self.account.add_incoming(message)
        self.on_incoming(message)
        return message_id

    def accept_reply(self, question: Incoming, text: str) -> bool:
        """Accept and bill the reply that a handler gave to a push. Return whether the reply was accepted.

        Args:
            question: the pushed message. The reply goes to its source address.
            text: the text of the reply.
        """
        pieces = split_text(text)
        digits = destination_digits(question.source_address, accepts_trunk_prefix=True)
        price = self.price * len(pieces)
        if not text or utf16_units(text) > LONGEST_TEXT or digits is None or price > self.balance:
            return False
        self._accept(
            AcceptedMessage(
                destination_address=digits,
                source_address=question.destination_address,
                text=text,
                segment_ids=self._ids.of_segments(digits, len(pieces)),
                send_date=None,
                validity=None,
                accepted_at=self.clock.now(),
                price=price,
                resource=PUSH,
                arrival=-1,
                number=self.account.next_number(),
            )
        )
        return True

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
        self._check_login(login, password)
        # 18 bytes are 36 hexadecimal digits, the length of a session id (contract, "user/sessionid").
        session = secrets.token_hex(18).upper()
        self._forget_sessions()
        self.sessions[session] = self.clock.now() + SESSION_LIFETIME
        self.account.add_session()
        return session

    def _forget_sessions(self) -> None:
        # A session that ended long ago is invalid in place of expired. With `keep`, the memory has a limit.
        if self.keep is None or len(self.sessions) < self.keep:
            return
        oldest = next(iter(self.sessions))
        if self.sessions[oldest] <= self.clock.now():
            del self.sessions[oldest]

    def _check_credentials(self, credentials: tuple[str, ...]) -> None:
        if len(credentials) == 1:
            self._check_session(*credentials)
        else:
            self._check_login(*credentials)

    def _check_login(self, login: str, password: str) -> None:
        if (login, password) != (self.rules.login, self.rules.password):
            raise Refusal(4, "Invalid user login or password", self.dialect.refused_login_status)

    def _check_session(self, session: str) -> None:
        ends_at = self.sessions.get(session)
        if ends_at is None:
            raise Refusal(3)
        if self.clock.now() >= ends_at:
            # The contract allows the codes 3 and 4 for an expired session (contract, "Session").
            raise Refusal(4, "SessionID expired") if self.dialect.expired_session_code == 4 else Refusal(3)

    def _tell_balance(self, arrival: Arrival, _: GatewayResource) -> Value:
        self._check_credentials(read_credentials(arrival))
        return self.balance

    def _send(self, arrival: Arrival, resource: GatewayResource) -> Value:
        if resource.name == BULK_BY_TIME_ZONE and self.dialect.bulk_by_time_zone == "refused":
            # The gateway refuses the resource, whatever the other parameters are.
            self._check_credentials(read_credentials(arrival))
            raise Refusal(6)
        # The contract defines the order of the checks (contract, "Checks before a send").
        credentials, order = read_order(arrival, resource)
        self._check_credentials(credentials)
        pieces = split_text(order.text)
        price = self.price * len(pieces)
        if price * len(order.destinations) > self.balance:
            raise Refusal(5)
        destinations = checked_destinations(order.destinations, self.dialect, arrival.version)
        check_rest(order, destinations, self.source_addresses)
        # All checks precede the first change of the account, so that the sandbox accepts either all messages
        # of the request or none (contract, "Sms/SendBulk").
        accepted_at = self.clock.now()
        segment_ids: list[str] = []
        for digits in destinations:
            message = AcceptedMessage(
                destination_address=digits,
                source_address=order.source_address,
                text=order.text,
                segment_ids=self._ids.of_segments(digits, len(pieces)),
                send_date=due(order.send_date, digits, resource, self.dialect),
                validity=order.validity or None,
                accepted_at=accepted_at,
                price=price,
                resource=resource.name,
                arrival=arrival.index,
                number=self.account.next_number(),
            )
            self._accept(message)
            segment_ids.extend(message.segment_ids)
        return segment_ids

    def _accept(self, message: AcceptedMessage) -> None:
        # A message with a send date in the past is sent at once.
        begins_at = max(message.accepted_at, message.send_date or message.accepted_at)
        timelines = [
            timeline(self.rules.journey(message, index), message.accepted_at, begins_at, _validity(message))
            for index in range(len(message.segment_ids))
        ]
        self._segments.update(
            (segment_id, (line, self.price))
            for segment_id, line in zip(message.segment_ids, timelines, strict=True)
        )
        self.balance -= message.price
        self._archive_segments(self.account.add_message(message))
        if message.resource == PUSH:
            # The recipient does not reply to a reply, because such a conversation would never end.
            return
        # The recipient replies only if all segments are delivered. The creation time of the reply is the time
        # of the delivery, and Sms/In does not return the reply earlier.
        ends = [line.changes[-1] for line in timelines]
        if message.destination_address.endswith(_ANSWERING) and all(state == DELIVERED for _, state in ends):
            delivered_at = max(at for at, _ in ends)
            text = f"Re: {message.text[:20]}"
            self.receive(message.destination_address, message.source_address, text, delivered_at)

    def _archive_segments(self, removed: AcceptedMessage | None) -> None:
        for segment_id in () if removed is None else removed.segment_ids:
            line, price = self._segments.pop(segment_id)
            # The sandbox created the id, so the id has a place.
            self._archive.add(self._ids.place(segment_id) or 0, line, price)
        self._archive.forget(self.clock.now())

    def segments_of(self, message: AcceptedMessage) -> list[tuple[Timeline, Decimal]]:
        """Return the states and the price of each segment; empty if the message was removed."""
        found = map(self._segments.get, message.segment_ids)
        return [segment for segment in found if segment is not None]

    def set_state(self, message: AcceptedMessage, segment_ids: Iterable[str], state: int) -> None:
        """Change the state of segments of a message from now on."""
        now = self.clock.now()
        for segment_id in segment_ids:
            line, price = self._segments[segment_id]
            self._segments[segment_id] = line.with_state(state, now, _validity(message)), price

    def clear(self) -> None:
        """Remove the states of all segments, and the history."""
        self._history.clear()
        self._segments.clear()
        self._archive = Archive()

    def _find(self, segment_id: str) -> tuple[Timeline, Decimal] | None:
        found = self._segments.get(segment_id)
        if found is None and len(self._archive):
            place = self._ids.place(segment_id)
            found = None if place is None else self._archive.find(place)
        return found

    def _tell_state(self, arrival: Arrival, _: GatewayResource) -> Value:
        credentials = read_credentials(arrival)
        message_id = required(arrival.parameters, "messageId", shown_as="MessageID")
        self._check_credentials(credentials)
        now = self.clock.now()
        found = self._find(message_id)
        if found is None and self.dialect.finds_unescaped_ids:
            found = self._find(message_id.replace(" ", "+"))
        line, price = found or (None, Decimal(0))
        if line is None or line.is_forgotten(now) or line.state(now) == UNKNOWN:
            return self._unknown_state()
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
            "StateDescription": description(state, self.dialect.state_descriptions),
            "Price": price,
        }

    def _unknown_state(self) -> Value:
        """Return the response of Sms/State for a segment that is not in the database."""
        return {
            "State": UNKNOWN,
            "CreationDateUtc": None,
            "SubmittedDateUtc": None,
            "ReportedDateUtc": None,
            "TimeStampUtc": MIN_VALUE,
            "StateDescription": description(UNKNOWN, self.dialect.state_descriptions),
            "Price": None,
        }

    def _tell_incoming(self, arrival: Arrival, resource: GatewayResource) -> Value:
        parameters = arrival.parameters
        until = to_utc(required_date(parameters, "maxDateUTC", resource, shown_as="maxDateUtc"), UTC)
        if self.dialect.strict_incoming_range:
            earliest: datetime | None = required_date(parameters, "minDateUTC", resource, "minDateUtc")
        else:
            earliest = parameters.date("minDateUTC")
        since = MIN_VALUE if earliest is None else to_utc(earliest, UTC)
        self._check_credentials(read_credentials(arrival))
        now = self.clock.now()
        self._check_incoming_range(since, until, now)
        found = [
            message
            for message in self.account.incoming
            if message.created_at <= now and _is_within(message.created_at, since, until)
        ]
        return [
            {
                "Data": message.text,
                "SourceAddress": message.source_address,
                "DestinationAddress": message.destination_address,
                "ID": message.id,
                self.dialect.incoming_date: message.created_at,
            }
            for message in sorted(found, key=attrgetter("created_at"))
        ]

    def _check_incoming_range(self, since: datetime, until: datetime, now: datetime) -> None:
        if since > until:
            raise Refusal(2, "minDateUTC can not be later than maxDateUTC")
        if not self.dialect.strict_incoming_range:
            return
        if since == until:
            raise Refusal(2, "maxDateUTC must be later than minDateUTC")
        if since < _a_year_before(now).replace(microsecond=0):
            raise Refusal(2, "minDateUTC can not be more than one year ago")

    def _tell_statistics(self, arrival: Arrival, resource: GatewayResource) -> Value:
        parameters = arrival.parameters
        start = required_date(parameters, "startDateTime", resource)
        end = required_date(parameters, "endDateTime", resource)
        self._check_credentials(read_credentials(arrival))
        if end - start > LONGEST_RANGE:
            raise Refusal(2, "Нельзя указывать диапазон дат более 90 дней.")
        if start > end:
            raise Refusal(2, "startDateTime can not be later than endDateTime")
        since, until = (to_utc(moment, self.dialect.gateway_time_zone) for moment in (start, end))
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
            if _is_within(line.accepted_at, since, until):
                states[line.state(now)] += 1
        states.update(self._archive.states_within(since, until, now))
        return states


def _validity(message: AcceptedMessage) -> timedelta:
    return timedelta(minutes=message.validity) if message.validity else DEFAULT_VALIDITY


# Return whether `moment` is in the range from `since` to `until`, both included. The comparison ignores
# fractions of a second.
def _is_within(moment: datetime, since: datetime, until: datetime) -> bool:
    return since.replace(microsecond=0) <= moment.replace(microsecond=0) <= until.replace(microsecond=0)


def _a_year_before(moment: datetime) -> datetime:
    # 29 February has no counterpart in the year before.
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    return moment.replace(year=moment.year - 1, day=day) if moment.year > 1 else moment


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
