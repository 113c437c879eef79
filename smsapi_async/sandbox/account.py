"""The account: every request that arrived, and every message that the sandbox accepted."""

from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from threading import RLock
from typing import TypedDict, Unpack

import attrs

from smsapi_async.sandbox.answers import Answer
from smsapi_async.sandbox.bodies import UnreadableBody, body_pairs, form_pairs
from smsapi_async.sandbox.codes import find_code
from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.feed import Feed
from smsapi_async.sandbox.number_rules import written_numbers
from smsapi_async.sandbox.push_attempts import PUSH, PushAttempt
from smsapi_async.sandbox.steady import steady_repr
from smsapi_async.sandbox.tables import canonical_name
from smsapi_async.sandbox.wire import Parameters


class RequestParts(TypedDict):
    """The parts of a request that are known when the request arrives."""

    method: str
    target: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    resource: str | None
    at: datetime
    version: int
    reads_all_bodies: bool
    fault: Fault | None


@steady_repr
@attrs.define(eq=False, repr=False)
class Arrival:
    """One request that arrived at the sandbox.

    Attributes:
        index: the number of the request, from 0. As long as no request was removed (`keep`, `clear`), `index`
            is the position of the request in `Account.arrivals`. No number is used twice.
        method: the HTTP method of the request.
        target: the path and the query, percent-encoded as in the request.
        raw_headers: the names and values of the header fields, in their order, as bytes.
        body: the body of the request, unchanged.
        resource: the canonical name of the resource, for example "Sms/Send", for both versions of the
            interface; None if the path is unknown. A resource that only later documents have is also named if
            the dialect of the sandbox does not have the resource.
        at: the time at which the request arrived, by the sandbox's clock: an aware datetime in UTC.
        version: the version of the interface: 2 for a path below `/rest/v2`, 1 for all other paths.
        reads_all_bodies: whether `parameters` contains the parameters of JSON bodies, of multipart forms and
            of the bodies of GET requests.
        fault: the fault that the request got on the faulty line, also `Fault.PASS`; None if the request did
            not come over the faulty line.
        status: the HTTP status of the response; None until the sandbox sends the response.
        code: the error code of the response (contract, "Codes"); None if the response has no error code.
        answer: the response, with the header fields that the sandbox wrote; None until the sandbox sends the
            response. On the faulty line, a client may receive another response or none.
    """

    index: int
    method: str
    target: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    resource: str | None
    at: datetime
    version: int = 1
    reads_all_bodies: bool = False
    fault: Fault | None = None
    status: int | None = None
    code: int | None = None
    answer: Answer | None = None
    _parameters: Parameters | None = attrs.field(default=None, init=False)

    def __repr__(self) -> str:
        # A repr may get into a log or into the output of a failed test. The repr leaves out the target and
        # the body of the request, because they may contain the password, the session id and the text.
        return (
            f"<Arrival {self.index}: {self.method} {self.resource}, status {self.status}, code {self.code}>"
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields by lower-case name. For a repeated name, the mapping contains the last value."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.raw_headers}

    @property
    def parameters(self) -> Parameters:
        """The parameters of the query and of the body.

        Without `reads_all_bodies`, only the form of a POST request is read.

        Raises:
            ValueError: if the body is read as JSON and is not valid JSON.
        """
        if self._parameters is None:
            self._parameters = self._parsed()
        return self._parameters

    def _parsed(self) -> Parameters:
        query = self.target.partition("?")[2]
        if self.method != "POST" and not self.reads_all_bodies:
            return Parameters.parse(query)
        content_type = self.headers.get("content-type", "")
        return Parameters.parse(query, self.body, content_type, reads_all_bodies=self.reads_all_bodies)

    def end(self, answer: Answer) -> None:
        """Record the response, and free the memory of `parameters`. Only the sandbox calls this method."""
        self.status, self.code, self.answer = answer.status, answer.code, answer
        self._parameters = None

    @property
    def given(self) -> list[tuple[str, str]]:
        """The names and values of `parameters` in their order and in the spelling of the request.

        First come the parameters of the query, then those of the body. If the body cannot be read, the list
        has only the parameters of the query.
        """
        pairs = form_pairs(self.target.partition("?")[2])
        if self.method == "POST" or self.reads_all_bodies:
            content_type = self.headers.get("content-type", "")
            with suppress(UnreadableBody):
                pairs += body_pairs(self.body, content_type, reads_all_bodies=self.reads_all_bodies)
        return pairs


@steady_repr
@attrs.frozen(eq=False, repr=False)
class AcceptedMessage:
    """One message that the sandbox accepted and billed.

    Attributes:
        number: the number of the message: 1 for the first message of the sandbox, then 2, and so on. No
            number is used twice, also after `Sandbox.clear` and `Sandbox.reset`.
        destination_address: the digits of the destination address, without `+`.
        source_address: the source address of the message, as in the request.
        text: the whole text of the message.
        segment_ids: the segment ids of the message, in the order of the segments.
        send_date: the send date of the message, aware, in UTC; None means that the message is sent at once.
        validity: the validity of the message in minutes; None means the default of 48 hours.
        accepted_at: the time of the acceptance on the sandbox's clock, aware, in UTC.
        price: the price of all segments of the message together.
        resource: the canonical name of the resource that accepted the message, or "Push" for the reply of a
            handler to a pushed message.
        arrival: the `Arrival.index` of the request that sent the message, or -1 for the reply of a handler to
            a pushed message.
    """

    destination_address: str
    source_address: str
    text: str
    segment_ids: tuple[str, ...]
    send_date: datetime | None
    validity: int | None
    accepted_at: datetime
    price: Decimal
    resource: str
    arrival: int
    number: int = 0

    @property
    def code(self) -> str | None:
        """The login code in the text, as its digits, or None. `Sandbox.code_to` describes the rule."""
        return find_code(self.text)

    def __repr__(self) -> str:
        # The repr of a message masks the number and hides the text, because a repr may get into a log.
        number = f"{self.destination_address[:2]}***{self.destination_address[-2:]}"
        return (
            f"<AcceptedMessage to {number}: {len(self.text)} characters, {len(self.segment_ids)} segments, "
            f"by {self.resource}, arrival {self.arrival}>"
        )


@steady_repr
@attrs.frozen(eq=False, repr=False)
class AcceptedSegment:
    """One segment of an accepted message.

    Attributes:
        id: the segment id.
        text: the part of the text in this segment.
        changes: pairs (time, state) in the order of time, past and future. The times are aware datetimes in
            UTC on the sandbox's clock.
        price: the price of the segment.
    """

    id: str
    text: str
    changes: tuple[tuple[datetime, int], ...]
    price: Decimal

    def __repr__(self) -> str:
        return f"<AcceptedSegment: {len(self.text)} characters, {len(self.changes)} states>"


@steady_repr
@attrs.frozen(eq=False, repr=False)
class Incoming:
    """One incoming message. Sms/In does not return the message before its creation time.

    Attributes:
        id: the id of the message.
        source_address: the number from which the message was sent.
        destination_address: the number to which the message was sent.
        text: the text of the message.
        created_at: the creation time, aware, in UTC.
        prefix: the keyword at the beginning of the text, which only a push contains.
    """

    id: int | str
    source_address: str
    destination_address: str
    text: str
    created_at: datetime
    prefix: str = ""

    def __repr__(self) -> str:
        return f"<Incoming: {len(self.text)} characters>"


@steady_repr
class Account:
    """The requests and the messages of a sandbox, for the assertions of a test.

    `arrivals`, `messages`, `incoming` and `pushes` return copies of the lists. A test may read the copies
    while further requests arrive. Only the sandbox calls the `add_` methods and `answered`, `clear` and
    `reset`, and the sandbox holds its lock during the call.

    Args:
        lock: the lock of the sandbox, which protects the requests and the messages.
        feed: the feed that gets an event for each request, message and push.
        keep: the number of requests, messages, incoming messages and pushes that each list contains at most.
            The oldest ones are removed first. None means no limit.
    """

    def __init__(self, lock: RLock, feed: Feed | None = None, keep: int | None = None) -> None:
        self._lock = lock
        self._feed = Feed() if feed is None else feed
        self._keep = keep
        self._arrivals: deque[Arrival] = deque(maxlen=keep)
        self._messages: deque[AcceptedMessage] = deque()
        self._incoming: deque[Incoming] = deque(maxlen=keep)
        self._pushes: deque[PushAttempt] = deque(maxlen=keep)
        self._sessions = 0
        self._next_index = 0
        self._next_number = 1
        # The number of requests that `arrivals` no longer contains, by resource, status and version.
        self._gone: Counter[tuple[str | None, int | None, int]] = Counter()

    def __repr__(self) -> str:
        counts = f"{len(self._arrivals)} arrivals, {len(self._messages)} messages, {self._sessions} sessions"
        return f"<Account: {counts}>"

    @property
    def arrivals(self) -> list[Arrival]:
        """The requests, in the order of their arrival: all of them, or the last ones (`keep`)."""
        with self._lock:
            return list(self._arrivals)

    @property
    def messages(self) -> list[AcceptedMessage]:
        """The accepted messages, in the order of their acceptance: all of them, or the last ones (`keep`)."""
        with self._lock:
            return list(self._messages)

    @property
    def incoming(self) -> list[Incoming]:
        """The incoming messages, in the order in which the sandbox stored them, also future ones."""
        with self._lock:
            return list(self._incoming)

    @property
    def pushes(self) -> list[PushAttempt]:
        """The attempts to push a message to the handler, in the order of their beginning."""
        with self._lock:
            return list(self._pushes)

    @property
    def replies(self) -> list[AcceptedMessage]:
        """The replies of the handler to pushed messages. The list `messages` contains them, too."""
        return [message for message in self.messages if message.resource == PUSH]

    @property
    def logins(self) -> int:
        """The number of login requests that arrived, including refused login requests."""
        return self.count("User/SessionId")

    @property
    def sessions(self) -> int:
        """The number of session ids that the sandbox issued."""
        return self._sessions

    def count(
        self, resource: str | None = None, status: int | None = None, version: int | None = None
    ) -> int:
        """Return the number of requests that arrived, also of those that `keep` removed.

        Args:
            resource: count only the requests to this resource; the case of the name is ignored. None counts
                the requests to all paths.
            status: count only the requests that got a response with this HTTP status. None counts all
                requests, also requests without a response.
            version: count only the requests to this version of the interface, 1 or 2. None counts the
                requests to both versions.

        Raises:
            ValueError: if the gateway has no resource with this name.
        """
        name = canonical_name(resource)
        with self._lock:
            counts = self._gone.copy()
            counts.update(map(_facts, self._arrivals))
        return sum(
            number
            for (each, answered, interface), number in counts.items()
            if (name is None or each == name)
            and (status is None or answered == status)
            and (version is None or interface == version)
        )

    def sent_to(self, number: str) -> list[AcceptedMessage]:
        """Return the accepted messages to one destination address, in the order of their acceptance.

        Args:
            number: the digits of the destination address, with or without `+`.
        """
        return self.find(to=number)

    def find(self, to: str | None = None, text: str | None = None, after: int = 0) -> list[AcceptedMessage]:
        """Return the accepted messages that fulfil all conditions, in the order of their acceptance.

        Args:
            to: the destination address; all characters except digits are ignored, and a Russian mobile number
                may begin with 8 in place of 7. None means any address.
            text: a part of the text, in upper or lower case; None means any text.
            after: only messages with a greater `AcceptedMessage.number`.

        Raises:
            ValueError: if `to` contains no digit.
        """
        numbers = None if to is None else written_numbers(to)
        part = None if text is None else text.casefold()
        return [
            message
            for message in self.messages
            if message.number > after
            and (numbers is None or message.destination_address in numbers)
            and (part is None or part in message.text.casefold())
        ]

    def arrival(self, index: int) -> Arrival | None:
        """Return the request with this `Arrival.index`; None if it was removed or never arrived."""
        with self._lock:
            first = self._next_index - len(self._arrivals)
            return self._arrivals[index - first] if first <= index < self._next_index else None

    def message(self, key: str | int) -> AcceptedMessage | None:
        """Return a message, or None if the message was removed or never accepted.

        Args:
            key: the id of one of the segments of the message, as a str, or the `AcceptedMessage.number`, as
                an int.
        """
        found = (each for each in self.messages if key == each.number or key in each.segment_ids)
        return next(found, None)

    def add_arrival(self, **request: Unpack[RequestParts]) -> Arrival:
        """Record a request, and return the `Arrival` of the request."""
        request["raw_headers"] = tuple(map(_shared, request["raw_headers"]))
        arrival = Arrival(self._next_index, **request)
        self._next_index += 1
        if len(self._arrivals) == self._keep:
            self._gone[_facts(self._arrivals[0])] += 1
        self._arrivals.append(arrival)
        self._feed.append("request", arrival)
        return arrival

    def answered(self, arrival: Arrival, answer: Answer) -> None:
        """Record the response to a request."""
        is_gone = self.arrival(arrival.index) is not arrival
        if is_gone and self._gone[_facts(arrival)]:
            self._gone[_facts(arrival)] -= 1
            self._gone[arrival.resource, answer.status, arrival.version] += 1
        arrival.end(answer)
        if not is_gone:
            self._feed.append("answer", arrival)

    def next_number(self) -> int:
        """Return the number of the next message."""
        return self._next_number

    def add_message(self, message: AcceptedMessage) -> AcceptedMessage | None:
        """Record an accepted message, and return the message that was removed because of `keep`."""
        self._messages.append(message)
        self._next_number = message.number + 1
        self._feed.append("message", message)
        is_full = self._keep is not None and len(self._messages) > self._keep
        return self._messages.popleft() if is_full else None

    def add_incoming(self, message: Incoming) -> None:
        """Record an incoming message."""
        self._incoming.append(message)
        self._feed.append("incoming", message)

    def add_push(self, attempt: PushAttempt) -> None:
        """Record an attempt to push a message."""
        self._pushes.append(attempt)
        self._feed.append("push", attempt)

    def push_ended(self, attempt: PushAttempt) -> None:
        """Tell the feed that an attempt to push a message has ended."""
        self._feed.append("push", attempt)

    def add_session(self) -> None:
        """Count one more session id that the sandbox issued."""
        self._sessions += 1

    def clear(self) -> None:
        """Remove the requests, the messages, the incoming messages, the pushes and the counts of requests."""
        for entries in (self._arrivals, self._messages, self._incoming, self._pushes, self._gone):
            entries.clear()

    def reset(self) -> None:
        """Remove everything, also the number of sessions."""
        self.clear()
        self._sessions = 0


# A client sends nearly the same header fields with each request. Equal fields share their memory.
@lru_cache(maxsize=256)
def _shared(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return field


def _facts(arrival: Arrival) -> tuple[str | None, int | None, int]:
    return arrival.resource, arrival.status, arrival.version
