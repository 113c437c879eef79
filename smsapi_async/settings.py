"""The settings of the client, with their defaults, and the checks of the client's parameters."""

from __future__ import annotations

import ipaddress
import random
import re
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from smsapi_async.clock import Clock, SystemClock
from smsapi_async.datetimes import InvalidDateError, plain_datetime
from smsapi_async.errors import ValidationError
from smsapi_async.pace import Pace
from smsapi_async.privacy import is_encodable, mask_misplaced, sealed, steady_repr, type_name

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

_Value = TypeVar("_Value")
# The pattern matches the scheme, the login, the host, the port and the path of a URL (RFC 3986). All
# characters are printable ASCII characters except the space, the backslash, `?` and `#`. A backslash is a
# slash for some programs, and a part of the host for other programs.
_ADDRESS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([!\"$-.0->@-\[\]-~]*@)?(\[[^\[\]@/]*\]|[A-Za-z0-9_.-]+)"
    r"(?::([0-9]{0,6}))?(/[!\"$->@-\[\]-~]*)?",
    re.ASCII,
)
# A label of a host name has 1 to 63 characters, and a host name at most 253 (RFC 1035, 2.3.4).
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_LONGEST_NAME = 253
# An address in this form must be an IPv4 address (RFC 3986, 3.2.2).
_DOTTED = re.compile(r"[0-9]+(\.[0-9]+){3}", re.ASCII)
# httpx refuses a longer URL.
_LONGEST_URL = 65_536
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)

BASE_URL = "https://integrationapi.net/rest"
CONCURRENCY = 10
"""The default maximum number of requests in flight.

With 10 requests in flight, httpcore almost reaches its maximum throughput. The vendor's SOAP service allows
10 requests per second (contract, "Rate").
"""
RESPONSE_LIMIT = 16 * 1024 * 1024
"""The largest allowed body of a response in bytes; for `incoming`, four times this number is allowed."""
RETRY_AFTER_LIMIT = 300.0
"""The default longest wait, in seconds, that a read accepts from the header ``Retry-After``."""
LOGIN_COOL_DOWN = timedelta(seconds=60)
"""The default time for which the client makes no other login after a refused login."""


def _positive(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        hint = "pass a positive number"
        raise ValidationError(f"{type(instance).__name__}.{attribute.name}", mask_misplaced(value), hint)


def _whole(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        name = f"{type(instance).__name__}.{attribute.name}"
        raise ValidationError(name, mask_misplaced(value), "pass a whole number, 1 or greater")


@steady_repr
@attrs.frozen(kw_only=True)
class Timeouts:
    """The timeouts for the steps of a request, in seconds.

    Attributes:
        connect: the timeout for opening a new connection, including the TLS handshake.
        read: the timeout for the next bytes of the response. The default is long, because a send without a
            response has an unknown outcome.
        write: the timeout for writing the next bytes of the request.
        pool: the timeout for getting a connection from the pool. The client limits the requests in flight,
            so normally no request waits for a connection.
        total: the timeout for a whole exchange: the name lookup, the connection, the TLS handshake, the
            request and the response. ``total`` also ends an exchange in which the server sends one byte at a
            time. If ``total`` ends a send, the outcome is unknown, or not sent if no byte of the request was
            written.

    Raises:
        ValidationError: if a value is not a positive number.
    """

    connect: float = attrs.field(default=10.0, validator=_positive)
    read: float = attrs.field(default=60.0, validator=_positive)
    write: float = attrs.field(default=30.0, validator=_positive)
    pool: float = attrs.field(default=30.0, validator=_positive)
    total: float = attrs.field(default=120.0, validator=_positive)


@steady_repr
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Decides whether and when a call to the gateway makes another attempt.

    A read may be repeated after a failure. A send is repeated only if there is a proof that nothing was sent.

    Attributes:
        attempts: the largest number of attempts of a call, including the first attempt; 1 means no repeat.
        total: the number of seconds after the start of the call, after which no other attempt begins.
        initial: the longest wait before the second attempt, in seconds. The longest wait doubles with each
            further attempt.
        maximum: the longest wait between two attempts, in seconds. A wait that the gateway asks for may be
            longer, up to `retry_after_limit`.
        retry_after_limit: the longest wait, in seconds, that a read accepts from the header ``Retry-After``.
            A longer wait counts as this wait, also in the streams of incoming messages and of deliveries, and
            in ``retry_after`` of the error of a read. The limit does not apply to sends.

    Raises:
        ValidationError: if `attempts` is not a positive whole number, or if another value is not a positive
            number.
    """

    attempts: int = attrs.field(default=4, validator=_whole)
    total: float = attrs.field(default=60.0, validator=_positive)
    initial: float = attrs.field(default=0.5, validator=_positive)
    maximum: float = attrs.field(default=10.0, validator=_positive)
    retry_after_limit: float = attrs.field(default=RETRY_AFTER_LIMIT, validator=_positive)

    def wait(
        self, attempt: int, elapsed: float, retry_after: float | None, chance: random.Random
    ) -> float | None:
        """Return the seconds to wait before the next attempt; None means that no other attempt is made.

        Args:
            attempt: the number of attempts that the call has already made.
            elapsed: the seconds since the start of the call.
            retry_after: the seconds that the gateway asks the client to wait, or None. `retry_after` may be
                longer than `maximum`, and counts up to `retry_after_limit`.
            chance: the generator of random numbers. If `retry_after` is None, the wait is a random number
                between 0 and the longest wait.
        """
        if attempt >= self.attempts:
            return None
        # The exponent is limited to 60, because a multiplication with `2**1024` or a larger power would
        # raise an OverflowError.
        limit = min(self.maximum, self.initial * 2 ** min(attempt - 1, 60))
        wait = chance.uniform(0, limit) if retry_after is None else min(retry_after, self.retry_after_limit)
        return wait if elapsed + wait < self.total else None


@sealed
def checked_base_url(base_url: object, *, allow_plain_http: bool) -> str:
    """Return the gateway's address in its normal form.

    In the normal form, the scheme is in lower case, and no slash is at the end. A dot at the end of the host
    is removed, because the certificate of a server and the names of its sites have no such dot.

    Raises:
        ValidationError: if `base_url` is not a valid address, or contains ``@``, ``?`` or ``#``. An
            ``http://`` address is refused if it is not a loopback address and `allow_plain_http` is False.
    """
    hint = f"pass an address such as {BASE_URL!r}"
    if not isinstance(base_url, str):
        raise ValidationError("base_url", type_name(base_url), hint)
    if any(mark in base_url for mark in "@?#"):
        # The error does not show the base URL, because the part before @ or after ? may be a password.
        raise ValidationError("base_url", "an address with '@', '?' or '#'", hint)
    try:
        url = _parsed(base_url, {"http", "https"})
    except _InvalidURLError as error:
        raise ValidationError("base_url", ascii(base_url[:80]), error.hint or hint) from None
    if url.scheme == "http" and not allow_plain_http and not _is_loopback(url.host):
        hint = (
            "pass an https:// address, or allow_plain_http=True (for from_env: SMSAPI_ALLOW_PLAIN_HTTP=1) to "
            "send the password unencrypted"
        )
        raise ValidationError("base_url", repr(base_url), hint)
    return f"{url.scheme}://{url.authority}{url.path}".rstrip("/")


def host_of(base_url: str) -> str:
    """Return the host of a base URL in its normal form, without brackets."""
    return _parsed(base_url, {"http", "https"}).host


def checked_proxy(proxy: object) -> str:
    """Return the URL of a proxy in the same normal form as `checked_base_url`.

    The error never shows the URL, because the URL may contain a password.

    Raises:
        ValidationError: if `proxy` is not a valid URL, or has a path, a query or a fragment.
    """
    hint = "pass an address such as 'http://127.0.0.1:3128' or 'socks5://127.0.0.1:1080'"
    if not isinstance(proxy, str):
        raise ValidationError("proxy", type_name(proxy), hint)
    encoded = "percent-encode the login and the password of the proxy: '#' is %23, '/' is %2F, '%' is %25"
    try:
        url = _parsed(proxy, {"http", "https", "socks5", "socks5h"})
    except _InvalidURLError as error:
        # If the login or the password contains a mark of the URL syntax, the rest of the URL has no sense.
        raise ValidationError("proxy", "<str>", encoded if "@" in proxy else error.hint or hint) from None
    if url.path not in ("", "/") or _BROKEN_ESCAPE.search(url.login):
        raise ValidationError("proxy", "<str>", encoded if "@" in proxy else hint)
    return f"{url.scheme}://{url.login}{url.authority}"


class _InvalidURLError(ValueError):
    """A URL is not valid. `hint` says what to pass instead; "" means that the caller knows a hint."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


@attrs.frozen
class _URL:
    """The parts of a URL in their normal form.

    Attributes:
        scheme: the scheme in lower case.
        login: the login and the password with the ``@``; "" if the URL has no login.
        host: the host without brackets.
        authority: the host and the port, as a URL contains them.
        path: the path with its first slash; "" if the URL has no path.
    """

    scheme: str
    login: str
    host: str
    authority: str
    path: str


def _parsed(url: str, schemes: set[str]) -> _URL:
    """Parse a URL more strictly than httpx, which reads some wrong URLs as the URL of another host.

    Raises:
        _InvalidURLError: if the URL is not valid, has another scheme, or contains ``?`` or ``#``.
    """
    match = _ADDRESS.fullmatch(url) if len(url) <= _LONGEST_URL else None
    if match is None:
        raise _InvalidURLError(_hint_for(url))
    scheme, login, host, port, path = (match[group] or "" for group in range(1, 6))
    name = _checked_host(host)
    number = int(port) if port else None
    if scheme.lower() not in schemes or (number is not None and not 0 < number < 65536):
        raise _InvalidURLError
    end = "" if number is None else f":{number}"
    authority = f"[{name}]{end}" if ":" in name else f"{name}{end}"
    return _URL(scheme.lower(), login, name, authority, path)


def _checked_host(host: str) -> str:
    """Return a host in lower case, without brackets and without a dot at the end."""
    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise _InvalidURLError from None
        if address.scope_id is not None:
            raise _InvalidURLError
        return str(address)
    name = host.removesuffix(".").lower()
    if _DOTTED.fullmatch(name):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise _InvalidURLError from None
    # A longer name or an empty label makes the resolver of Python raise a UnicodeError.
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise _InvalidURLError
    return name


def _hint_for(url: str) -> str:
    """Return the hint for a host with letters that are not ASCII; "" for all other URLs."""
    host = re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    if host.isascii() or not is_encodable(host):
        return ""
    return "pass the ASCII form of the host: each label with other letters begins with 'xn--'"


def checked_response_limit(response_limit: object) -> int:
    """Check and return the largest allowed body of a response in bytes.

    Raises:
        ValidationError: if `response_limit` is not an integer, or is less than 1024.
    """
    if isinstance(response_limit, bool) or not isinstance(response_limit, int) or response_limit < 1024:
        value = repr(response_limit) if type(response_limit) is int else type_name(response_limit)
        raise ValidationError("response_limit", value, "pass a number of bytes from 1024 on")
    return response_limit


def checked_concurrency(concurrency: object) -> int:
    """Check and return the maximum number of requests in flight.

    Raises:
        ValidationError: if `concurrency` is not a positive whole number.
    """
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise ValidationError("concurrency", mask_misplaced(concurrency), "pass a whole number, 1 or greater")
    return concurrency


def checked_rate(requests_per_second: object) -> float | None:
    """Check and return the maximum number of requests per second; None means no limit.

    Raises:
        ValidationError: if `requests_per_second` is neither a positive number nor None.
    """
    if requests_per_second is None:
        return None
    is_number = isinstance(requests_per_second, int | float) and not isinstance(requests_per_second, bool)
    if not is_number or not 0 < requests_per_second < float("inf"):  # type: ignore[operator]
        raise ValidationError(
            "requests_per_second", mask_misplaced(requests_per_second), "pass a positive number, or None"
        )
    return float(requests_per_second)  # type: ignore[arg-type]


def checked_pace(pace: Pace | None) -> Pace | None:
    """Check and return the pace; None means no limit.

    Raises:
        ValidationError: if the object does not have the method of `Pace`.
    """
    return checked_methods("pace", pace, ("wait",), None)


@sealed
def checked_credential(parameter: str, value: object) -> str:
    """Check and return a login or a password.

    Args:
        parameter: the name of the parameter that the error shows.
        value: the login or the password. The error does not show this value.

    Raises:
        ValidationError: if the login or the password is not a `str`, is empty, or contains a lone surrogate.
    """
    if not isinstance(value, str):
        raise ValidationError(parameter, type_name(value), "pass a str")
    if not value:
        raise ValidationError(
            parameter, "an empty str", "pass the value that the gateway gave you at registration"
        )
    if not is_encodable(value):
        raise ValidationError(parameter, "a str with a lone surrogate", "pass a str without lone surrogates")
    return value


def checked_instance(parameter: str, value: _Value | None, kind: type[_Value], default: _Value) -> _Value:
    """Check the type of a value, and return the value, or the default if the value is None.

    Args:
        parameter: the name of the parameter that the error shows.
        value: the value of the parameter.
        kind: the class that the value must be an instance of.
        default: the value to return if the caller passed None.

    Raises:
        ValidationError: if the value is not None and not an instance of `kind`.
    """
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ValidationError(parameter, type_name(value), f"pass a smsapi_async.{kind.__name__}")
    return value


def checked_methods(
    parameter: str, value: _Value | None, methods: tuple[str, ...], default: _Value
) -> _Value:
    """Check the methods of an object, and return the object, or the default if the object is None.

    Args:
        parameter: the name of the parameter that the error shows.
        value: the object that the caller passed.
        methods: the names of the methods that the object must have.
        default: the object to return if the caller passed None.

    Raises:
        ValidationError: if the object does not have all methods in `methods`.
    """
    if value is None:
        return default
    if not all(callable(getattr(value, method, None)) for method in methods):
        hint = f"pass an object with the methods {', '.join(methods)}"
        raise ValidationError(parameter, type_name(value), hint)
    return value


def check_ledger(ledger: object | None) -> None:
    """Check that an object has the methods of a ledger that sends need; None means no ledger.

    Raises:
        ValidationError: if the object is no ledger.
    """
    checked_methods("ledger", ledger, ("key_of", "claim", "settle", "release", "wait"), None)


def checked_clock(clock: Clock | None) -> Clock:
    """Check and return the clock; None means the clock of the operating system.

    The function does not call ``monotonic()``, which may need a running event loop.

    Raises:
        ValidationError: if the clock does not have all methods of `Clock`, or ``now()`` returns no aware
            datetime.
    """
    checked = checked_methods("clock", clock, ("now", "monotonic", "sleep"), SystemClock())
    assert checked is not None  # noqa: S101 - for the type checker: the default is not None
    now: object = checked.now()
    try:
        is_aware = isinstance(now, datetime) and plain_datetime(now).tzinfo is not None
    except InvalidDateError:
        is_aware = False
    if not is_aware:
        hint = "let now() return an aware datetime in UTC"
        raise ValidationError("clock", f"a <{type(now).__name__}> from now()", hint)
    return checked


def checked_cool_down(login_cool_down: object) -> timedelta:
    """Check and return the cool-down: the time without another login after a refused login.

    Raises:
        ValidationError: if `login_cool_down` is not a `timedelta`, or is negative.
    """
    if not isinstance(login_cool_down, timedelta) or login_cool_down < timedelta(0):
        raise ValidationError(
            "login_cool_down", mask_misplaced(login_cool_down), "pass a timedelta that is not negative"
        )
    return login_cool_down


def checked_timeout(value: object) -> float | None:
    """Return the timeout of a call in seconds, or None if there is none.

    Raises:
        ValidationError: if the timeout is not a positive number or a positive `timedelta`.
    """
    return None if value is None else checked_seconds("timeout", value)


def checked_seconds(parameter: str, value: object) -> float:
    """Check a duration, and return the duration in seconds.

    Args:
        parameter: the name of the parameter that the error shows.
        value: the duration, as a `timedelta` or in seconds.

    Raises:
        ValidationError: if the duration is neither a `timedelta` nor a number, or is not positive.
    """
    seconds = _seconds(value)
    if seconds is None or seconds == 0:
        raise ValidationError(
            parameter, mask_misplaced(value), "pass a positive timedelta or number of seconds"
        )
    return seconds


def checked_grace(grace: object) -> float:
    """Check the time to wait for requests in flight at a close, and return the time in seconds.

    Raises:
        ValidationError: if `grace` is neither a `timedelta` nor a number, is negative, or is infinite.
    """
    seconds = _seconds(grace)
    if seconds is None:
        hint = "pass a timedelta or number of seconds, 0 or greater"
        raise ValidationError("grace", mask_misplaced(grace), hint)
    return seconds


def _seconds(value: object) -> float | None:
    """Return a duration in seconds; None if the value is no duration, or is negative or infinite."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    # The limit excludes an `int` for which `float` would raise an OverflowError.
    return float(number) if 0 <= number < sys.float_info.max else None


def tls_context(ssl_context: ssl.SSLContext | None, ca_file: str | Path | None) -> ssl.SSLContext | None:
    """Return the TLS context for the gateway; None means the default context.

    Args:
        ssl_context: the caller's TLS context, or None.
        ca_file: the path of a file with PEM certificates to trust, or None.

    Raises:
        ValidationError: if both parameters are given, if a parameter has a wrong type, or if the file cannot
            be read.
    """
    if ssl_context is None and ca_file is None:
        return None
    # The imports are inside the function, because few clients have one of these settings.
    import ssl  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):
        raise ValidationError("ssl_context", type_name(ssl_context), "pass an ssl.SSLContext")
    if ca_file is None:
        return ssl_context
    if not isinstance(ca_file, str | Path):
        raise ValidationError("ca_file", type_name(ca_file), "pass a path as a str or Path")
    if ssl_context is not None:
        raise ValidationError("ca_file", repr(str(ca_file)), "pass either ca_file or ssl_context")
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        hint = f"pass a readable file of PEM certificates ({type(error).__name__})"
        raise ValidationError("ca_file", repr(str(ca_file)), hint) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
