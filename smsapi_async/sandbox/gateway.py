"""The class `Sandbox`: the engine with a lock, and the methods with which a test controls the sandbox."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from threading import RLock
from typing import Literal

from starlette.types import ASGIApp

from smsapi_async.sandbox.account import Account, Arrival
from smsapi_async.sandbox.answers import Answer, Refusal, Script
from smsapi_async.sandbox.asgi import application
from smsapi_async.sandbox.dialect import Dialect, IdStyle
from smsapi_async.sandbox.engine import Engine, Rules, aware
from smsapi_async.sandbox.faults.proxy import FaultProxy
from smsapi_async.sandbox.gate import Gate, Signal
from smsapi_async.sandbox.gateway_clock import GatewayClock
from smsapi_async.sandbox.journeys import JourneyRule, default_journey
from smsapi_async.sandbox.number_rules import is_source
from smsapi_async.sandbox.pushes import Pushes
from smsapi_async.sandbox.steady import steady_repr
from smsapi_async.sandbox.tables import canonical_name, resource_at
from smsapi_async.sandbox.wire import SUCCESS_HEADERS

# An HTTP client needs a full URL, even if `httpx.ASGITransport` calls the sandbox without a connection. No
# client connects to `_IN_PROCESS_URL`.
_IN_PROCESS_URL = "http://127.0.0.1/rest"


@steady_repr
class Sandbox:
    """One account at a gateway on this machine. Any thread may call any method.

    Args:
        login: the login of the account.
        password: the password of the account.
        balance: the money on the account at the start.
        price: the price of one segment.
        start: the aware datetime at which the clock is frozen until `advance` moves it. If `start` is None,
            the clock runs from the current time.
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

    Attributes:
        login: the login of the account.
        password: the password of the account.
        app: the ASGI application, for `httpx.ASGITransport` or for any ASGI server.
        base_url: the base URL for a client. While `run_sandbox` serves the sandbox, the URL has a port.
        account: the requests that arrived, and the messages that the sandbox accepted.
        proxy: the fault proxy, while `run_sandbox` serves the sandbox with ``faults``; otherwise None.
        latency: the delay of each response, in seconds of real time. A test may change `latency`.

    Raises:
        ValueError: if `dialect` or one of its fields has an invalid value, if a source address in
            `source_addresses` is invalid, if `start` is a naive datetime, if `balance`, `price` or `latency`
            is not a finite number, or if `price` or `latency` is negative.
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
    ) -> None:
        for name, amount in (("balance", balance), ("price", price), ("latency", latency)):
            if not math.isfinite(Decimal(amount)) or (name != "balance" and Decimal(amount) < 0):
                raise ValueError(f"{name} must be a finite number, and price and latency at least 0")
        self.login = login
        self.password = password
        self.base_url = _IN_PROCESS_URL
        self.latency = latency
        overrides = {
            "expired_session_code": expired_session_code,
            "unquoted_errors": unquoted_errors,
            "id_style": id_style,
        }
        self._dialect = _dialect(dialect, overrides)
        self.proxy: FaultProxy | None = None
        # The server that `run_sandbox` starts sets the signal `ending` when the server stops.
        self.ending = Signal()
        self._lock = RLock()
        self._clock = GatewayClock(start, speed)
        self._scripts: deque[Script] = deque()
        self._gates: list[Gate] = []
        self.account = Account(self._lock)
        rules = Rules(login, password, journey, self._dialect)
        self._engine = Engine(
            rules, self._clock, self.account, balance=Decimal(balance), price=Decimal(price)
        )
        self.source_addresses = source_addresses
        # The server that `run_sandbox` starts runs the pushes.
        self.pushes = Pushes(self._lock, self._clock, self.account, self._engine)
        if push_url is not None:
            self.push_to(push_url, allow_remote=allow_remote_push)
        self.app: ASGIApp = application(self)

    def __repr__(self) -> str:
        return f"<Sandbox {self.base_url}: {self.account!r}>"

    def now(self) -> datetime:
        """Return the current time of the sandbox, aware, in UTC."""
        with self._lock:
            return self._clock.now()

    def advance(self, by: timedelta | None = None, /, **units: float) -> None:
        """Move the clock forward. The states of segments and the expiry of sessions depend on the clock.

        Args:
            by: the time by which the clock moves forward; None means that `units` define the time.
            units: the keyword arguments of `timedelta`, for example `hours=2`.

        Raises:
            ValueError: if the time to move forward is negative.
        """
        with self._lock:
            self._clock.advance(timedelta(**units) if by is None else by)
        self.pushes.wake()

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
        with self._lock:
            self._engine.balance = Decimal(value)

    @property
    def price(self) -> Decimal:
        """The price of one segment, which a test may set."""
        with self._lock:
            return self._engine.price

    @price.setter
    def price(self, value: Decimal | int | str) -> None:
        with self._lock:
            self._engine.price = Decimal(value)

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
        addresses = (value,) if isinstance(value, str) else value if value is None else tuple(value)
        if addresses is not None and not all(map(is_source, addresses)):
            raise ValueError(
                "source_addresses must contain only source addresses: at most 15 digits, or at most 11 Latin "
                "characters"
            )
        with self._lock:
            self._engine.source_addresses = addresses

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

    def answer_next(
        self,
        resource: str | None,
        status: int = 200,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        *,
        accept: bool = False,
    ) -> None:
        """Prepare the response to the next requests to a resource.

        If a test calls `answer_next` and `refuse_next` several times, the sandbox uses the prepared responses
        in the order of the calls.

        Args:
            resource: the name of the resource, in upper or lower case; None means any resource.
            status: the HTTP status of the response.
            body: the body of the response. A str is encoded as UTF-8.
            headers: the header fields of the response; None means the usual header fields of the gateway.
            times: the number of requests that get the prepared response.
            accept: whether the sandbox also processes the requests that get the prepared response. If
                `accept` is true, the sandbox accepts and bills the messages of valid requests, even if the
                prepared response reports a failure.

        Raises:
            ValueError: if the gateway has no resource with this name.
        """
        content = body.encode() if isinstance(body, str) else body
        answer = Answer(status, content, SUCCESS_HEADERS if headers is None else dict(headers))
        with self._lock:
            self._scripts.append(Script(canonical_name(resource), answer, times, accept))

    def refuse_next(self, resource: str | None, code: int, desc: str | None = None, times: int = 1) -> None:
        """Refuse the next requests to a resource without processing them.

        Args:
            resource: the name of the resource, in upper or lower case; None means any resource.
            code: the error code; the code determines the HTTP status (contract, "Codes").
            desc: the value of `Desc` in the error body; None means the usual description of the code.
            times: the number of requests that the sandbox refuses.

        Raises:
            ValueError: if the gateway has no resource with this name.
            KeyError: if the contract has no error code `code`.
        """
        with self._lock:
            answer = self._engine.refuse(Refusal(code, desc))
            self._scripts.append(Script(canonical_name(resource), answer, times, accept=False))

    def hold(self, resource: str | None = None) -> Gate:
        """Hold the responses to all further requests to a resource until the gate is released.

        The sandbox processes each request when the request arrives; only the response waits.

        Args:
            resource: the name of the resource, in upper or lower case; None means all resources.

        Returns:
            The gate.

        Raises:
            ValueError: if the gateway has no resource with this name.
        """
        gate = Gate(canonical_name(resource))
        with self._lock:
            self._gates = [each for each in self._gates if not each.is_released]
            self._gates.append(gate)
        return gate

    def admit(
        self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> tuple[Arrival, Answer, Gate | None]:
        """Record a request in the account and process the request.

        Only the ASGI application calls `admit`.

        Args:
            method: the HTTP method of the request.
            target: the path and the query of the request, percent-encoded.
            headers: the names and values of the header fields of the request.
            body: the body of the request.

        Returns:
            The recorded request, the response, and the gate that holds the response (None if no gate holds
            it).
        """
        resource, version = resource_at(target.partition("?")[0])
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
            )
            script = self._next_script(resource)
            if script is None:
                answer = self._engine.process(arrival)
            else:
                answer = script.answer
                if script.accept:
                    self._engine.process(arrival)
            return arrival, answer, self._gate_for(resource)

    def _next_script(self, resource: str | None) -> Script | None:
        for script in self._scripts:
            if script.resource in {None, resource}:
                script.times -= 1
                if script.times <= 0:
                    self._scripts.remove(script)
                return script
        return None

    def _gate_for(self, resource: str | None) -> Gate | None:
        for gate in self._gates:
            if gate.resource in {None, resource} and not gate.is_released:
                return gate
        return None


def _dialect(dialect: Dialect | str, overrides: Mapping[str, object]) -> Dialect:
    chosen = Dialect.named(dialect) if isinstance(dialect, str) else dialect
    if not isinstance(chosen, Dialect):
        raise ValueError("dialect must be a Dialect, 'contract' or 'latest'")  # noqa: TRY004 - as for a field
    return chosen.with_(**{name: value for name, value in overrides.items() if value is not None})
