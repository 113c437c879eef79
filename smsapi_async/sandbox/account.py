"""The account: every request that arrived, and every message that the sandbox accepted."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from threading import RLock
from typing import TypedDict, Unpack

import attrs

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


@steady_repr
@attrs.define(eq=False, repr=False, slots=False)
class Arrival:
    """One request that arrived at the sandbox.

    Attributes:
        index: the position of the request in `Account.arrivals`, from 0.
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
        status: the HTTP status of the response; None until the sandbox sends the response.
        code: the error code of the response (contract, "Codes"); None if the response has no error code.
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
    status: int | None = None
    code: int | None = None

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

    @cached_property
    def parameters(self) -> Parameters:
        """The parameters of the query and of the body.

        Without `reads_all_bodies`, only the form of a POST request is read.

        Raises:
            ValueError: if the body is read as JSON and is not valid JSON.
        """
        query = self.target.partition("?")[2]
        if self.method != "POST" and not self.reads_all_bodies:
            return Parameters.parse(query)
        content_type = self.headers.get("content-type", "")
        return Parameters.parse(query, self.body, content_type, reads_all_bodies=self.reads_all_bodies)


@steady_repr
@attrs.frozen(eq=False, repr=False)
class AcceptedMessage:
    """One message that the sandbox accepted and billed.

    Attributes:
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
        arrival: the index in `Account.arrivals` of the request that sent the message, or -1 for the reply of
            a handler to a pushed message.
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

    def __repr__(self) -> str:
        # The repr of a message masks the number and hides the text, because a repr may get into a log.
        number = f"{self.destination_address[:2]}***{self.destination_address[-2:]}"
        return (
            f"<AcceptedMessage to {number}: {len(self.text)} characters, {len(self.segment_ids)} segments, "
            f"by {self.resource}, arrival {self.arrival}>"
        )


@steady_repr
class Account:
    """The requests and the messages of a sandbox, for the assertions of a test.

    `arrivals` and `messages` return copies of the lists. A test may read the copies while further requests
    arrive. Only the sandbox calls the `add_` methods, and the sandbox holds its lock during the call.

    Args:
        lock: the lock of the sandbox, which protects the requests and the messages.
    """

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self._arrivals: list[Arrival] = []
        self._messages: list[AcceptedMessage] = []
        self._pushes: list[PushAttempt] = []
        self._sessions = 0

    def __repr__(self) -> str:
        counts = f"{len(self._arrivals)} arrivals, {len(self._messages)} messages, {self._sessions} sessions"
        return f"<Account: {counts}>"

    @property
    def arrivals(self) -> list[Arrival]:
        """All requests, in the order of their arrival."""
        with self._lock:
            return list(self._arrivals)

    @property
    def messages(self) -> list[AcceptedMessage]:
        """All accepted messages, in the order of their acceptance."""
        with self._lock:
            return list(self._messages)

    @property
    def pushes(self) -> list[PushAttempt]:
        """All attempts to push a message to the handler, in the order of their beginning."""
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
        """Return the number of requests that arrived.

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
        return sum(
            (name is None or arrival.resource == name)
            and (status is None or arrival.status == status)
            and (version is None or arrival.version == version)
            for arrival in self.arrivals
        )

    def sent_to(self, number: str) -> list[AcceptedMessage]:
        """Return the accepted messages to one destination address, in the order of their acceptance.

        Args:
            number: the digits of the destination address, with or without `+`.
        """
        digits = number.removeprefix("+")
        return [message for message in self.messages if message.destination_address == digits]

    def add_arrival(self, **request: Unpack[RequestParts]) -> Arrival:
        """Record a request, and return the `Arrival` of the request."""
        arrival = Arrival(len(self._arrivals), **request)
        self._arrivals.append(arrival)
        return arrival

    def add_message(self, message: AcceptedMessage) -> None:
        """Record an accepted message."""
        self._messages.append(message)

    def add_push(self, attempt: PushAttempt) -> None:
        """Record an attempt to push a message."""
        self._pushes.append(attempt)

    def add_session(self) -> None:
        """Count one more session id that the sandbox issued."""
        self._sessions += 1
