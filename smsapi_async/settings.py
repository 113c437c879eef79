"""The settings of the client, with their defaults, and the checks of the client's parameters."""

import ipaddress
import random
import re
import ssl
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import is_encodable, mask_misplaced, sealed, steady_repr

_Value = TypeVar("_Value")
# The pattern matches a base URL. `[!-~]` matches all printable ASCII characters except the space.
_ADDRESS = re.compile(r"https?://[!-~]+", re.ASCII)

BASE_URL = "https://integrationapi.net/rest"
CONCURRENCY = 10
"""The default maximum number of requests in flight.

With 10 requests in flight, httpcore almost reaches its maximum throughput. The vendor's SOAP service allows
10 requests per second (contract, "Rate").
"""
RESPONSE_LIMIT = 16 * 1024 * 1024
"""The largest allowed body of a response in bytes; for `incoming`, four times this number is allowed."""
LOGIN_COOL_DOWN = timedelta(seconds=60)
"""The default time for which the client makes no other login after a refused login."""


def _positive(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        hint = "pass a positive number"
        raise ValidationError(f"{type(instance).__name__}.{attribute.name}", mask_misplaced(value), hint)


def _whole(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
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
            longer.

    Raises:
        ValidationError: if `attempts` is not a positive whole number, or if another value is not a positive
            number.
    """

    attempts: int = attrs.field(default=4, validator=_whole)
    total: float = attrs.field(default=60.0, validator=_positive)
    initial: float = attrs.field(default=0.5, validator=_positive)
    maximum: float = attrs.field(default=10.0, validator=_positive)

    def wait(
        self, attempt: int, elapsed: float, retry_after: float | None, chance: random.Random
    ) -> float | None:
        """Return the seconds to wait before the next attempt; None means that no other attempt is made.

        Args:
            attempt: the number of attempts that the call has already made.
            elapsed: the seconds since the start of the call.
            retry_after: the seconds that the gateway asks the client to wait, or None. `retry_after` may be
                longer than `maximum`.
            chance: the generator of random numbers. If `retry_after` is None, the wait is a random number
                between 0 and the longest wait.
        """
        if attempt >= self.attempts:
            return None
        # The exponent is limited to 60, because a multiplication with `2**1024` or a larger power would
        # raise an OverflowError.
        limit = min(self.maximum, self.initial * 2 ** min(attempt - 1, 60))
        wait = chance.uniform(0, limit) if retry_after is None else retry_after
        return wait if elapsed + wait < self.total else None


@sealed
def checked_base_url(base_url: object, *, allow_plain_http: bool) -> str:
    """Return the gateway's address without a slash at the end.

    Raises:
        ValidationError: if `base_url` is not a valid address, or contains ``@``, ``?`` or ``#``. An
            ``http://`` address is refused if it is not a loopback address and `allow_plain_http` is False.
    """
    hint = f"pass an address such as {BASE_URL!r}"
    if not isinstance(base_url, str):
        raise ValidationError("base_url", f"<{type(base_url).__name__}>", hint)
    if any(mark in base_url for mark in "@?#"):
        # The error does not show the base URL, because the part before @ or after ? may be a password.
        raise ValidationError("base_url", "an address with '@', '?' or '#'", hint)
    try:
        parts = urlsplit(base_url)
        is_valid = parts.port is None or parts.port > 0
    except ValueError:
        is_valid = False
    # The pattern checks the original text, because `urlsplit` removes some control characters and accepts
    # others.
    if not is_valid or not _ADDRESS.fullmatch(base_url) or not parts.hostname:
        raise ValidationError("base_url", ascii(base_url), hint)
    if parts.scheme == "http" and not allow_plain_http and not _is_loopback(parts.hostname):
        hint = "pass an https:// address, or allow_plain_http=True to send the password unencrypted"
        raise ValidationError("base_url", repr(base_url), hint)
    return base_url.rstrip("/")


def checked_response_limit(response_limit: object) -> int:
    """Check and return the largest allowed body of a response in bytes.

    Raises:
        ValidationError: if `response_limit` is not an integer, or is less than 1024.
    """
    if isinstance(response_limit, bool) or not isinstance(response_limit, int) or response_limit < 1024:
        value = repr(response_limit) if type(response_limit) is int else f"<{type(response_limit).__name__}>"
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
        raise ValidationError(parameter, f"<{type(value).__name__}>", "pass a str")
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
        raise ValidationError(parameter, f"<{type(value).__name__}>", f"pass a {kind.__name__}")
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
        raise ValidationError(parameter, f"<{type(value).__name__}>", hint)
    return value


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


def checked_seconds(parameter: str, value: object) -> float:
    """Check a duration, and return the duration in seconds.

    Args:
        parameter: the name of the parameter that the error shows.
        value: the duration, as a `timedelta` or in seconds.

    Raises:
        ValidationError: if the duration is neither a `timedelta` nor a number, or is not positive.
    """
    # The check below excludes an `int` that is greater than the largest float, because `float` would raise an
    # OverflowError.
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < sys.float_info.max:
        raise ValidationError(
            parameter, mask_misplaced(value), "pass a positive timedelta or number of seconds"
        )
    return float(number)


def tls_context(ssl_context: ssl.SSLContext | None, ca_file: str | Path | None) -> ssl.SSLContext | None:
    """Return the TLS context for the gateway; None means the default context.

    Args:
        ssl_context: the caller's TLS context, or None.
        ca_file: the path of a file with PEM certificates to trust, or None.

    Raises:
        ValidationError: if both parameters are given, if a parameter has a wrong type, or if the file cannot
            be read.
    """
    if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):
        raise ValidationError("ssl_context", f"<{type(ssl_context).__name__}>", "pass an ssl.SSLContext")
    if ca_file is None:
        return ssl_context
    if not isinstance(ca_file, str | Path):
        raise ValidationError("ca_file", f"<{type(ca_file).__name__}>", "pass a path as a str or Path")
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
