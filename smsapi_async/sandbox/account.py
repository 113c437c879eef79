"""The account of arrivals: every request as it came, and every message it had accepted."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from threading import RLock
from typing import TypedDict, Unpack

import attrs

from smsapi_async.sandbox.tables import canonical_name
from smsapi_async.sandbox.wire import Parameters


class RequestParts(TypedDict):
    """What is known of a request when it arrives."""

    method: str
    target: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    resource: str | None
    at: datetime


@attrs.define(eq=False, repr=False, slots=False)
class Arrival:
    """One request as it came.

    Attributes:
        index: its place in the account, from 0.
        method: the HTTP method.
        target: the path and the raw query.
        raw_headers: the headers in order, as bytes.
        body: the body as it came.
        resource: the canonical name, such as "Sms/Send"; None if there is no such resource.
        at: the gateway's time of the arrival, aware UTC.
        status: the HTTP status it was answered with; None while it is held.
        code: the REST error code it was answered with, or None.
    """

    index: int
    method: str
    target: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    resource: str | None
    at: datetime
    status: int | None = None
    code: int | None = None

    def __repr__(self) -> str:
        return (
            f"<Arrival {self.index}: {self.method} {self.resource}, status {self.status}, code {self.code}>"
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name; of a repeated one, the last."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.raw_headers}

    @cached_property
    def parameters(self) -> Parameters:
        """The parameters of the query and, for a POST, of the body."""
        query = self.target.partition("?")[2]
        if self.method != "POST":
            return Parameters.parse(query)
        return Parameters.parse(query, self.body, self.headers.get("content-type", ""))


@attrs.frozen(eq=False, repr=False)
class AcceptedMessage:
    """One message that was accepted and billed.

    Attributes:
        destination_address: the digits of the recipient's number.
        source_address: the sender.
        text: the whole text.
        segment_ids: one id for each segment, in order.
        send_date: when it was to be sent, aware UTC; None for at once.
        validity: minutes; None for the gateway's default.
        accepted_at: aware UTC.
        price: for all its segments.
        resource: the canonical name of the resource that took it.
        arrival: the index of its request in `Account.arrivals`.
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
        number = f"{self.destination_address[:2]}***{self.destination_address[-2:]}"
        return (
            f"<AcceptedMessage to {number}: {len(self.text)} characters, {len(self.segment_ids)} segments, "
            f"by {self.resource}, arrival {self.arrival}>"
        )


class Account:
    """What a test asserts against; each list is a copy, safe to read while requests arrive.

    The `add_` methods are the gateway's own, called under its lock.
    """

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self._arrivals: list[Arrival] = []
        self._messages: list[AcceptedMessage] = []
        self._sessions = 0

    def __repr__(self) -> str:
        counts = f"{len(self._arrivals)} arrivals, {len(self._messages)} messages, {self._sessions} sessions"
        return f"<Account: {counts}>"

    @property
    def arrivals(self) -> list[Arrival]:
        """Every request, in order of arrival."""
        with self._lock:
            return list(self._arrivals)

    @property
    def messages(self) -> list[AcceptedMessage]:
        """Every accepted message, in order of acceptance."""
        with self._lock:
            return list(self._messages)

    @property
    def logins(self) -> int:
        """How many requests for a session arrived, refused ones included."""
        return self.count("User/SessionId")

    @property
    def sessions(self) -> int:
        """How many sessions were given out."""
        return self._sessions

    def count(self, resource: str | None = None, status: int | None = None) -> int:
        """How many requests arrived, of one resource and answered with one HTTP status if given."""
        name = canonical_name(resource)
        return sum(
            (name is None or arrival.resource == name) and (status is None or arrival.status == status)
            for arrival in self.arrivals
        )

    def sent_to(self, number: str) -> list[AcceptedMessage]:
        """The accepted messages to one number, given with or without `+`."""
        digits = number.removeprefix("+")
        return [message for message in self.messages if message.destination_address == digits]

    def add_arrival(self, **request: Unpack[RequestParts]) -> Arrival:
        """Enter a request."""
        arrival = Arrival(len(self._arrivals), **request)
        self._arrivals.append(arrival)
        return arrival

    def add_message(self, message: AcceptedMessage) -> None:
        """Enter an accepted message."""
        self._messages.append(message)

    def add_session(self) -> None:
        """Count a session given out."""
        self._sessions += 1
