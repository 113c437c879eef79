"""One exchange: a request out, an answer in, or a failure and what it proves."""

import re
import ssl
from collections.abc import Mapping
from typing import Any, Protocol

import anyio
import attrs
import httpcore
import httpx

from smsapi_async.errors import ClientClosed
from smsapi_async.http.private import PrivateURL, in_exchange

# Whatever a transport is known to raise. No `Exception` here: what is not in the table is a defect,
# and hiding it behind an outcome would hide it for good.
TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpcore.ConnectionNotAvailable,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    OSError,
    EOFError,
)
_WRITING = re.compile(r"\.send_request_headers\.started$")


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
        if _WRITING.search(event) and not _to_proxy(info):
            self.written = True

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
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: str | None = None


@attrs.frozen
class Failure:
    """No whole HTTP answer.

    Attributes:
        kind: the exception's qualified name.
        words: its text; it may hold what a server sent.
        not_sent: whether it is proved that nothing was written.
    """

    kind: str
    words: str = attrs.field(repr=False)
    not_sent: bool


class Exchanger(Protocol):
    """Runs exchanges."""

    async def exchange(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence
    ) -> Answer | Failure:
        """Make one request: parameters in the query of a GET, in the body of a POST."""

    async def aclose(self) -> None:
        """Close what was opened here."""


@attrs.define
class HttpExchanger:
    """Exchanges through an `httpx.AsyncClient`.

    Attributes:
        client: the client.
        base_url: the gateway's address, without a slash at its end.
        headers: sent with every request.
        timeout: httpx's ``timeout`` extension.
        owned: whether the client was made here and is closed here.
        targeted: whether the transport is this package's own, which takes the query beside the URL.
    """

    client: httpx.AsyncClient
    base_url: httpx.URL
    headers: dict[str, str]
    timeout: dict[str, float | None]
    owned: bool
    targeted: bool

    async def exchange(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence
    ) -> Answer | Failure:
        """Make one request: parameters in the query of a GET, in the body of a POST."""
        if self.client.is_closed:
            raise ClientClosed
        evidence.begun = True
        if self.targeted:
            # A connection that was never assigned reports nothing; this transport is known to report.
            evidence.reported = evidence.trusted = True
        request = self._request(method, resource, parameters, evidence)
        token = in_exchange.set(True)
        try:
            response = await self.client.send(request, follow_redirects=False)
        except TRANSPORT_ERRORS as error:
            return _failure(error, evidence)
        finally:
            in_exchange.reset(token)
        return Answer(response.status_code, response.content, response.headers.get("retry-after"))

    async def aclose(self) -> None:
        """Close the client, unless it is the caller's."""
        if self.owned:
            await self.client.aclose()

    def _request(self, method: str, resource: str, parameters: bytes, evidence: Evidence) -> httpx.Request:
        url = self.base_url.copy_with(path=f"{self.base_url.path.rstrip('/')}/{resource}")
        content = parameters if method == "POST" else None
        query = None if method == "POST" else parameters
        headers = dict(self.headers)
        if content is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        extensions = {"timeout": self.timeout, "trace": evidence.trace}
        if self.targeted:
            target = url.raw_path if query is None else url.raw_path + b"?" + query
            return httpx.Request(
                method, url, headers=headers, content=content, extensions={**extensions, "target": target}
            )
        request = self.client.build_request(
            method, url, headers=headers, content=content, extensions=extensions
        )
        request.url = PrivateURL(request.url.copy_with(query=query) if query is not None else request.url)
        return request


def _to_proxy(info: Mapping[str, Any]) -> bool:
    """A CONNECT asks the proxy for a tunnel; the request itself follows it."""
    request = info.get("request")
    return isinstance(request, httpcore.Request) and request.method == b"CONNECT"


def _failure(error: BaseException, evidence: Evidence) -> Failure:
    kind = f"{type(error).__module__.split('.')[0]}.{type(error).__qualname__}"
    if isinstance(error, ssl.SSLError):
        kind = f"ssl.{type(error).__qualname__}"
    return Failure(kind=kind, words=str(error), not_sent=evidence.proves_not_sent(error))
