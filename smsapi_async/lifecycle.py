"""How a client begins and ends: its parts are built out of its settings, and belong to one event loop."""

from __future__ import annotations

import os
import ssl
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import httpx
from anyio.lowlevel import EventLoopToken, current_token

from smsapi_async import settings
from smsapi_async.calls import Caller
from smsapi_async.clock import Clock, SystemClock
from smsapi_async.errors import ClientClosed, ValidationError, WrongEventLoop
from smsapi_async.http.automatic import Kind
from smsapi_async.http.factory import build_exchanger
from smsapi_async.limiter import Limiter
from smsapi_async.privacy import Secret
from smsapi_async.protocol import encoding
from smsapi_async.protocol.addresses import checked_source
from smsapi_async.sending import Sender
from smsapi_async.session import MemorySessionStore, SessionManager, SessionStore
from smsapi_async.settings import RetryPolicy, Timeouts


class Options(TypedDict, total=False):
    """The parameters of the constructor, for type checkers."""

    login: str
    password: str
    source_address: str | None
    base_url: str
    timeouts: Timeouts | None
    concurrency: int
    requests_per_second: float | None
    retry: RetryPolicy | None
    login_cool_down: timedelta
    proxy: str | None
    ca_file: str | Path | None
    ssl_context: ssl.SSLContext | None
    allow_plain_http: bool
    client: httpx.AsyncClient | None
    transport: httpx.AsyncBaseTransport | Kind | None
    session_store: SessionStore | None
    clock: Clock | None


class Lifecycle:
    """The parts of a client, and who may use them when."""

    def __init__(
        self,
        login: str,
        password: str,
        *,
        source_address: str | None = None,
        base_url: str = settings.BASE_URL,
        timeouts: Timeouts | None = None,
        concurrency: int = settings.CONCURRENCY,
        requests_per_second: float | None = None,
        retry: RetryPolicy | None = None,
        login_cool_down: timedelta = settings.LOGIN_COOL_DOWN,
        proxy: str | None = None,
        ca_file: str | Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
        client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | Kind | None = None,
        session_store: SessionStore | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._base_url = settings.checked_base_url(base_url, allow_plain_http=allow_plain_http)
        self._source_address = None if source_address is None else checked_source(source_address)
        self._clock = settings.checked_methods("clock", clock, ("now", "monotonic", "sleep"), SystemClock())
        self._limiter = Limiter(
            settings.checked_concurrency(concurrency), settings.checked_rate(requests_per_second), self._clock
        )
        request = encoding.login_request(
            settings.checked_credential("login", login),
            Secret(settings.checked_credential("password", password)),
        )
        self._exchanger = build_exchanger(
            self._base_url,
            settings.checked_instance("timeouts", timeouts, Timeouts, Timeouts()),
            proxy=proxy,
            ca_file=ca_file,
            ssl_context=ssl_context,
            client=client,
            transport=transport,
        )
        self._caller = Caller(
            self._exchanger,
            self._limiter,
            settings.checked_instance("retry", retry, RetryPolicy, RetryPolicy()),
            self._clock,
        )
        self._sessions = SessionManager(
            partial(self._caller.log_in, request),
            settings.checked_methods("session_store", session_store, ("load", "save"), MemorySessionStore()),
            self._clock,
            settings.checked_cool_down(login_cool_down),
        )
        self._sender = Sender(self._caller, self._sessions, self._clock)
        self._loop: EventLoopToken | None = None
        self._closed = False

    @classmethod
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """A client from the environment.

        ``SMSAPI_LOGIN`` and ``SMSAPI_PASSWORD`` are needed, ``SMSAPI_BASE_URL`` and
        ``SMSAPI_SOURCE_ADDRESS`` are optional.

        Args:
            **options: any option of the constructor; it wins over the environment.

        Raises:
            ValidationError: the login or the password is not set, or a value is wrong.
        """
        given: dict[str, Any] = {**options}
        names = {"login": "SMSAPI_LOGIN", "password": "SMSAPI_PASSWORD"}
        optional = {"base_url": "SMSAPI_BASE_URL", "source_address": "SMSAPI_SOURCE_ADDRESS"}
        for option, name in {**names, **optional}.items():
            value = os.environ.get(name)
            if value:
                given.setdefault(option, value)
            elif option in names and option not in given:
                raise ValidationError(name, "an unset variable", "set it in the environment")
        return cls(**given)

    async def __aenter__(self) -> Self:
        self._check_usable()
        await self._exchanger.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Calls in flight fail; a second close does nothing."""
        self._closed = True
        await self._exchanger.aclose()

    def __repr__(self) -> str:
        state = f"{self._exchanger.description}{' closed' if self._closed else ''}"
        return f"<{type(self).__name__} {self._base_url} concurrency={self._limiter.concurrency} {state}>"

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed

    def _check_usable(self) -> None:
        self._check_open()
        loop = current_token()
        if self._loop is None:
            self._loop = loop
        elif self._loop != loop:
            raise WrongEventLoop
