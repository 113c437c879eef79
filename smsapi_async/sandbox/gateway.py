"""The class `Sandbox`: the engine with a lock, and the methods with which a test controls the sandbox."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from threading import RLock
from typing import Literal

import anyio
from starlette.types import ASGIApp

from smsapi_async.sandbox.account import AcceptedMessage, AcceptedSegment, Account, Arrival
from smsapi_async.sandbox.answer_control import AnswerControl
from smsapi_async.sandbox.answers import Answer
from smsapi_async.sandbox.asgi import application
from smsapi_async.sandbox.clock_control import ClockControl
from smsapi_async.sandbox.construction import checked_amount, checked_dialect, checked_source_addresses
from smsapi_async.sandbox.dialect import Dialect, IdStyle
from smsapi_async.sandbox.engine import Engine, Rules, aware
from smsapi_async.sandbox.faults.proxy import FaultProxy
from smsapi_async.sandbox.feed import MOST_EVENTS, Feed
from smsapi_async.sandbox.gate import Gate, Signal
from smsapi_async.sandbox.gateway_clock import GatewayClock
from smsapi_async.sandbox.journeys import JourneyRule, default_journey
from smsapi_async.sandbox.message_checks import MessageChecks
from smsapi_async.sandbox.pushes import Pushes
from smsapi_async.sandbox.splitting import split_text
from smsapi_async.sandbox.steady import steady_repr
from smsapi_async.sandbox.tables import resource_at

# An HTTP client needs a full URL, even if `httpx.ASGITransport` calls the sandbox without a connection. No
# client connects to `_IN_PROCESS_URL`.
_IN_PROCESS_URL = "http://127.0.0.1/rest"


@steady_repr
class Sandbox(ClockControl, AnswerControl, MessageChecks):
    """One account at a gateway on this machine. Any thread may call any method.

    Args:
        login: the login of the account.
        password: the password of the account.
        balance: the money on the account at the start.
        price: the price of one segment.
        start: the aware datetime at which the clock is frozen until `advance` or `run` moves it. If
            `start` is None, the clock runs from the current time.
        speed: the seconds that a running clock advances in one real second.
        journey: a function that chooses the states of a segment. The default function uses the table of
            number endings in the docstring of `smsapi_async.sandbox`.
        latency: the delay of each response, in seconds of real time.
        dialect: the variations of the gateway that the sandbox imitates: a `Dialect`, or the name "contract"
            or "latest".
        source_addresses: the source addresses that the account may use. The sandbox refuses other source
            addresses with code 6. Upper and lower case are different. None means that the account may use
            every valid source address.
        expired_session_code: the field of `dialect` with this name; None means the value in `dialect`.
        unquoted_errors: the field of `dialect` with this name; None means the value in `dialect`.
        id_style: the field of `dialect` with this name; None means the value in `dialect`.
        push_url: the URL of a handler to which the sandbox pushes incoming messages, while `run_sandbox`
            serves the sandbox; see `push_to`. None means that the sandbox pushes nothing.
        allow_remote_push: whether `push_url` may be a URL that is not a loopback address.
        keep: the number of requests, accepted messages, incoming messages and pushes that the sandbox stores,
            at least 1. The oldest ones are removed first. Sms/State, Sms/Statistics, the balance and
            `Account.count` stay right. None means no limit.

    Attributes:
        login: the login of the account.
        password: the password of the account.
        app: the ASGI application, for `httpx.ASGITransport` or for any ASGI server.
        base_url: the base URL for a client. While `run_sandbox` serves the sandbox, the URL has a port.
        account: the requests that arrived, and the messages that the sandbox accepted.
        proxy: the fault proxy, while `run_sandbox` serves the sandbox with ``faults`` or ``faults_port``;
            otherwise None.
        feed: the numbered events of the sandbox.
        clock: the clock of the sandbox, for `AsyncSmsClient(clock=sandbox.clock)`.
        web: an ASGI application for the paths outside `/rest`, or None. Its requests are no arrivals.
        page_url: the URL of the page, while `run_sandbox` serves the page; otherwise None.
        ending: a signal that is set when the server of the sandbox stops.

    Raises:
        ValueError: if `dialect` or one of its fields has an invalid value, if a source address in
            `source_addresses` is invalid, if `start` is a naive datetime, if `balance`, `price` or `latency`
            is not a finite number, if `price` or `latency` is negative, if `speed` is negative or not a
            finite number, or if `keep` is less than 1.
    """

    def __init__(
        self,
        login: str = "sandbox",
        password: str = "sandbox-password",  # noqa: S107 - a documented password that protects nothing
        balance: Decimal | int | str = Decimal(10000),
        price: Decimal | int | str = Decimal("1.50"),
        *,
        start: datetime | None = None,
        speed: float = 1.0,
        journey: JourneyRule = default_journey,
        latency: float = 0.0,
        dialect: Dialect | Literal["contract", "latest"] = Dialect.CONTRACT,
        source_addresses: Iterable[str] | None = None,
        expired_session_code: Literal[3, 4] | None = None,
        unquoted_errors: bool | None = None,
        id_style: IdStyle | None = None,
        push_url: str | None = None,
        allow_remote_push: bool = False,
        keep: int | None = None,
    ) -> None:
        if keep is not None and keep < 1:
            raise ValueError("keep must be at least 1, or None")
        self.login = login
        self.password = password
        self.base_url = _IN_PROCESS_URL
        self.keep = keep
        self.web: ASGIApp | None = None
        self.page_url: str | None = None
        feed = Feed(MOST_EVENTS if keep is None else min(MOST_EVENTS, max(1000, 2 * keep)))
        super().__init__(RLock(), GatewayClock(start, speed), feed)
        checked_amount("latency", latency)
        self._latency = latency
        balance, price = checked_amount("balance", balance), checked_amount("price", price)
        overrides = {
            "expired_session_code": expired_session_code,
            "unquoted_errors": unquoted_errors,
            "id_style": id_style,
        }
        self._dialect = checked_dialect(dialect, overrides)
        self.proxy: FaultProxy | None = None
        # The server that `run_sandbox` starts sets the signal `ending` when the server stops.
        self.ending = Signal()
        self.account = Account(self._lock, self.feed, keep)
        rules = Rules(login, password, journey, self._dialect)
        self._engine = Engine(rules, self._clock, self.account, balance=balance, price=price, keep=keep)
        self._engine.source_addresses = checked_source_addresses(source_addresses)
        self._start_answers(self._engine.refuse)
        # The server that `run_sandbox` starts runs the pushes.
        self.pushes = Pushes(self._lock, self._clock, self.account, self._engine)
        if push_url is not None:
            self.push_to(push_url, allow_remote=allow_remote_push)
        self._at_start = {
            "balance": balance,
            "price": price,
            "latency": latency,
            "source_addresses": self.source_addresses,
        }
        self._push_at_start = push_url, allow_remote_push
        self.app: ASGIApp = application(self)

    @property
    def faults_url(self) -> str | None:
        """The base URL of the faulty line while `run_sandbox` serves one, otherwise None."""
        return None if self.proxy is None else self.proxy.base_url

    def __repr__(self) -> str:
        return f"<Sandbox {self.base_url}: {self.account!r}>"

    def _clock_changed(self) -> None:
        self.pushes.wake()

    def clear(self) -> None:
        """Remove the requests, the messages, the incoming messages, the pushes and the history.

        Sms/State then returns 255 for the ids of the removed messages, and Sms/Statistics does not count
        the removed messages. The balance, the sessions, the clock, the prepared responses, the gates and the
        fault plan stay. The numbers of messages and requests continue.
        """
        with self._lock:
            self._clear()
            self.feed.append("cleared")

    def reset(self) -> None:
        """Set the sandbox to the state of a new sandbox, as `clear` does and more.

        The balance, the price, the latency, the source addresses, the URL for pushes and the clock get the
        values of the constructor. The sessions and the prepared responses are removed, the gates are
        released, and the faulty line begins again with the plan of its start. The numbers of messages and
        requests, and the ids of segments, continue. The seconds of `clock.monotonic` continue, too.
        """
        with self._lock:
            self._clear()
            self.account.reset()
            self._engine.sessions.clear()
            self._scripts.clear()
            gates, self._gates = self._gates, []
            for name, value in self._at_start.items():
                setattr(self, name, value)
            url, allow_remote = self._push_at_start
            self.push_to(url, allow_remote=allow_remote)
            if self.proxy is not None:
                self.proxy.restart_plan()
            self._change_clock(self._clock.reset)
            self.feed.append("reset")
        for gate in gates:
            gate.release()

    def _clear(self) -> None:
        self.pushes.clear()
        self.account.clear()
        self._engine.clear()
        if self.proxy is not None:
            self.proxy.clear_history()

    def segments(self, message: AcceptedMessage | str | int) -> list[AcceptedSegment]:
        """Return the segments of a message, with their texts and states.

        Args:
            message: the message, the id of one of its segments, or its number.

        Raises:
            LookupError: if the sandbox does not store the message.
        """
        with self._lock:
            # A search for the message would take too long, because the page asks for all messages.
            found = message if isinstance(message, AcceptedMessage) else self._message(message)
            known = self._engine.segments_of(found)
            if len(known) != len(found.segment_ids):
                raise LookupError("the sandbox does not store this message")
            pieces = zip(found.segment_ids, split_text(found.text), strict=True)
            return [
                AcceptedSegment(segment_id, text, line.changes, price)
                for (segment_id, text), (line, price) in zip(pieces, known, strict=True)
            ]

    def set_state(self, message: AcceptedMessage | str | int, state: int) -> None:
        """Change the state of a message or of one segment, from now on.

        The earlier states stay, and the later steps of the journey are dropped. A state that is neither final
        nor 255 changes to 46 (expired) at the end of the validity. Sms/Statistics counts the new state.

        Args:
            message: the message or its number, for all segments; or the id of one segment.
            state: the new state, also one that the contract does not have.

        Raises:
            LookupError: if the sandbox does not store the message.
            TypeError: if `state` is no int.
        """
        if isinstance(state, bool) or not isinstance(state, int):
            raise TypeError("the state must be an int, for example 0 for delivered")
        with self._lock:
            found = self._message(message)
            segment_ids = (message,) if isinstance(message, str) else found.segment_ids
            self._engine.set_state(found, segment_ids, state)
            self.feed.append("state", found)

    def _message(self, message: AcceptedMessage | str | int) -> AcceptedMessage:
        key = message.number if isinstance(message, AcceptedMessage) else message
        found = self.account.message(key)
        if found is None:
            raise LookupError("the sandbox does not store this message")
        return found

    async def accepted(
        self,
        to: str | None = None,
        text: str | None = None,
        after: int = 0,
        timeout: float | None = 10.0,  # noqa: ASYNC109 - a test should never wait without an end
    ) -> AcceptedMessage:
        """Wait until a message is accepted, and return the newest message that fulfils all conditions.

        If there is such a message, `accepted` returns at once. Tasks of any event loop may wait.

        Args:
            to: the destination address; all characters except digits are ignored. None means any address.
            text: a part of the text, in upper or lower case; None means any text.
            after: only messages with a greater `AcceptedMessage.number`.
            timeout: the longest time to wait, in seconds of real time; None means no limit.

        Raises:
            TimeoutError: if no such message is accepted within `timeout`.
            RuntimeError: if the server of the sandbox stops.
        """
        with anyio.fail_after(timeout):
            message = await self._wait_for_last(to, text, after)
        if message is None:
            raise RuntimeError("the server of the sandbox has stopped")
        return message

    def push_to(self, url: str | None, *, allow_remote: bool = False) -> None:
        """Push the messages that arrive from now on to a handler.

        The docstring of `smsapi_async.sandbox` describes the pushes and their repeats.

        Args:
            url: the URL of the handler, with ``http://`` or ``https://``. None ends the pushes.
            allow_remote: whether the host of the URL may be another computer.

        Raises:
            ValueError: if the URL is invalid, or its host is not a loopback address and `allow_remote` is
                false.
        """
        self.pushes.push_to(url, allow_remote=allow_remote)

    async def wait_for_pushes(self) -> None:
        """Wait until every push that is due on the clock of the sandbox has ended. Any event loop may wait.

        Raises:
            RuntimeError: if no server serves the sandbox, so that no push can be made.
        """
        await self.pushes.settled()

    @property
    def dialect(self) -> Dialect:
        """The dialect of the sandbox, which cannot change."""
        return self._dialect

    @property
    def balance(self) -> Decimal:
        """The money on the account, which a test may set."""
        with self._lock:
            return self._engine.balance

    @balance.setter
    def balance(self, value: Decimal | int | str) -> None:
        self._change_account(self._engine, "balance", checked_amount("balance", value))

    @property
    def price(self) -> Decimal:
        """The price of one segment, which a test may set."""
        with self._lock:
            return self._engine.price

    @price.setter
    def price(self, value: Decimal | int | str) -> None:
        self._change_account(self._engine, "price", checked_amount("price", value))

    @property
    def latency(self) -> float:
        """The delay of each response, in seconds of real time, which a test may set.

        Raises:
            ValueError: if a new value is negative or not a finite number.
        """
        return self._latency

    @latency.setter
    def latency(self, value: float) -> None:
        checked_amount("latency", value)
        self._change_account(self, "_latency", value)

    @property
    def source_addresses(self) -> tuple[str, ...] | None:
        """The source addresses that the account may use, which a test may set.

        None means that the account may use every valid source address. A single str means one source address.

        Raises:
            ValueError: if a new value contains an invalid source address.
        """
        with self._lock:
            return self._engine.source_addresses

    @source_addresses.setter
    def source_addresses(self, value: Iterable[str] | None) -> None:
        self._change_account(self._engine, "source_addresses", checked_source_addresses(value))

    def _change_account(self, owner: object, name: str, value: object) -> None:
        with self._lock:
            setattr(owner, name, value)
            self.feed.append("account")

    def receive(
        self,
        source_address: str,
        *,
        text: str,
        destination_address: str = "79160000000",
        at: datetime | None = None,
        prefix: str = "",
    ) -> int | str:
        """Store an incoming message, and push the message if there is a `push_url`.

        Args:
            source_address: the number from which the message was sent.
            text: the text of the incoming message.
            destination_address: the number to which the message was sent.
            at: the creation time, aware; None means the current time of the sandbox. Sms/In does not return
                the message before its creation time, and the sandbox does not push the message before.
            prefix: the keyword at the beginning of the text, by which the gateway assigns messages to a
                customer. Only a push contains the prefix.

        Returns:
            The id of the message. The fields `incoming_id` and `id_style` of the dialect determine whether
            the id is an int or a str.

        Raises:
            ValueError: if `at` is a naive datetime.
        """
        with self._lock:
            created_at = self._clock.now() if at is None else aware(at)
            return self._engine.receive(source_address, destination_address, text, created_at, prefix)

    def record_history(self, *, at: datetime, states: Iterable[int] | Mapping[int, int]) -> None:
        """Add segments that only Sms/Statistics counts.

        Args:
            at: the time of the acceptance of the segments, aware.
            states: one state for each segment, or a mapping from a state to a number of segments.

        Raises:
            ValueError: if `at` is a naive datetime.
        """
        with self._lock:
            self._engine.record_history(aware(at), Counter(states))

    def expire_sessions(self) -> None:
        """End all current sessions, so that the sandbox refuses later requests with their session ids."""
        with self._lock:
            self._engine.expire_sessions()
            self.feed.append("account")

    @property
    def open_sessions(self) -> int:
        """The number of session ids that are valid now."""
        with self._lock:
            now = self._clock.now()
            return sum(ends_at > now for ends_at in self._engine.sessions.values())

    def has_issued(self, session: str) -> bool:
        """Whether the sandbox has issued this session id, which may have expired since then."""
        return self.end_of_session(session) is not None

    def end_of_session(self, session: str) -> datetime | None:
        """Return the time until which a session id is valid; None if the sandbox has not issued the id."""
        return self._engine.sessions.get(session)

    def admit(
        self,
        method: str,
        target: str,
        headers: tuple[tuple[bytes, bytes], ...],
        body: bytes,
        client: tuple[str, int] | None = None,
    ) -> tuple[Arrival, Answer, Gate | None]:
        """Record a request in the account and process the request.

        Only the ASGI application calls `admit`.

        Args:
            method: the HTTP method of the request.
            target: the path and the query of the request, percent-encoded.
            headers: the names and values of the header fields of the request.
            body: the body of the request.
            client: the host and the port of the client; None if they are unknown.

        Returns:
            The recorded request, the response, and the gate that holds the response (None if no gate holds
            it).
        """
        resource, version = resource_at(target.partition("?")[0])
        proxy = self.proxy
        fault = None if proxy is None or client is None else proxy.fault_of(client)
        self.clock.touch(self._latency)
        with self._lock:
            arrival = self.account.add_arrival(
                method=method,
                target=target,
                raw_headers=headers,
                body=body,
                resource=resource,
                at=self._clock.now(),
                version=version,
                reads_all_bodies=self._dialect.reads_all_bodies,
                fault=fault,
            )
            script = self._next_script(resource)
            if script is None:
                answer = self._engine.process(arrival)
            else:
                answer = script.answer
                if script.accept:
                    self._engine.process(arrival)
            return arrival, answer, self._gate_for(resource)

    def request_opened(self) -> Callable[[], object]:
        """Record that a client waits for a response. Only the ASGI application calls `request_opened`.

        Returns:
            A function that records the end of the wait.
        """
        return self.clock.request_opened()

    def answered(self, arrival: Arrival, answer: Answer) -> None:
        """Record the response to a request. Only the ASGI application calls `answered`."""
        self.clock.touch()
        with self._lock:
            self.account.answered(arrival, answer)
