# ruff: noqa: S105 - the value "pass" is not a password
"""The kinds of fault, and whether the request reaches the gateway with each kind."""

import re
from enum import StrEnum

# Matches printable ASCII characters except the space, `#` and `?`. In a URL, `#` and `?` end the path.
_PRINTABLE_PATH = re.compile(r"[!\"$->@-~]+")


def is_resource_path(text: str) -> bool:
    """Whether a text can be the resource in a fault plan: a path below the base URL, without a query."""
    return _PRINTABLE_PATH.fullmatch(text.strip("/")) is not None


class Fault(StrEnum):
    """One kind of fault. The value is the name of the kind in the file of a fault plan.

    The docstring of `smsapi_async.sandbox.faults` has a table that describes each kind.
    """

    PASS = "pass"
    REFUSE = "refuse"
    ACCEPT_THEN_SILENCE = "accept-then-silence"
    CLOSE_BEFORE_READ = "close-before-read"
    RESET_BEFORE_READ = "reset-before-read"
    CLOSE_AFTER_READ = "close-after-read"
    RESET_AFTER_READ = "reset-after-read"
    HANG_AFTER_READ = "hang-after-read"
    CLOSE_AFTER_PASS = "close-after-pass"
    RESET_AFTER_PASS = "reset-after-pass"
    HANG_AFTER_PASS = "hang-after-pass"
    TRUNCATE_AFTER_PASS = "truncate-after-pass"
    GARBAGE_AFTER_PASS = "garbage-after-pass"
    TLS_GARBAGE_AFTER_PASS = "tls-garbage-after-pass"
    ERROR_500_AFTER_PASS = "error-500-after-pass"
    ERROR_502_AFTER_PASS = "error-502-after-pass"
    GARBAGE = "garbage"
    ERROR_500 = "error-500"
    ERROR_502 = "error-502"
    SLOW_BYTES = "slow-bytes"
    STALE_KEEP_ALIVE = "stale-keep-alive"
    TWO_ANSWERS = "two-answers"
    LATE_ANSWER = "late-answer"
    REDIRECT_307 = "redirect-307"
    TOO_MANY_REQUESTS_429 = "too-many-requests-429"
    EXPIRED_SESSION = "expired-session"
    UNSOLICITED_408 = "unsolicited-408"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"{value!a} is no kind of fault; the kinds are: {', '.join(cls)}")

    @property
    def reaches_gateway(self) -> bool:
        """Whether the proxy passes the whole request on to the server behind the proxy."""
        return self in _PASSED_ON

    @property
    def precedes_reading(self) -> bool:
        """Whether the fault acts after the request line, before the proxy reads the rest of the request."""
        return self in _BEFORE_READ


_BEFORE_READ = frozenset(
    {Fault.REFUSE, Fault.ACCEPT_THEN_SILENCE, Fault.CLOSE_BEFORE_READ, Fault.RESET_BEFORE_READ}
)
_PASSED_ON = frozenset(
    {
        Fault.PASS,
        Fault.CLOSE_AFTER_PASS,
        Fault.RESET_AFTER_PASS,
        Fault.HANG_AFTER_PASS,
        Fault.TRUNCATE_AFTER_PASS,
        Fault.GARBAGE_AFTER_PASS,
        Fault.TLS_GARBAGE_AFTER_PASS,
        Fault.ERROR_500_AFTER_PASS,
        Fault.ERROR_502_AFTER_PASS,
        Fault.SLOW_BYTES,
        Fault.STALE_KEEP_ALIVE,
        Fault.TWO_ANSWERS,
        Fault.LATE_ANSWER,
        Fault.UNSOLICITED_408,
    }
)
