"""One exchange with the gateway: a request, and then a response or a failure.

A failed exchange also says whether there is a proof that the request was not sent.
"""

import re
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

import anyio
import attrs
import httpx

from smsapi_async import guard
from smsapi_async.errors import ClientClosed, NotSent

# The guard needs this module when it blocks a request, and a test may have replaced the file system by then.
from smsapi_async.guard import blocked_requests as _loaded  # noqa: F401
from smsapi_async.http.base import WITHDRAWN, body_limit_of, coding_of, read_body, whole_response
from smsapi_async.http.choice import AutomaticTransport
from smsapi_async.http.redaction import PrivateURL, in_exchange
from smsapi_async.privacy import HiddenBytes

# The exceptions that transports are known to raise for a failed exchange. Any other exception is a defect of
# the program. We do not catch `Exception`, because an error of the SDK would hide the defect.
TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    OSError,
    EOFError,
)
_STATUS = re.compile(r"\b[1-5][0-9]{2}\b", re.ASCII)
# The largest number of header sets that are stored for a resource. Each length of the body has its own set.
_LENGTHS_REMEMBERED = 256
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


@attrs.frozen
class _RequestParts:
    """The URL, the path and the headers that all requests for one resource share."""

    url: httpx.URL
    path: bytes
    headers: httpx.Headers
    _sized: dict[int, httpx.Headers] = attrs.field(factory=dict, repr=False)

    def headers_for(self, length: int) -> httpx.Headers:
        """Return the headers of a request with a body of the given length.

        The headers are stored for each length of the body, because a new `httpx.Headers` takes much more time
        than a copy.
        """
        headers = self._sized.get(length)
        if headers is None:
            if len(self._sized) >= _LENGTHS_REMEMBERED:
                self._sized.clear()
            headers = self._sized[length] = self.headers.copy()
            headers["Content-Length"] = str(length)
        return headers


@attrs.define
class Exchanger:
    """Makes exchanges through an `httpx.AsyncClient`.

    Attributes:
        client: the HTTP client that sends the requests.
        base_url: the base URL of the gateway.
        headers: the HTTP headers that every request contains.
        timeout: httpx's ``timeout`` extension: the seconds for each step, and ``total`` for an exchange.
        body_limit: the largest allowed body of a response in bytes.
        owned: whether this package made the HTTP client, and `aclose` therefore closes the HTTP client.
        own: this package's transport, which accepts the query outside the URL; None if the caller
            supplies the transport or the HTTP client.
        is_network: whether the transport of the caller uses the network and reports no trace events, so that
            the guard must check each request before the transport gets it.
        is_used: whether at least one request was made.
    """

    client: httpx.AsyncClient
    base_url: httpx.URL
    headers: dict[str, str]
    timeout: dict[str, float | None]
    body_limit: int
    owned: bool
    own: AutomaticTransport | None
    is_network: bool = False
    is_used: bool = False
    _resources: dict[tuple[str, str], _RequestParts] = attrs.field(factory=dict, repr=False)

    @property
    def description(self) -> str:
        """The transport in use, for the `repr` of the client."""
        if self.own is not None:
            return f"transport={self.own.name}"
        return "transport=the caller's" if self.owned else "client=the caller's"

    async def open(self) -> None:
        """Choose the transport, unless the caller supplies the transport or the HTTP client.

        Raises:
            ValidationError: if the caller requires a transport that cannot run on this event loop.
        """
        if self.own is not None:
            self.own.choose()

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
        if self.client.is_closed:
            raise ClientClosed
        if self.own is not None:
            guard.check(self.base_url.host, self.own.proxy_host, resource=resource)
        elif self.is_network:
            guard.check(self.base_url.host, resource=resource)
        evidence.begun = self.is_used = True
        if self.own is None:
            evidence.host, evidence.resource = self.base_url.host, resource
            request = self._request(method, resource, parameters, evidence)
        else:
            # This package's transports report every write. Therefore a request without trace events was not
            # written, for example because the request failed before the pool assigned a connection.
            evidence.reported = evidence.trusted = True
            request = self._own_request(method, resource, parameters, evidence)
        request.extensions["body_limit"] = self.body_limit * body_factor
        # While `in_exchange` is true, the module `redaction` drops the log records of httpcore.
        token = in_exchange.set(True)
        try:
            if self.own is None:
                response = await self._send_within_limits(request)
            else:
                response = await self.client.send(request)
        except transport_errors() as error:
            return _failure(error, evidence)
        finally:
            in_exchange.reset(token)
        headers = response.headers
        retry_after = headers.get("retry-after") if response.status_code >= 400 else None
        # Nobody needs the date of a send, and a send must be fast.
        date = headers.get("date") if method == "GET" else None
        body: bytes = response.extensions["body"]
        return HttpResponse(response.status_code, body, retry_after, coding_of(response), date)

    async def _send_within_limits(self, request: httpx.Request) -> httpx.Response:
        """Send a request through the HTTP client or the transport of the caller."""
        with anyio.move_on_after(self.timeout["total"]):
            # A redirect must not be followed: a 307 or 308 would repeat the send.
            response = await self.client.send(request, follow_redirects=False, stream=True)
            try:
                # If the response is closed, a hook of the caller or the transport has already read the body.
                if response.is_closed:
                    body = response.content
                else:
                    raw = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
                    async with aclosing(raw) as pieces:
                        body = await read_body(pieces, body_limit_of(request))
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
            return whole_response(response.status_code, response.headers.raw, body)
        raise httpx.ReadTimeout("the exchange took too long")

    @property
    def ends_exchanges(self) -> bool:
        """Whether `aclose` ends each exchange that is in progress at once."""
        return self.own is not None and self.own.ends_exchanges

    @property
    def is_unclosed(self) -> bool:
        """Whether `aclose` must be called to close connections of this package's transport."""
        return self.own is not None and self.is_used and not self.client.is_closed

    async def aclose(self) -> None:
        """Close the HTTP client, unless the caller supplied the HTTP client."""
        if self.owned:
            await self.client.aclose()

    def _own_request(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence
    ) -> httpx.Request:
        same = self._same(method, resource)
        target, content, headers = same.path, parameters, same.headers
        if method == "POST":
            headers = same.headers_for(len(content))
        else:
            target, content = HiddenBytes(b"%s?%s" % (target, parameters)), b""
        return httpx.Request(
            method,
            same.url,
            headers=headers,
            # We pass `stream` because, with `content`, httpx would compute the Content-Length header again.
            stream=httpx.ByteStream(content),
            extensions={
                "timeout": self.timeout,
                "trace": evidence.trace,
                "target": target,
                "content": content,
            },
        )

    def _request(self, method: str, resource: str, parameters: bytes, evidence: Evidence) -> httpx.Request:
        same = self._same(method, resource)
        request = self.client.build_request(
            method,
            same.url,
            headers=same.headers,
            content=parameters if method == "POST" else None,
            extensions={"timeout": self.timeout, "trace": evidence.trace},
        )
        # httpx logs the URL of each request. `PrivateURL` hides the query, which contains the session id.
        query = {} if method == "POST" else {"query": parameters}
        request.url = PrivateURL(request.url.copy_with(**query))
        return request

    def _same(self, method: str, resource: str) -> _RequestParts:
        same = self._resources.get((method, resource))
        if same is None:
            url = self.base_url.copy_with(path=f"{self.base_url.path.rstrip('/')}/{resource}")
            # If the caller supplies the HTTP client or the transport, httpx sets the `Host` header itself.
            host = {} if self.own is None else {"Host": url.netloc.decode("ascii")}
            headers = httpx.Headers({**host, **self.headers})
            if method == "POST":
                headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
            same = self._resources[method, resource] = _RequestParts(url, url.raw_path, headers)
        return same


def transport_errors() -> tuple[type[Exception], ...]:
    """Return `TRANSPORT_ERRORS`, and httpcore's exceptions if httpcore is imported."""
    # This function does not import httpcore, because the import takes 0.1 seconds. If httpcore is not
    # imported, no code can raise an exception of httpcore.
    httpcore = sys.modules.get("httpcore")
    if httpcore is None:
        return TRANSPORT_ERRORS
    return (
        *TRANSPORT_ERRORS,
        httpcore.ConnectionNotAvailable,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.TimeoutException,
        httpcore.UnsupportedProtocol,
    )


def _to_proxy(info: Mapping[str, Any]) -> bool:
    """Return whether a trace event belongs to a CONNECT request.

    A CONNECT request asks the proxy for a tunnel. The request to the gateway is written later, through
    the tunnel.
    """
    return getattr(info.get("request"), "method", None) == b"CONNECT"


def _failure(error: BaseException, evidence: Evidence) -> ExchangeFailure:
    kind = f"{type(error).__module__.split('.')[0]}.{type(error).__qualname__}"
    if isinstance(error, ssl.SSLError):
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
