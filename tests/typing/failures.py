# mypy: disallow-any-expr
"""The errors: their bases, the types of their attributes, and how `except` narrows them."""

from typing import assert_type

from smsapi_async import (
    ArgumentNullOrEmpty,
    BatchHalted,
    ClientClosed,
    Forbidden,
    GatewayFault,
    InboxInUse,
    InternalServerError,
    InvalidAnswer,
    InvalidArgument,
    InvalidCredentials,
    InvalidOperation,
    InvalidSession,
    LedgerError,
    LedgerInUse,
    LedgerUnwritable,
    LedgerVersion,
    Message,
    NotEnoughCredits,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ReadFailed,
    RealSendBlocked,
    RequestRejected,
    ResourceNotFound,
    SegmentIdsUnattributed,
    SmsApiError,
    StreamLeftElsewhere,
    StreamNotEntered,
    TransportFailed,
    Unauthorized,
    UsageError,
    ValidationError,
    WrongEventLoop,
)


def bases() -> None:
    every: list[type[SmsApiError]] = [
        ValidationError,
        UsageError,
        RequestRejected,
        ReadFailed,
        NotSent,
        OutcomeUnknown,
        SegmentIdsUnattributed,
        BatchHalted,
        LedgerError,
    ]
    usage: list[type[UsageError]] = [
        ClientClosed,
        WrongEventLoop,
        StreamNotEntered,
        StreamLeftElsewhere,
        InboxInUse,
        RealSendBlocked,
    ]
    rejected: list[type[RequestRejected]] = [
        ArgumentNullOrEmpty,
        InvalidArgument,
        InvalidSession,
        Unauthorized,
        NotEnoughCredits,
        InvalidOperation,
        Forbidden,
        RateLimited,
    ]
    unauthorized: type[Unauthorized] = InvalidCredentials
    operation: type[InvalidOperation] = ResourceNotFound
    failed: list[type[ReadFailed]] = [TransportFailed, InvalidAnswer, GatewayFault, InternalServerError]
    ledger: list[type[LedgerError]] = [LedgerInUse, LedgerUnwritable, LedgerVersion]
    value_error: type[ValueError] = ValidationError
    runtime_error: type[RuntimeError] = UsageError
    bases_of_python: list[type[Exception]] = [value_error, runtime_error]
    count = len([*every, *usage, *rejected, unauthorized, operation, *failed, *ledger, *bases_of_python])
    assert_type(count, int)
    failed.append(NotSent)  # type: ignore[arg-type]
    rejected.append(NotSent)  # type: ignore[arg-type]


def advice(error: SmsApiError, refused: InvalidCredentials) -> None:
    assert_type(error.may_have_been_sent, bool)
    assert_type(error.is_retryable, bool)
    assert_type(error.retry_after, float | None)
    assert_type(refused.hint, str)


def attributes_of_refusals(
    refused: RequestRejected, limited: RateLimited, failed: ReadFailed, unknown: OutcomeUnknown
) -> None:
    for error in (refused, limited):
        assert_type(error.code, int | None)
        assert_type(error.description, str)
        assert_type(error.http_status, int)
        assert_type(error.retry_after, float | None)
    assert_type(failed.reason, str)
    assert_type(failed.code, int | None)
    assert_type(failed.http_status, int | None)
    assert_type(failed.description, str)
    assert_type(unknown.reason, str)
    assert_type(unknown.code, int | None)
    assert_type(unknown.http_status, int | None)
    assert_type(unknown.description, str)


def attributes_of_others(
    invalid: ValidationError,
    not_sent: NotSent,
    unattributed: SegmentIdsUnattributed,
    halted: BatchHalted,
    ledger: LedgerError,
) -> None:
    assert_type(invalid.parameter, str)
    assert_type(invalid.value, str)
    assert_type(invalid.hint, str)
    assert_type(not_sent.reason, str)
    assert_type(unattributed.messages, tuple[Message, ...])
    assert_type(unattributed.segment_ids, tuple[str, ...])
    assert_type(unattributed.message_count, int)
    assert_type(unattributed.segment_id_count, int)
    assert_type(halted.cause, SmsApiError)
    assert_type(halted.pending, int)
    assert_type(halted.messages, tuple[Message, ...])
    assert_type(halted.has_more, bool)
    assert_type(ledger.reason, str)
    repr(not_sent.http_status)  # type: ignore[attr-defined, misc]


def caught(send: SmsApiError) -> str:
    try:
        raise send
    except (NotSent, RequestRejected) as error:
        assert_type(error, NotSent | RequestRejected)
        return error.summary()
    except SmsApiError as error:
        assert_type(error, SmsApiError)
        assert_type(error.summary(), str)
        return str(error)
