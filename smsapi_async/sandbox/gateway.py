"""The sandbox gateway: the pure engine behind one lock, with its handles for tests."""

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
from smsapi_async.sandbox.engine import Engine, Rules, aware
from smsapi_async.sandbox.faults.proxy import FaultProxy
from smsapi_async.sandbox.gate import Gate, Signal
from smsapi_async.sandbox.gateway_clock import GatewayClock
from smsapi_async.sandbox.journeys import JourneyRule, default_journey
from smsapi_async.sandbox.tables import canonical_name, resource_named
from smsapi_async.sandbox.wire import SUCCESS_HEADERS

_BASE_PATH = "/rest"
_IN_PROCESS_URL = "http://127.0.0.1/rest"


class Sandbox:
    """One account at a gateway on this machine. Every method may be called from any thread.

    Args:
        login: the account's login.
        password: its password.
        balance: money on the account.
        price: of one segment.
        start: an aware moment at which the clock stands, moving only by `advance`; None for a running clock.
        speed: how many seconds pass on a running clock in one real second.
        journey: chooses the states a segment goes through; the default is the package's table of endings.
        latency: real seconds before each answer.
        expired_session_code: how an expired session is refused: 4 (HTTP 401) or 3 (HTTP 400).
        unquoted_errors: print error bodies with unquoted keys, as the vendor's document does.
        id_style: "digits" for ids such as "579700854169272358"; "alphanumeric" for "GW0261BA732A" and
            "SAR-W+84333".

    Attributes:
        app: the ASGI application, for `httpx.ASGITransport` or any server.
        base_url: where it is reached; set by `run_sandbox` while it listens on a socket.
        account: what arrived and what was accepted.
        proxy: what misbehaves in front of it, while `run_sandbox` serves it with ``faults``; else None.
        latency: as above; may be changed.
    """

    def __init__(
        self,
        login: str = "sandbox",
        password: str = "sandbox-password",  # noqa: S107 - the documented password of a toy
        balance: Decimal | int | str = Decimal(10000),
        price: Decimal | int | str = Decimal("1.50"),
        *,
        start: datetime | None = None,
        speed: float = 1.0,
        journey: JourneyRule = default_journey,
        latency: float = 0.0,
        expired_session_code: Literal[3, 4] = 4,
        unquoted_errors: bool = False,
        id_style: Literal["digits", "alphanumeric"] = "digits",
    ) -> None:
        if expired_session_code not in {3, 4}:
            raise ValueError("expired_session_code is 3 or 4")
        if id_style not in {"digits", "alphanumeric"}:
            raise ValueError("id_style is 'digits' or 'alphanumeric'")
        self.login = login
        self.password = password
        self.base_url = _IN_PROCESS_URL
        self.latency = latency
        self.proxy: FaultProxy | None = None
        self.ending = Signal()
        self._lock = RLock()
        self._clock = GatewayClock(start, speed)
        self._scripts: deque[Script] = deque()
        self._gates: list[Gate] = []
        self.account = Account(self._lock)
        rules = Rules(
            login, password, journey, expired_session_code, unquoted_errors, id_style == "alphanumeric"
        )
        self._engine = Engine(
            rules, self._clock, self.account, balance=Decimal(balance), price=Decimal(price)
        )
        self.app: ASGIApp = application(self)

    def __repr__(self) -> str:
        return f"<Sandbox {self.base_url}: {self.account!r}>"

    def now(self) -> datetime:
        """The gateway's time, aware UTC."""
        with self._lock:
            return self._clock.now()

    def advance(self, by: timedelta | None = None, /, **units: float) -> None:
        """Move the clock forward, and with it delivery, expiry and sessions.

        Args:
            by: how far; or else `units`.
            units: the keywords of `timedelta`, such as `hours=2`.
        """
        with self._lock:
            self._clock.advance(timedelta(**units) if by is None else by)

    @property
    def balance(self) -> Decimal:
        """The money left; may be set."""
        with self._lock:
            return self._engine.balance

    @balance.setter
    def balance(self, value: Decimal | int | str) -> None:
        with self._lock:
            self._engine.balance = Decimal(value)

    @property
    def price(self) -> Decimal:
        """The price of one segment; may be set."""
        with self._lock:
            return self._engine.price

    @price.setter
    def price(self, value: Decimal | int | str) -> None:
        with self._lock:
            self._engine.price = Decimal(value)

    def receive(
        self,
        source_address: str,
        text: str,
        destination_address: str = "79160000000",
        at: datetime | None = None,
    ) -> int | str:
        """File an incoming message and return its id.

        Args:
            source_address: who wrote it.
            text: what.
            destination_address: the number it was sent to.
            at: when it was created, aware; now by default. One dated ahead shows when its time comes.
        """
        with self._lock:
            created_at = self._clock.now() if at is None else aware(at)
            return self._engine.receive(source_address, destination_address, text, created_at)

    def record_history(self, *, at: datetime, states: Iterable[int] | Mapping[int, int]) -> None:
        """File segments for the statistics alone: a state each, or the number of segments by state."""
        with self._lock:
            self._engine.record_history(aware(at), Counter(states))

    def expire_sessions(self) -> None:
        """Refuse every session id given out so far, from now on."""
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
        """Answer the next requests of a resource (None: of any) with what is given.

        Args:
            resource: its name in any case.
            status: the HTTP status.
            body: the body, as it goes on the wire.
            headers: instead of the gateway's usual ones.
            times: how many requests.
            accept: process the request first, so that messages are accepted and billed, then lie about it.
        """
        content = body.encode() if isinstance(body, str) else body
        answer = Answer(status, content, SUCCESS_HEADERS if headers is None else dict(headers))
        with self._lock:
            self._scripts.append(Script(canonical_name(resource), answer, times, accept))

    def refuse_next(self, resource: str | None, code: int, desc: str | None = None, times: int = 1) -> None:
        """Refuse the next requests of a resource (None: of any) with a code and its HTTP status."""
        with self._lock:
            answer = self._engine.refuse(Refusal(code, desc))
            self._scripts.append(Script(canonical_name(resource), answer, times, accept=False))

    def hold(self, resource: str | None = None) -> Gate:
        """Hold back the answers of a resource (None: of all) until the gate is released."""
        gate = Gate(canonical_name(resource))
        with self._lock:
            self._gates = [each for each in self._gates if not each.is_released]
            self._gates.append(gate)
        return gate

    def admit(
        self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> tuple[Arrival, Answer, Gate | None]:
        """Enter a request into the account and process it; the answer waits for the gate, if there is one."""
        resource = _resource_at(target.partition("?")[0])
        with self._lock:
            arrival = self.account.add_arrival(
                method=method,
                target=target,
                raw_headers=headers,
                body=body,
                resource=resource,
                at=self._clock.now(),
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


def _resource_at(path: str) -> str | None:
    base, found, name = path.lower().partition(f"{_BASE_PATH}/")
    resource = resource_named(name.removesuffix("/")) if found and not base else None
    return resource.name if resource else None
