"""The exit codes of the command line, and the line on standard error for each error."""

import traceback
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import attrs
from cyclopts import CycloptsError

from smsapi_async.cli.output import one_line
from smsapi_async.cli.usage_errors import usage_line
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


class ExitCode(IntEnum):
    """The exit codes of the command line. `EXIT_CODE_MEANINGS` explains each exit code."""

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
    ExitCode.DONE: "success. `sandbox` and `incoming --follow` also return 0 after Ctrl-C.",
    ExitCode.UNEXPECTED: "an unexpected error, or a result that could not be written.",
    ExitCode.BAD_INPUT: "wrong arguments or bad input. No request was made.",
    ExitCode.REJECTED: "the gateway refused the request; nothing was sent. "
    "`batch`: some rows are bad, were refused, or need --again; these rows were not sent. "
    "`track`: some messages failed.",
    ExitCode.NOT_SENT: "it is certain that the message was not sent; it is safe to send the message again. "
    "`batch`: it is certain that the pending rows were not sent.",
    ExitCode.OUTCOME_UNKNOWN: "OUTCOME UNKNOWN: the message may have been sent; do not send it again without "
    "a check. `batch`: some messages may have been sent. "
    "`track`: some messages may have been sent, or some states are unknown or were not final at the "
    "deadline or at the end of --for.",
    ExitCode.READ_FAILED: "the client could not read data from the gateway; it is safe to try again.",
    ExitCode.IDS_UNATTRIBUTED: "the messages were accepted, but it is not known which segment id belongs "
    "to which message; `track` cannot follow these messages.",
    ExitCode.INTERRUPTED: "Ctrl-C, SIGTERM or the end of the terminal (SIGHUP) stopped the command. "
    "If the command sends messages, the error line says whether messages may have been sent.",
}
"""The meaning of each exit code; ``smsapi-async help exit-codes`` prints the meanings.

`batch --wait` returns the exit code of the sending. If the exit code of the sending is 0, or if Ctrl-C stops
the tracking, `batch --wait` returns the exit code of the tracking.
"""


class LedgerBroke(Exception):
    """A ledger or a table failed after the command had made requests, so the exit code 2 would be wrong.

    Attributes:
        reason: the cause of the failure, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.frozen
class CommandFailure:
    """The failure of a command: an exit code and a line for standard error.

    Attributes:
        code: the exit code of the command.
        line: the line for standard error, without line break and without the prefix ``smsapi-async:``.
        segment_ids: the segment ids of messages that the gateway accepted although the command failed.
        parameter: the option, argument or environment variable with the wrong value, or None.
        code_of_the_gateway: the error code in the response of the gateway, or None.
    """

    code: ExitCode
    line: str
    segment_ids: tuple[str, ...] = ()
    parameter: str | None = None
    code_of_the_gateway: int | None = None

    def document(self) -> Mapping[str, Any]:
        """Return the failure as JSON data, the value of the key ``error``."""
        return {
            "exit_code": int(self.code),
            "name": self.code.name.lower(),
            "message": self.line,
            "parameter": self.parameter,
            "code": self.code_of_the_gateway,
            "segment_ids": self.segment_ids,
        }


# `LedgerUnwritable` precedes its base class `LedgerError`, because `explain` uses the first class that
# matches.
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
# After `LedgerUnwritable`, it is not safe to send again without the ledger: an earlier run with the same
# ledger may have sent the messages.
_ADVICE: dict[type[SmsApiError], str] = {
    NotSent: "; it is safe to send again",
    SegmentIdsUnattributed: "; do not send the messages again",
}
_ACCEPT_COPY = "pass accept_copy=True (`smsapi-async ledger accept-copy`) once"
_UNKNOWN_OUTCOME = "OUTCOME UNKNOWN: the message may have been sent; do not send it again without a check"
# An exception of the client contains the name of a parameter of the Python API. A user of the command line
# needs the name of the option, argument or environment variable instead.
_OPTIONS = {
    "login": "--login",
    "password": "SMSAPI_PASSWORD",
    "base_url": "--base-url",
    "source_address": "--source-address",
    "send_date": "--send-date",
    "region": "--region",
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
    "proxy": "--proxy",
    "ca_file": "--ca-file",
    "gateway_time_zone": "--gateway-time-zone",
    "deadline": "--deadline",
    "every": "--every",
    "requests_per_second": "--requests-per-second",
    "recipients_per_request": "--recipients-per-request",
    "max_in_flight": "--max-in-flight",
}
# The settings in the hints of these exceptions, and the options.
_SETTINGS = {
    "allow_plain_http=True (for from_env: SMSAPI_ALLOW_PLAIN_HTTP=1)": "--allow-plain-http",
    "api_version=2": "--api-version 2",
    "a gateway_time_zone": "a --gateway-time-zone",
}


def explain(error: BaseException, *, in_doubt: bool, sends: bool = True) -> CommandFailure:
    """Return the exit code and the error line for an exception that ended a command.

    Args:
        error: the exception that ended the command.
        in_doubt: whether a message may have been sent before the exception.
        sends: whether the command sends messages. For other commands, the line says nothing about sending.
    """
    error = _sole(error)
    if isinstance(error, KeyboardInterrupt):
        what = f"; {_UNKNOWN_OUTCOME if in_doubt else 'nothing was sent'}" if sends else ""
        return CommandFailure(ExitCode.INTERRUPTED, f"interrupted{what}")
    if isinstance(error, CycloptsError):
        line, name = usage_line(error)
        return CommandFailure(ExitCode.BAD_INPUT, line, parameter=name)
    if isinstance(error, LedgerBroke) or (isinstance(error, LedgerUnwritable) and not sends):
        # The text and the exit code of `LedgerUnwritable` are about messages that are not sent.
        code = ExitCode.UNEXPECTED if isinstance(error, LedgerBroke) else ExitCode.BAD_INPUT
        return CommandFailure(code, one_line(error.reason))
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return CommandFailure(
                code,
                one_line(_words(error) + _ADVICE.get(kind, "")),
                segment_ids=error.segment_ids if isinstance(error, SegmentIdsUnattributed) else (),
                parameter=_parameter(error) if isinstance(error, ValidationError) else None,
                code_of_the_gateway=error.code if isinstance(error, RequestRejected) else None,
            )
    place = traceback.extract_tb(error.__traceback__)[-1]
    # The line contains only the class of the exception and the position in the code, because the text of an
    # unexpected exception may contain a phone number, a message text or a password.
    line = f"unexpected {type(error).__qualname__} at {place.name}, line {place.lineno} of {place.filename}"
    if in_doubt:
        return CommandFailure(ExitCode.OUTCOME_UNKNOWN, f"{_UNKNOWN_OUTCOME}: {line}")
    return CommandFailure(ExitCode.UNEXPECTED, line)


def _sole(error: BaseException) -> BaseException:
    """Return the first exception inside an exception group. Return any other exception unchanged.

    Task groups wrap exceptions in exception groups, and these groups may be nested. `KeyboardInterrupt` has
    priority over the other exceptions of a group.
    """
    while isinstance(error, BaseExceptionGroup):
        interrupt = error.subgroup(KeyboardInterrupt)
        error = (interrupt or error).exceptions[0]
    return error


def _parameter(error: ValidationError) -> str:
    name, bracket, index = error.parameter.partition("[")
    return f"{_OPTIONS.get(name, name)}{bracket}{index}"


def _words(error: BaseException) -> str:
    if isinstance(error, OutcomeUnknown):
        return f"OUTCOME UNKNOWN: {error}"
    if isinstance(error, ValidationError):
        hint = error.hint
        for setting, option in _SETTINGS.items():
            hint = hint.replace(setting, option)
        return f"{_parameter(error)}: {error.value} cannot be used; {hint}"
    return str(error).replace(_ACCEPT_COPY, "run `smsapi-async ledger accept-copy`")
