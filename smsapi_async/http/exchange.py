"""One exchange: a request out, an answer in, or a failure and what it proves."""

import re
import ssl
import sys
from collections.abc import Mapping
from typing import Any

import anyio
import attrs
import httpx

from smsapi_async.errors import ClientClosed
from smsapi_async.http.base import WITHDRAWN
from smsapi_async.http.choice import AutomaticTransport
from smsapi_async.http.redaction import PrivateURL, in_exchange

# Whatever a transport is known to raise. No `Exception` here: what is not in the table is a defect,
# and hiding it behind an outcome would hide it for good.
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
_LENGTHS_REMEMBERED = 256
_WRITING = ".send_request_headers.started"


@attrs.define
class Evidence:
    """What a transport reported of one exchange, readable also after a cancellation.

    Attributes:
        begun: whether the request was handed to the transport.
        reported: whether the transport reported anything at all.
        written: whether it began to write the request.
        trusted: whether the transport is known to report everything.
        failure: the exception that the last event reported.
    """

    begun: bool = False
    reported: bool = False
    written: bool = False
    trusted: bool = False
    failure: object = attrs.field(default=None, repr=False)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """The ``trace`` extension of httpcore."""
        self.reported = True
        self.failure = info.get("exception")
        if event.endswith(_WRITING) and not _to_proxy(info):
            self.written = True
        elif event.endswith(WITHDRAWN) and self.trusted:
            self.written = False

    def reset(self) -> None:
        """Begin another attempt."""
        self.begun = self.reported = self.written = self.trusted = False
        self.failure = None

    def proves_not_sent(self, error: BaseException | None = None) -> bool:
        """Whether nothing of the request can have reached anybody; without an error, after a cancellation."""
        if not self.begun:
            return True
        if not self.reported or self.written:
            return False
        if self.trusted:
            return True
        # A caller's transport may have tried another way, of which it does not report, after the one
        # that it reported: only the very exception that was reported proves.
        if error is None:
            return isinstance(self.failure, anyio.get_cancelled_exc_class())
        return self.failure is not None and self.failure in (error, error.__cause__)


@attrs.frozen
class HttpResponse:
    """A whole HTTP answer."""

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: str | None = None


@attrs.frozen
class ExchangeFailure:
    """No whole HTTP answer.

    Attributes:
        kind: the exception's qualified name.
        words: its text; it may hold what a server sent.
        not_sent: whether it is proved that nothing was written.
    """

    kind: str
    words: str = attrs.field(repr=False)
    not_sent: bool


@attrs.frozen
class _RequestParts:
    """What is the same in all requests for one resource."""

    url: httpx.URL
    path: bytes
    headers: httpx.Headers
    _sized: dict[int, httpx.Headers] = attrs.field(factory=dict, repr=False)

    def headers_for(self, length: int) -> httpx.Headers:
        """The headers of a body: httpx copies headers of its own kind much faster than it makes them."""
        headers = self._sized.get(length)
        if headers is None:
            if len(self._sized) >= _LENGTHS_REMEMBERED:
                self._sized.clear()
            headers = self._sized[length] = self.headers.copy()
            headers["Content-Length"] = str(length)
        return headers


@attrs.define
class Exchanger:
    """Exchanges through an `httpx.AsyncClient`.

    Attributes:
        client: the client.
        base_url: the gateway's address, without a slash at its end.
        headers: sent with every request.
        timeout: httpx's ``timeout`` extension.
        owned: whether the client was made here and is closed here.
        own: this package's own transport, which takes the query beside the URL; None where the caller
            brings the transport or the client.
    """

    client: httpx.AsyncClient
    base_url: httpx.URL
    headers: dict[str, str]
    timeout: dict[str, float | None]
    owned: bool
    own: AutomaticTransport | None
    _resources: dict[tuple[str, str], _RequestParts] = attrs.field(factory=dict, repr=False)

    @property
    def description(self) -> str:
        """Which transport runs."""
        if self.own is not None:
            return f"transport={self.own.name}"
        return "transport=the caller's" if self.owned else "client=the caller's"

    async def open(self) -> None:
        """Choose the transport, where there is a choice.

        Raises:
            ValidationError: the one that is forced cannot run on this loop.
        """
        if self.own is not None:
            await self.own.choose()

    async def exchange(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence
    ) -> HttpResponse | ExchangeFailure:
        """Make one request: parameters in the query of a GET, in the body of a POST."""
        if self.client.is_closed:
            raise ClientClosed
        evidence.begun = True
        if self.own is None:
            request = self._request(method, resource, parameters, evidence)
        else:
            # A connection that was never assigned reports nothing; this transport is known to report.
            evidence.reported = evidence.trusted = True
            request = self._own_request(method, resource, parameters, evidence)
        token = in_exchange.set(True)
        try:
            response = await self.client.send(request, follow_redirects=False)
        except transport_errors() as error:
            return _failure(error, evidence)
        finally:
            in_exchange.reset(token)
        retry_after = response.headers.get("retry-after") if response.status_code >= 400 else None
        return HttpResponse(response.status_code, response.content, retry_after)

    async def aclose(self) -> None:
        """Close the client, unless it is the caller's."""
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
            target, content = b"%s?%s" % (target, parameters), b""
        return httpx.Request(
            method,
            same.url,
            headers=headers,
            # Not `content`: httpx would work out the header again.
            stream=httpx.ByteStream(content),
            extensions={"timeout": self.timeout, "trace": evidence.trace, "target": target},
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
        query = {} if method == "POST" else {"query": parameters}
        request.url = PrivateURL(request.url.copy_with(**query))
        return request

    def _same(self, method: str, resource: str) -> _RequestParts:
        same = self._resources.get((method, resource))
        if same is None:
            url = self.base_url.copy_with(path=f"{self.base_url.path.rstrip('/')}/{resource}")
            # A client of the caller's writes the field itself.
            host = {} if self.own is None else {"Host": url.netloc.decode("ascii")}
            headers = httpx.Headers({**host, **self.headers})
            if method == "POST":
                headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
            same = self._resources[method, resource] = _RequestParts(url, url.raw_path, headers)
        return same


def transport_errors() -> tuple[type[Exception], ...]:
    """`TRANSPORT_ERRORS`, with httpcore's where anybody has imported it: that takes a tenth of a second."""
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
    """A CONNECT asks the proxy for a tunnel; the request itself follows it."""
    return getattr(info.get("request"), "method", None) == b"CONNECT"


def _failure(error: BaseException, evidence: Evidence) -> ExchangeFailure:
    kind = f"{type(error).__module__.split('.')[0]}.{type(error).__qualname__}"
    if isinstance(error, ssl.SSLError):
        kind = f"ssl.{type(error).__qualname__}"
    return ExchangeFailure(kind=kind, words=_words(error), not_sent=evidence.proves_not_sent(error))


def _words(error: BaseException) -> str:
    """The words of the system and of this package; others may quote a proxy, which may quote its password."""
    name = type(error).__name__
    if name == "ProxyError":
        status = _STATUS.search(str(error))
        return "" if status is None else f"the proxy answered with HTTP {status[0]}"
    return str(error) if name in {"ConnectError", "ConnectTimeout"} or isinstance(error, OSError) else ""
