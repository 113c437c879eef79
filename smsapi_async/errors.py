"""All errors of this package, as one tree of exception classes.

- SmsApiError
  - ValidationError             a parameter is wrong, and no request was made (also a ValueError)
  - UsageError                  the caller uses an object in an unsupported way (also a RuntimeError)
    - ClientClosed              the client is closed
    - WrongEventLoop            the client was first used in another event loop
    - StreamNotEntered          a `Batch`, `Inbox` or `Tracking` is used outside its `async with` block
    - StreamLeftElsewhere       a `Batch` or `Tracking` was left in another task than it was entered in
    - InboxInUse                two tasks iterate over one `Inbox`
    - RealSendBlocked           a test made a request to an address beyond loopback
  - RequestRejected             the gateway refused the request, and did nothing
    - ArgumentNullOrEmpty       code 1
    - InvalidArgument           code 2
    - InvalidSession            code 3
    - Unauthorized              code 4
      - InvalidCredentials      code 4 in the response to a request with the login and the password
    - NotEnoughCredits          code 5
    - InvalidOperation          code 6
      - ResourceNotFound        the gateway does not have the resource
    - Forbidden                 code 7
    - RateLimited               HTTP status 429
  - ReadFailed                  balance, state, incoming, statistics or login got no usable response
    - TransportFailed           no complete HTTP response arrived
    - InvalidAnswer             the response does not match the contract
    - GatewayFault              code 8
    - InternalServerError       code 9, or HTTP status 5xx with another code or without a code
  - NotSent                     a send failed before a byte of the request was written
  - OutcomeUnknown              the message may or may not have been sent
  - SegmentIdsUnattributed      a bulk was accepted, but its segment ids cannot be divided among its messages
  - BatchHalted                 a batch ended early, and its remaining messages were not sent
  - LedgerError                 a ledger cannot do an operation
    - LedgerInUse               the ledger is already open for writing
    - LedgerUnwritable          the ledger cannot be written, and unrecorded messages are not sent
    - LedgerVersion             a newer or an old version of this package wrote the ledger

A send returns a result or raises `ValidationError`, `RequestRejected`, `NotSent`, `OutcomeUnknown` or
`SegmentIdsUnattributed`. After `NotSent` it is safe to send the message again. After `ValidationError` and
`RequestRejected` the message was not sent: remove the cause and send the message again. After
`OutcomeUnknown`, another send may produce a second message. After `SegmentIdsUnattributed`, another send
certainly produces a second message.

Each error has three attributes for programs that repeat failed calls (`SmsApiError` defines them):

| Error                                       | may_have_been_sent | is_retryable | retry_after             |
|---------------------------------------------|--------------------|--------------|-------------------------|
| ValidationError, UsageError                 | False              | False        | None                    |
| RequestRejected                             | False              | False        | if the time is known    |
| InvalidSession, RateLimited                 | False              | True         | if the gateway names it |
| ReadFailed                                  | False              | True         | if the gateway names it |
| NotSent                                     | False              | True         | if the gateway names it |
| OutcomeUnknown                              | True               | False        | None                    |
| SegmentIdsUnattributed                      | True               | False        | None                    |
| BatchHalted                                 | True               | False        | that of its cause       |
| LedgerInUse                                 | False              | True         | None                    |
| LedgerError, LedgerUnwritable, LedgerVersion | False             | False        | None                    |

The text of an error never contains a password, a session id, a message text or a complete phone number. The
same is true for ``args``, and ``type(error)(*error.args)`` builds an equal error: a task queue may store the
class and ``args`` as JSON. ``args`` contains no messages and no segment ids; `pickle` and `copy` keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from smsapi_async.models import Message


_Value = TypeVar("_Value")


def _rebuild(kind: type[SmsApiError], arguments: tuple[Any, ...], state: dict[str, Any]) -> SmsApiError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    # The copy of an error gets new arguments, because the session manager changes `retry_after` before it
    # copies the error.
    error.args = error._arguments()  # noqa: SLF001 - this function is a part of the class
    return error


class SmsApiError(Exception):
    """Base class of all errors of this package.

    Attributes:
        may_have_been_sent: whether the gateway may have accepted a message of the failed call, so that a
            repeat of the call may send a second message.
        is_retryable: whether it is safe to repeat the same call without a change, and the repeated call may
            succeed. The client itself has already made the attempts that `RetryPolicy` allows.
        retry_after: number of seconds to wait before a repeat, or None if no time is known.
    """

    may_have_been_sent: bool = False
    is_retryable: bool = False
    retry_after: float | None = None

    def summary(self) -> str:
        """Return the error in one line, without personal data."""
        return str(self.args[0]) if self.args else type(self).__name__

    def __str__(self) -> str:
        try:
            return self.summary()
        except AttributeError:
            # A traceback with local variables can show an error whose constructor raised an exception.
            return f"<incomplete {type(self).__name__}>"

    def _arguments(self) -> tuple[Any, ...]:
        """Return the positional arguments that build an equal error. JSON can store the arguments."""
        return self.args

    def __reduce__(self) -> tuple[Callable[..., SmsApiError], tuple[Any, ...]]:
        """Support `pickle` (to pass an error to another process) and `copy` (for several tasks).

        The default method `Exception.__reduce__` would pass only ``args`` to the constructor, and ``args``
        contains no private values, for example no messages.
        """
        state = dict(self.__dict__)
        if "__notes__" in state:
            # Two errors must not share one list of notes.
            state["__notes__"] = list(state["__notes__"])
        return _rebuild, (type(self), self.args, state)


class ValidationError(SmsApiError, ValueError):
    """A parameter is wrong, and no request was made.

    Attributes:
        parameter: the name of the wrong parameter, such as ``destination_address``.
        value: the wrong value, as a text. Phone numbers, message texts and secrets are masked.
        hint: a description of a valid value for the parameter.
    """

    def __init__(self, parameter: str, value: str, hint: str) -> None:
        self.parameter = parameter
        self.value = value
        self.hint = hint
        super().__init__(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.parameter, self.value, self.hint

    def summary(self) -> str:
        """Return the parameter, the wrong value and the hint in one line."""
        return f"{self.parameter}: {self.value} cannot be used; {self.hint}"


class UsageError(SmsApiError, RuntimeError):
    """The caller uses an object of this package in an unsupported way."""

    explanation: ClassVar[str] = "the client cannot be used this way"

    def __init__(self) -> None:
        super().__init__()

    def summary(self) -> str:
        """Return the mistake of the caller and the correct use in one line."""
        return self.explanation


class ClientClosed(UsageError):
    """A method was called after ``aclose()``, or after the end of the client's ``async with`` block.

    A read that is in progress when the client is closed also raises this error.
    """

    explanation = "this AsyncSmsClient is closed; create a new client, or keep the `async with` block open"


class WrongEventLoop(UsageError):
    """A method was called in one event loop, but the first call of the client was in another event loop.

    `AsyncSmsClient.aclose` also raises this error: only the event loop of the first call can close the
    connections.
    """

    explanation = (
        "this AsyncSmsClient was first used in another event loop, and its connections belong to that loop; "
        "create one client for each event loop, and close the client in its own event loop"
    )


class StreamNotEntered(UsageError):
    """A `Batch`, `Inbox` or `Tracking` is iterated outside its ``async with`` block, or is entered twice."""

    explanation = (
        "use the stream once, as `async with sms.send_many(...) as outcomes:` (likewise `track` and "
        "`watch_incoming`), and iterate inside the block"
    )


class StreamLeftElsewhere(UsageError):
    """A `Batch` or `Tracking` was left in another task than it was entered in. The stream has ended."""

    explanation = (
        "the `async with` block of the stream began in one task and ended in another task; keep the block in"
        " one task: do not put it into a fixture that another task ends, or into an async generator that"
        " several tasks advance; before Python 3.12, `asyncio.wait_for(anext(...))` makes a task for each"
        " step, so use `anyio.fail_after` or `asyncio.timeout`"
    )


class InboxInUse(UsageError):
    """Two tasks iterate over the same `Inbox`."""

    explanation = "iterate over the Inbox in one task only: a request for a message confirms the previous one"


class RealSendBlocked(UsageError):
    """The guard of the pytest plugin blocked a request to a host beyond loopback. Nothing was sent.

    Attributes:
        reason: the host, and the ways to allow the request.
    """

    summary = SmsApiError.summary

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super(UsageError, self).__init__(reason)


class RequestRejected(SmsApiError):
    """The gateway refused the request. The gateway did nothing and sent nothing.

    Attributes:
        code: the error code in the response (contract, "Codes"), or None if the response has no code.
        description: the gateway's description of the error, with numbers and secrets masked.
        http_status: the HTTP status code of the response.
        retry_after: seconds to wait before the next request, or None if no time is known.
        answered_at: for a read, the time of the response on the clock of the gateway: aware, in UTC. None if
            the response does not tell the time, and for a login and a send.
    """

    answered_at: datetime | None = None

    def __init__(
        self, code: int | None, description: str, http_status: int, retry_after: float | None = None
    ) -> None:
        self.code = code
        self.description = description
        self.http_status = http_status
        self.retry_after = retry_after
        super().__init__(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.code, self.description, self.http_status, self.retry_after

    def summary(self) -> str:
        """Return the code, the HTTP status and the description in one line."""
        numbers = (
            f"HTTP {self.http_status}" if self.code is None else f"code {self.code}, HTTP {self.http_status}"
        )
        wait = "" if self.retry_after is None else f"; try again in {self.retry_after:.0f} s"
        return f"the gateway refused ({numbers}): {self.description or 'no description'}{wait}"


class ArgumentNullOrEmpty(RequestRejected):
    """Code 1: a required argument of the request was null or empty."""


class InvalidArgument(RequestRejected):
    """Code 2: an argument of the request was invalid."""


class InvalidSession(RequestRejected):
    """Code 3: the gateway refused the session id, and then also the session id of a new login."""

    is_retryable = True


class Unauthorized(RequestRejected):
    """Code 4: the gateway did not authorize the request."""


class InvalidCredentials(Unauthorized):
    """Code 4 in the response to a login, or with ``api_version=2`` to any request: wrong login or password.

    The client does not log in again, or with ``api_version=2`` makes no other request, before
    ``login_cool_down`` has passed. Before that time, each call raises `InvalidCredentials` with the remaining
    seconds in ``retry_after``.

    Attributes:
        hint: a probable cause in the form of the login or the password, for example a line break at the end;
            "" if the form is usual. The hint never contains the values.
    """

    def __init__(
        self,
        code: int | None,
        description: str,
        http_status: int,
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        self.hint = hint
        super().__init__(code, description, http_status, retry_after)

    def _arguments(self) -> tuple[Any, ...]:
        return *super()._arguments(), self.hint

    def summary(self) -> str:
        """Return the code, the HTTP status, the description and the hint in one line."""
        return f"{super().summary()}; {self.hint}" if self.hint else super().summary()


class NotEnoughCredits(RequestRejected):
    """Code 5: the balance is not sufficient for the send."""


class InvalidOperation(RequestRejected):
    """Code 6: the operation is invalid, for example because of an invalid source address."""


class ResourceNotFound(InvalidOperation):
    """HTTP status 404 or code 6: the gateway does not have the resource, and nothing was sent.

    Only `AsyncSmsClient.send_bulk` with ``by_time_zone`` raises this error, because not each gateway has the
    resource (contract, "Sms/SendByTimeZoneToAddresses"). The client raises this error only after a second
    request to the resource, which can send nothing, was refused in the same way.
    """


class Forbidden(RequestRejected):
    """Code 7: the request is forbidden, for example by the anti-spam rules of the vendor."""


class RateLimited(RequestRejected):
    """HTTP status 429: too many requests. ``retry_after`` comes from the header ``Retry-After``.

    For a read, ``retry_after`` is at most `RetryPolicy.retry_after_limit`.
    """

    is_retryable = True


class ReadFailed(SmsApiError):
    """A request that only reads, or a login, got no usable response. It is safe to call the method again.

    Attributes:
        reason: the cause of the failure, in words.
        code: the error code in the response (contract, "Codes"), or None if the response has no code.
        http_status: the HTTP status code of the response, or None if no response arrived.
        description: the gateway's description of the error, with numbers and secrets masked, or "".
        retry_after: seconds that the gateway asks the client to wait, at most
            `RetryPolicy.retry_after_limit`, or None.
    """

    is_retryable = True

    def __init__(
        self,
        reason: str,
        code: int | None = None,
        http_status: int | None = None,
        description: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.reason = reason
        self.code = code
        self.http_status = http_status
        self.description = description
        self.retry_after = retry_after
        super().__init__(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.reason, self.code, self.http_status, self.description, self.retry_after

    def summary(self) -> str:
        """Return the cause of the failure in one line."""
        return f"{self.reason}: {self.description}" if self.description else self.reason


class TransportFailed(ReadFailed):
    """No complete HTTP response from the gateway arrived."""


class InvalidAnswer(ReadFailed):
    """The gateway's response does not match the contract."""


class GatewayFault(ReadFailed):
    """Code 8: the gateway failed, for example because its SMS centre was offline."""


class InternalServerError(ReadFailed):
    """Code 9, or an HTTP status 5xx with another code or without a code."""


class NotSent(SmsApiError):
    """A send failed before a byte of the request was written. It is safe to send the message again.

    Attributes:
        reason: the cause of the failure, in words.
        retry_after: seconds that the gateway asks the client to wait, or None.
    """

    is_retryable = True

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.reason, self.retry_after

    def summary(self) -> str:
        """Return the fact that nothing was sent, and the cause, in one line."""
        return f"nothing was sent: {self.reason}"


class OutcomeUnknown(SmsApiError):
    """The gateway may or may not have accepted the message. This package does not send the message again.

    Attributes:
        reason: the cause of the failure, in words.
        code: the error code in the response (contract, "Codes"), or None if the response has no code.
        http_status: the HTTP status code of the response, or None if no response arrived.
        description: the gateway's description of the error, with numbers and secrets masked, or "".
    """

    may_have_been_sent = True

    def __init__(
        self, reason: str, code: int | None = None, http_status: int | None = None, description: str = ""
    ) -> None:
        self.reason = reason
        self.code = code
        self.http_status = http_status
        self.description = description
        super().__init__(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.reason, self.code, self.http_status, self.description

    def summary(self) -> str:
        """Return the fact that the outcome is unknown, and the cause, in one line."""
        words = f"{self.reason}: {self.description}" if self.description else self.reason
        return f"the message may or may not have been sent, and is not sent again: {words}"


class SegmentIdsUnattributed(SmsApiError):
    """The gateway accepted a bulk, but the number of segment ids is not a multiple of the number of messages.

    The gateway accepted and billed every message. Do not send the messages again.

    Attributes:
        messages: the accepted messages, in the order of the destination addresses of the bulk. Empty if the
            error was built from its ``args``.
        segment_ids: all segment ids of the bulk, in the order of the response. Empty if the error was built
            from its ``args``.
        message_count: number of accepted messages.
        segment_id_count: number of segment ids.
    """

    may_have_been_sent = True

    def __init__(self, messages: Sequence[Message] | int, segment_ids: Sequence[str] | int) -> None:
        # `args` contains only the two numbers, because the messages and the segment ids are private.
        self.messages, self.message_count = _with_count(messages)
        self.segment_ids, self.segment_id_count = _with_count(segment_ids)
        super().__init__(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.message_count, self.segment_id_count

    def summary(self) -> str:
        """Return the number of messages and the number of segment ids in one line."""
        return (
            f"all {self.message_count} messages were accepted, but the gateway returned "
            f"{self.segment_id_count} segment ids, which cannot be divided among them; see `segment_ids`"
        )


class BatchHalted(SmsApiError):
    """A batch ended early, because the remaining messages would probably also fail.

    The batch finished the requests in flight and returned their outcomes. The remaining messages were not
    sent. Remove the cause. Then pass the same messages and the same ledger to `AsyncSmsClient.send_many`.

    Attributes:
        cause: the error that ended the batch. ``args`` contains the name of its class and its ``args``.
        pending: number of messages that were not sent. If the iterable of messages has no length, the number
            does not include messages that were not read.
        messages: the messages that the batch read from the iterable, but did not send. Empty if the error was
            built from its ``args``.
        has_more: whether the iterable of messages has no length, so that it may contain more messages than
            ``pending`` counts.
    """

    may_have_been_sent = True

    def __init__(
        self,
        cause: SmsApiError | Sequence[object],
        pending: int,
        messages: Sequence[Message] = (),
        has_more: bool = False,
    ) -> None:
        self.cause = cause if isinstance(cause, SmsApiError) else _from_args(cause)
        self.pending = pending
        self.messages = tuple(messages)
        self.has_more = has_more
        self.retry_after = self.cause.retry_after
        super().__init__(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return (_public_class(self.cause).__name__, *self.cause.args), self.pending, (), self.has_more

    def summary(self) -> str:
        """Return the cause and the number of messages that were not sent in one line."""
        why = self.cause.reason if isinstance(self.cause, OutcomeUnknown) else self.cause
        count = f"at least {self.pending}" if self.has_more else self.pending
        return f"the batch halted, and {count} messages were not sent: {why}"


class LedgerError(SmsApiError):
    """A ledger cannot do an operation, for example because its file cannot be written.

    Attributes:
        reason: the cause of the failure, in words.
    """

    explanation: ClassVar[str] = ""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(self.reason)

    def summary(self) -> str:
        """Return the cause and its consequence in one line."""
        return f"{self.reason}{self.explanation}"


class LedgerInUse(LedgerError):
    """Another `Ledger` object or program has or locks the ledger, or another worker may hold a role."""

    is_retryable = True


class LedgerUnwritable(LedgerError):
    """The ledger cannot be written: the disk is full, or the file or its directory is not writable.

    The server of a PostgreSQL ledger may also be away. A message is not sent if the ledger cannot record the
    message before the send. If the ledger cannot record an outcome, the message becomes unknown: in a file,
    when the ledger is opened the next time, and in PostgreSQL, five minutes after the claim.
    """

    explanation = "; a message that cannot be recorded in the ledger is not sent"


class LedgerVersion(LedgerError):
    """A newer version of this package, or version 0.1, wrote the ledger. The error says what to do."""


REJECTIONS: dict[int, type[RequestRejected]] = {
    1: ArgumentNullOrEmpty,
    2: InvalidArgument,
    3: InvalidSession,
    4: Unauthorized,
    5: NotEnoughCredits,
    6: InvalidOperation,
    7: Forbidden,
}
"""The error class for each code with which the gateway refuses a request (contract, "Codes")."""

MESSAGE_REJECTIONS = (ArgumentNullOrEmpty, InvalidArgument, InvalidOperation)
"""The refusals that concern one message or one segment. The gateway may accept other messages of the account.

A refusal that is not in this tuple concerns the account or its credentials, and therefore all messages.
"""

FAULTS: dict[int, type[ReadFailed]] = {8: GatewayFault, 9: InternalServerError}
"""The error class for each code that reports a failure of the gateway (contract, "Codes")."""


def _with_count(values: Sequence[_Value] | int) -> tuple[tuple[_Value, ...], int]:
    """Return the values and their number. A number in place of the values means that they are not known."""
    return ((), values) if isinstance(values, int) else (tuple(values), len(values))


def _public_class(error: SmsApiError) -> type[SmsApiError]:
    """Return the class of an error, or for a class of the caller the base class in this module."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == __name__)


def _from_args(name_and_args: Sequence[object]) -> SmsApiError:
    """Build an error from a sequence of the name of its class and its ``args``."""
    name, *arguments = name_and_args
    kind = globals().get(str(name))
    if isinstance(kind, type) and issubclass(kind, SmsApiError):
        return kind(*arguments)
    return SmsApiError(*arguments)
