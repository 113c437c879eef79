"""What a failure of a command comes to: an exit code and one line."""

import traceback
from enum import IntEnum

import attrs
from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from smsapi_async.cli.output import one_line
from smsapi_async.errors import (
    LedgerError,
    LedgerUnwritable,
    NotSent,
    OutcomeUnknown,
    ReadFailed,
    RequestRejected,
    SegmentIdsUnattributed,
    SmsApiError,
    UsageError,
    ValidationError,
)
from smsapi_async.privacy import scrub


class ExitCode(IntEnum):
    """The exit codes of the command line; `EXIT_CODE_MEANINGS` says what each means."""

    DONE = 0
    UNEXPECTED = 1
    BAD_INPUT = 2
    REJECTED = 3
    NOT_SENT = 4
    OUTCOME_UNKNOWN = 5
    READ_FAILED = 6
    IDS_UNATTRIBUTED = 7
    INTERRUPTED = 130


EXIT_CODE_MEANINGS = {
    ExitCode.DONE: "done; also a `sandbox` or `incoming --follow` ended by Ctrl-C",
    ExitCode.UNEXPECTED: "unexpected: a defect, or the result could not be written",
    ExitCode.BAD_INPUT: "wrong usage or bad input; no request was made",
    ExitCode.REJECTED: "the gateway refused, or a `batch` has bad rows: none of these was sent; "
    "`track`: some messages failed",
    ExitCode.NOT_SENT: "proved not sent; it is safe to send again",
    ExitCode.OUTCOME_UNKNOWN: "OUTCOME UNKNOWN: it may have been sent, so do not simply repeat it; `batch` "
    "and `track`: this holds for some messages; `track`: or some were not final at the deadline",
    ExitCode.READ_FAILED: "a read failed: balance, state, incoming, statistics",
    ExitCode.IDS_UNATTRIBUTED: "a bulk was accepted, but its segment ids cannot be divided among its "
    "messages; `track` cannot follow these",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); the line says whether something may have been sent",
}
"""What each exit code means.

`batch --wait` ends with the exit code of its sending or, where that is 0, with the exit code of `track`.
"""


class OutputFailed(Exception):
    """Standard output cannot be written any more.

    Attributes:
        cause: what the system said.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


@attrs.frozen
class CommandFailure:
    """An exit code and the line that goes to standard error.

    Attributes:
        segment_ids: of messages that were accepted all the same.
    """

    code: ExitCode
    line: str
    segment_ids: tuple[str, ...] = ()


_CODES: dict[type[SmsApiError], ExitCode] = {
    ValidationError: ExitCode.BAD_INPUT,
    UsageError: ExitCode.BAD_INPUT,
    RequestRejected: ExitCode.REJECTED,
    NotSent: ExitCode.NOT_SENT,
    OutcomeUnknown: ExitCode.OUTCOME_UNKNOWN,
    ReadFailed: ExitCode.READ_FAILED,
    SegmentIdsUnattributed: ExitCode.IDS_UNATTRIBUTED,
    LedgerUnwritable: ExitCode.NOT_SENT,
    LedgerError: ExitCode.BAD_INPUT,
}
_ADVICE = {
    ExitCode.NOT_SENT: "; it is safe to send again",
    ExitCode.IDS_UNATTRIBUTED: "; do not send them again",
}
_DOUBT = "OUTCOME UNKNOWN: it may have been sent; do not repeat it blindly"
# The core speaks of its own parameters; here they are options.
_OPTIONS = {
    "login": "--login",
    "password": "SMSAPI_PASSWORD",
    "base_url": "--base-url",
    "source_address": "--source-address",
    "send_date": "--send-date",
    "validity": "--validity",
    "destination_address": "TO",
    "destination_addresses": "TO",
    "text": "TEXT",
    "segment_id": "SEGMENT_ID",
    "since": "--since",
    "until": "--until",
    "start": "START",
    "end": "END",
    "concurrency": "--concurrency",
    "deadline": "--deadline",
    "every": "--every",
    "requests_per_second": "--requests-per-second",
    "recipients_per_request": "--recipients-per-request",
}


def explain(error: BaseException, *, in_doubt: bool) -> CommandFailure:
    """What to say of an error.

    Args:
        error: what ended the command.
        in_doubt: whether a message was on its way when it did.
    """
    error = _sole(error)
    if isinstance(error, KeyboardInterrupt):
        return CommandFailure(
            ExitCode.INTERRUPTED, f"interrupted; {_DOUBT if in_doubt else 'nothing was sent'}"
        )
    if isinstance(error, CycloptsError):
        return CommandFailure(ExitCode.BAD_INPUT, f"{_usage(error)}; see --help")
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            ids = error.segment_ids if isinstance(error, SegmentIdsUnattributed) else ()
            return CommandFailure(code, one_line(_words(error) + _ADVICE.get(code, "")), ids)
    place = traceback.extract_tb(error.__traceback__)[-1]
    # The text of an unknown exception may hold anything; its name and its place may not.
    line = f"unexpected {type(error).__qualname__} at {place.name}, line {place.lineno} of {place.filename}"
    if in_doubt:
        return CommandFailure(ExitCode.OUTCOME_UNKNOWN, f"{_DOUBT}: {line}")
    return CommandFailure(ExitCode.UNEXPECTED, line)


def _sole(error: BaseException) -> BaseException:
    """The error itself, where task groups have wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        interrupt = error.subgroup(KeyboardInterrupt)
        error = (interrupt or error).exceptions[0]
    return error


def _words(error: BaseException) -> str:
    if isinstance(error, OutcomeUnknown):
        return f"OUTCOME UNKNOWN: {error}"
    if isinstance(error, ValidationError):
        name, bracket, index = error.parameter.partition("[")
        hint = error.hint.replace("allow_plain_http=True", "--allow-plain-http")
        return f"{_OPTIONS.get(name, name)}{bracket}{index}: {error.value} cannot be used; {hint}"
    return str(error)


def _usage(error: CycloptsError) -> str:
    """What is wrong with the arguments, without words that may be a text, a number or a password."""
    if isinstance(error, UnknownCommandError):
        return "there is no such command"
    if isinstance(error, UnknownOptionError):
        return "there is no such option; a text that begins with a hyphen goes after --"
    if isinstance(error, UnusedCliTokensError):
        return "there are more arguments than the command takes; a text of several words goes in quotes"
    if isinstance(error, MissingArgumentError | RepeatArgumentError | CoercionError):
        return scrub(one_line(str(error)), ()).rstrip(".")
    return "the arguments cannot be understood"
