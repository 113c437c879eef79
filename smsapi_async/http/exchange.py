"""One exchange with the gateway: a request, and then a response or a failure.

A failed exchange also says whether there is a proof that the request was not sent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import anyio
import attrs

from smsapi_async import guard
from smsapi_async.deferred import are_imported, import_all
from smsapi_async.errors import ClientClosed, NotSent
from smsapi_async.eventloop import in_thread, running_asyncio_loop

# The guard needs this module when it blocks a request, and a test may have replaced the file system by then.
from smsapi_async.guard import blocked_requests as _loaded  # noqa: F401
from smsapi_async.http.libraries import transport_errors
from smsapi_async.http.redaction import in_exchange

WITHDRAWN = "send_request_headers.withdrawn"
"""The name of a trace event: no byte of the request was written, although the write was reported.

httpcore defines all other trace events; this package defines only this event.
"""

_STATUS = re.compile(r"\b[1-5][0-9]{2}\b", re.ASCII)
# The modules that the calls of a client use, and that no other module imports before the first call.
_MODULES = (
    "anyio.to_thread",
    "email.utils",
    "encodings.idna",
    "encodings.utf_8_sig",
    "hashlib",
    "secrets",
    "smsapi_async.protocol.decoding",
)
_ON_ASYNCIO = ("anyio._backends._asyncio", "concurrent.futures.thread")
_ON_TRIO = ("anyio._backends._trio",)
# The end of the name of the trace event that httpcore reports before the first byte of a request is written.
# The full name of the event begins with the protocol, for example ``http11``.
_WRITING = ".send_request_headers.started"
# The ends of the names of the trace events before the first byte of a connection or of a request.
_BEFORE_BYTES = (".connect_tcp.started", ".connect_unix_socket.started", _WRITING)


@attrs.define
class Evidence:
    """The trace events that a transport reported during one attempt to make a request.

    The caller of the exchange owns this object, so the events remain readable after a cancellation.

    Attributes:
        begun: whether the request was passed to the transport.
        reported: whether the transport reported any trace event.
        written: whether the transport began to write the request.
        trusted: whether the transport is known to report every write of a request.
        host: the host of the gateway, if the HTTP client or the transport is the caller's; otherwise None.
        resource: the resource of the request, if `host` is not None; otherwise "".
        failure: the exception in the last trace event; None if the event contains no exception.
        may_write: a function that returns whether the request may still be written; None means always.
    """

    begun: bool = False
    reported: bool = False
    written: bool = False
    trusted: bool = False
    host: str | None = attrs.field(default=None, repr=False)
    resource: str = ""
    failure: object = attrs.field(default=None, repr=False)
    may_write: Callable[[], bool] | None = attrs.field(default=None, repr=False)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Record one trace event. `trace` is passed as the ``trace`` extension of the request.

        Args:
            event: the name of the trace event.
            info: the details of the trace event, for example the request or the exception.

        Raises:
            RealSendBlocked: if the guard is on, and the gateway or a proxy is beyond loopback.
            NotSent: if the request is about to be written, and `may_write` returns False.
        """
        if not self.trusted and event.endswith(_BEFORE_BYTES):
            # A transport of the caller that reports one of these events uses the network. A mock reports no
            # trace events, and passes. `host` in `info` is the host to which a connection is opened.
            guard.check(self.host, info.get("host"), resource=self.resource)
        self.reported = True
        self.failure = info.get("exception")
        if event.endswith(_WRITING) and not _to_proxy(info):
            if self.may_write is not None and not self.may_write():
                raise NotSent(
                    "the claim in the ledger has ended, because the request began too late; the computer may"
                    " have been suspended"
                )
            self.written = True
        # Only this package's transports report `WITHDRAWN`: the request was not written after all.
        elif event.endswith(WITHDRAWN) and self.trusted:
            self.written = False

    def reset(self) -> None:
        """Clear all recorded events before another attempt to make the request."""
        self.begun = self.reported = self.written = self.trusted = False
        self.failure = None

    def proves_not_sent(self, error: BaseException | None = None) -> bool:
        """Return whether there is a proof that no byte of the request was written.

        Args:
            error: the exception that ended the attempt; None means that a cancellation ended the attempt.
        """
        if not self.begun:
            return True
        # If the transport reported no trace events, we cannot know whether the request was written.
        if not self.reported or self.written:
            return False
        if self.trusted:
            return True
        # A transport of the caller may repeat a failed request over another transport that reports no events.
        # Therefore a reported exception is a proof only if the same exception ended the attempt.
        if error is None:
            return isinstance(self.failure, anyio.get_cancelled_exc_class())
        # If httpcore reports an exception, httpx raises an exception of its own with httpcore's exception as
        # the cause.
        return self.failure is not None and self.failure in (error, error.__cause__)


@attrs.frozen
class HttpResponse:
    """A whole HTTP response.

    Attributes:
        status: the HTTP status code of the response, for example 200.
        body: the body of the response as it arrived, before any content coding is decoded.
        coding: the content coding of the body, for example ``gzip``; None if the body is not encoded.
        retry_after: the value of the ``Retry-After`` header if the status is 400 or higher. None if the
            status is lower or the header is missing.
        date: the value of the ``Date`` header of the response to a GET, as received. None if the header is
            missing, or for the response to a send.
    """

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: str | None = attrs.field(default=None, repr=False)
    coding: str | None = attrs.field(default=None, repr=False)
    date: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class ExchangeFailure:
    """An exchange that ended without a whole HTTP response.

    Attributes:
        kind: the package and the name of the exception, for example ``httpx.ReadTimeout``.
        words: the text of the exception, which may quote the server; "" if the text may contain a secret.
        not_sent: whether there is a proof that no byte of the request was written.
    """

    kind: str
    words: str = attrs.field(repr=False)
    not_sent: bool


class Route(Protocol):
    """The way of requests to the gateway: the transport and the form of the requests.

    Attributes:
        name: the name of the way, for the `repr` of the client.
        is_closed: whether the connections were closed.
        ends_exchanges: whether `aclose` ends each exchange that is in progress at once.
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def is_closed(self) -> bool:
        """See the class."""

    @property
    def ends_exchanges(self) -> bool:
        """See the class."""

    def choose(self) -> None:
        """Choose the transport for the running event loop."""

    def request(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence, body_limit: int
    ) -> Any:  # noqa: ANN401 - a request of httpx or httpx2
        """Return a request, after the check of the guard.

        Args:
            method: ``GET`` or ``POST``.
            resource: the path of the resource below the base URL.
            parameters: the URL-encoded parameters.
            evidence: records the trace events of the request.
            body_limit: the largest allowed body of the response in bytes.
        """

    def send(self, request: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401
        """Send a request, and return a response whose ``body`` extension is the body as it arrived."""

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Close the connections, unless the caller supplied the HTTP client."""


@attrs.define
class Exchanger:
    """Makes exchanges with the gateway.

    The route needs an HTTP library, whose import takes longer than the import of the rest of this package.
    So the route is built when the client is entered, or else at the first request.

    Attributes:
        build: imports the HTTP library, and returns the route. Any thread may call the function.
        name: the name of the route, for the `repr` of the client before the route is built.
        body_limit: the largest allowed body of a response in bytes.
        core: the package that opens the connections on trio; None if the caller supplies the HTTP client or
            the transport, which a client that was not closed does not leave open.
        is_used: whether at least one request was made.
    """

    build: Callable[[], Route] = attrs.field(repr=False)
    name: str
    body_limit: int
    core: str | None
    is_used: bool = False
    _route: Route | None = attrs.field(default=None, repr=False)
    _is_closed: bool = False

    @property
    def description(self) -> str:
        """The route in use, for the `repr` of the client."""
        return self.name if self._route is None else self._route.name

    async def open(self, modules: Iterable[str] = ()) -> Route:
        """Build the route, unless it is built, and choose the transport for the running event loop.

        The imports and the TLS context take up to 0.2 seconds, so a thread does this work.

        Args:
            modules: further modules that the thread imports.

        Raises:
            ValidationError: if the caller requires a transport that cannot run on this event loop.
            ClientClosed: if the client is closed.
        """
        runs_asyncio = running_asyncio_loop() is not None
        needed = (*_MODULES, *(_ON_ASYNCIO if runs_asyncio else _ON_TRIO), *modules)
        if self.core is not None:
            transport = "asyncio_transport" if runs_asyncio else "httpcore_transport"
            needed += (f"smsapi_async.http.{transport}", *(() if runs_asyncio else (self.core,)))
        route = self._route
        if route is None or not are_imported(needed):
            route = await in_thread(partial(self._prepared, needed))
        if self._is_closed:
            raise ClientClosed
        # Another call may have built the route in the meantime.
        self._route = self._route or route
        self._route.choose()
        return self._route

    def _prepared(self, modules: Iterable[str]) -> Route:
        import_all(modules)
        return self._route or self.build()

    async def exchange(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence, *, body_factor: int = 1
    ) -> HttpResponse | ExchangeFailure:
        """Make one request to the gateway, and return the response or the failure.

        Args:
            method: ``GET`` or ``POST``.
            resource: the path of the resource below the base URL, for example ``Sms/Send``.
            parameters: the URL-encoded parameters: the query of a GET, the body of a POST.
            evidence: records the trace events of the request.
            body_factor: a factor for `body_limit`, for resources with large responses.

        Returns:
            The whole response, or the failure if no whole response arrived.

        Raises:
            ClientClosed: if the HTTP client is closed.
            RealSendBlocked: if the guard is on, and the gateway or the proxy is beyond loopback.
        """
        route = self._route or await self.open()
        if route.is_closed:
            raise ClientClosed
        request = route.request(method, resource, parameters, evidence, self.body_limit * body_factor)
        evidence.begun = self.is_used = True
        # While `in_exchange` is true, the module `redaction` drops the log records of httpcore.
        token = in_exchange.set(True)
        try:
            response = await route.send(request)
        except transport_errors() as error:
            return _failure(error, evidence)
        finally:
            in_exchange.reset(token)
        headers = response.headers
        retry_after = headers.get("retry-after") if response.status_code >= 400 else None
        # Nobody needs the date of a send, and a send must be fast.
        date = headers.get("date") if method == "GET" else None
        body: bytes = response.extensions["body"]
        return HttpResponse(response.status_code, body, retry_after, coding_of(headers.raw), date)

    @property
    def ends_exchanges(self) -> bool:
        """Whether `aclose` ends each exchange that is in progress at once."""
        return self._route is not None and self._route.ends_exchanges

    @property
    def is_unclosed(self) -> bool:
        """Whether `aclose` must be called to close connections of this package's transport."""
        route = self._route
        return self.core is not None and self.is_used and route is not None and not route.is_closed

    async def aclose(self) -> None:
        """Close the connections, unless the caller supplied the HTTP client."""
        self._is_closed = True
        if self._route is None and self.core is None:
            # The transport of the caller must be closed, also if the client was never used.
            self._route = self.build()
        if self._route is not None:
            await self._route.aclose()


def coding_of(fields: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return the content coding of a body, for example ``gzip``; None if the body is not encoded.

    Args:
        fields: the names and values of the headers.
    """
    # `httpx.Headers` decodes every header field before a lookup, so we search the bytes.
    codings = [value for name, value in fields if name.lower() == b"content-encoding"]
    if not codings:
        return None
    coding = b", ".join(codings).decode("ascii", "replace").strip()
    return None if coding.lower() in {"", "identity"} else coding


def _to_proxy(info: Mapping[str, Any]) -> bool:
    """Return whether a trace event belongs to a CONNECT request.

    A CONNECT request asks the proxy for a tunnel. The request to the gateway is written later, through
    the tunnel.
    """
    return getattr(info.get("request"), "method", None) == b"CONNECT"


def _failure(error: BaseException, evidence: Evidence) -> ExchangeFailure:
    kind = f"{type(error).__module__.split('.')[0]}.{type(error).__qualname__}"
    # Without the module, no code can raise its exception.
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLError):
        kind = f"ssl.{type(error).__qualname__}"
    return ExchangeFailure(kind=kind, words=_words(error), not_sent=evidence.proves_not_sent(error))


def _words(error: BaseException) -> str:
    """Return the text of an exception, or "" if the text may contain a secret.

    Error texts of the operating system and of this package contain no secrets. Other error texts may quote a
    reply of a proxy, and the reply may contain the password of the proxy.
    """
    name = type(error).__name__
    if name == "ProxyError":
        status = _STATUS.search(str(error))
        return "" if status is None else f"the proxy answered with HTTP {status[0]}"
    return str(error) if name in {"ConnectError", "ConnectTimeout"} or isinstance(error, OSError) else ""
