"""What can be set, as frozen values with stated defaults, checked when they are made."""

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
from smsapi_async.privacy import is_encodable

_Value = TypeVar("_Value")
_ADDRESS = re.compile(r"https?://[!-~]+", re.ASCII)

BASE_URL = "https://integrationapi.net/rest"
CONCURRENCY = 10
"""Requests in flight at once: httpcore is at its best near 10, and so is the gateway's own limit."""
LOGIN_COOL_DOWN = timedelta(seconds=60)


def _positive(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        hint = "pass a positive number"
        raise ValidationError(f"{type(instance).__name__}.{attribute.name}", repr(value), hint)


def _whole(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        name = f"{type(instance).__name__}.{attribute.name}"
        raise ValidationError(name, repr(value), "pass a whole number from 1 on")


@attrs.frozen(kw_only=True)
class Timeouts:
    """Seconds that each step of a request may take.

    Attributes:
        connect: to connect, TLS included.
        read: until the next bytes of the answer. Generous: giving up on a send leaves it unknown.
        write: until the next bytes of the request are taken.
        pool: for a connection of the pool. The client's own limiter stands in front of the pool, so
            that nothing waits there.
    """

    connect: float = attrs.field(default=10.0, validator=_positive)
    read: float = attrs.field(default=60.0, validator=_positive)
    write: float = attrs.field(default=30.0, validator=_positive)
    pool: float = attrs.field(default=30.0, validator=_positive)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a request is made again: reads after a failure, sends only when proved not sent.

    Attributes:
        attempts: the first one included; 1 means never again.
        total: seconds from the first attempt after which none is begun.
        initial: the longest wait, in seconds, before the second attempt; it doubles from there.
        maximum: the longest wait between two attempts.
    """

    attempts: int = attrs.field(default=4, validator=_whole)
    total: float = attrs.field(default=60.0, validator=_positive)
    initial: float = attrs.field(default=0.5, validator=_positive)
    maximum: float = attrs.field(default=10.0, validator=_positive)

    def wait(
        self, attempt: int, elapsed: float, retry_after: float | None, chance: random.Random
    ) -> float | None:
        """Seconds to wait before the next attempt; None where there is none.

        Args:
            attempt: how many attempts were made.
            elapsed: seconds since the first began.
            retry_after: what the gateway asked for; honoured, also beyond ``maximum``.
            chance: the source of the jitter (full jitter: anything up to the limit).
        """
        if attempt >= self.attempts:
            return None
        limit = min(self.maximum, self.initial * 2 ** min(attempt - 1, 60))
        wait = chance.uniform(0, limit) if retry_after is None else retry_after
        return wait if elapsed + wait < self.total else None


def checked_base_url(base_url: object, *, allow_plain_http: bool) -> str:
    """The gateway's address without a slash at its end.

    Raises:
        ValidationError: it is no address, carries a query or credentials, or would put the password
            in the clear on a network.
    """
    hint = f"pass an address such as {BASE_URL!r}"
    if not isinstance(base_url, str):
        raise ValidationError("base_url", f"<{type(base_url).__name__}>", hint)
    if any(mark in base_url for mark in "@?#"):
        # Not shown: what stands before the @ or after the ? may be a password.
        raise ValidationError("base_url", "an address with more than host and path", hint)
    try:
        parts = urlsplit(base_url)
        is_valid = parts.port is None or parts.port > 0
    except ValueError:
        is_valid = False
    # urlsplit drops some control characters and lets others through.
    if not is_valid or not _ADDRESS.fullmatch(base_url) or not parts.hostname:
        raise ValidationError("base_url", ascii(base_url), hint)
    if parts.scheme == "http" and not allow_plain_http and not _is_loopback(parts.hostname):
        hint = (
            "pass an https:// address, or allow_plain_http=True to put the password on the wire in the clear"
        )
        raise ValidationError("base_url", repr(base_url), hint)
    return base_url.rstrip("/")


def checked_concurrency(concurrency: object) -> int:
    """A positive whole number.

    Raises:
        ValidationError: it is not.
    """
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise ValidationError("concurrency", repr(concurrency), "pass a whole number from 1 on")
    return concurrency


def checked_rate(requests_per_second: object) -> float | None:
    """A positive number, or None for no limit.

    Raises:
        ValidationError: it is neither.
    """
    if requests_per_second is None:
        return None
    is_number = isinstance(requests_per_second, int | float) and not isinstance(requests_per_second, bool)
    if not is_number or not 0 < requests_per_second < float("inf"):  # type: ignore[operator]
        raise ValidationError(
            "requests_per_second", repr(requests_per_second), "pass a positive number, or None"
        )
    return float(requests_per_second)  # type: ignore[arg-type]


def checked_credential(parameter: str, value: object) -> str:
    """A login or a password.

    Raises:
        ValidationError: it is empty or not a `str`; its value is not shown.
    """
    if not isinstance(value, str):
        raise ValidationError(parameter, f"<{type(value).__name__}>", "pass a str")
    if not value:
        raise ValidationError(parameter, "an empty str", "pass what the gateway gave you on registration")
    if not is_encodable(value):
        raise ValidationError(parameter, "a str with a lone surrogate", "pass it as the gateway gave it")
    return value


def checked_instance(parameter: str, value: _Value | None, kind: type[_Value], default: _Value) -> _Value:
    """A value of the kind expected, or the default for None.

    Raises:
        ValidationError: it is of another kind.
    """
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ValidationError(parameter, f"<{type(value).__name__}>", f"pass a {kind.__name__}")
    return value


def checked_methods(
    parameter: str, value: _Value | None, methods: tuple[str, ...], default: _Value
) -> _Value:
    """An object with the methods named, or the default for None.

    Raises:
        ValidationError: it lacks one of them.
    """
    if value is None:
        return default
    if not all(callable(getattr(value, method, None)) for method in methods):
        hint = f"pass an object with the methods {', '.join(methods)}"
        raise ValidationError(parameter, f"<{type(value).__name__}>", hint)
    return value


def checked_cool_down(login_cool_down: object) -> timedelta:
    """A `timedelta` that is not negative.

    Raises:
        ValidationError: it is not one.
    """
    if not isinstance(login_cool_down, timedelta) or login_cool_down < timedelta(0):
        raise ValidationError(
            "login_cool_down", repr(login_cool_down), "pass a timedelta that is not negative"
        )
    return login_cool_down


def checked_seconds(parameter: str, value: object) -> float:
    """A duration given as a `timedelta` or in seconds.

    Raises:
        ValidationError: it is neither, or is not positive.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < sys.float_info.max:
        raise ValidationError(parameter, repr(value), "pass a positive timedelta or number of seconds")
    return float(number)


def tls_context(ssl_context: ssl.SSLContext | None, ca_file: str | Path | None) -> ssl.SSLContext | None:
    """The caller's own context, or one that trusts the given certificates; None means the default.

    Raises:
        ValidationError: both are given, or the file cannot be read.
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
