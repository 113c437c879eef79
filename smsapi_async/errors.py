"""Every error this package raises, in one tree.

- SmsApiError
  - ValidationError             a parameter is wrong; no request was made (also a ValueError)
  - UsageError                  the client is used in a way that cannot work (also a RuntimeError)
    - ClientClosed
    - WrongEventLoop
    - StreamNotEntered          a batch, an inbox or a tracking is used outside its `async with` block
    - InboxInUse                two tasks iterate over one inbox
  - RequestRejected             the gateway refused: nothing was done, nothing was sent
    - ArgumentNullOrEmpty       code 1
    - InvalidArgument           code 2
    - InvalidSession            code 3
    - Unauthorized              code 4
      - InvalidCredentials      code 4, on login
    - NotEnoughCredits          code 5
    - InvalidOperation          code 6
    - Forbidden                 code 7
    - RateLimited               HTTP 429
  - ReadFailed                  balance, state, incoming, statistics or login got no usable answer
    - TransportFailed           no whole HTTP answer came
    - InvalidAnswer             an answer came that the contract does not know
    - GatewayFault              code 8
    - InternalServerError       code 9, or any other HTTP 5xx
  - NotSent                     a send that was proved never to have been written to the wire
  - OutcomeUnknown              a send that may or may not have been carried out; never repeated
  - SegmentIdsUnattributed      a bulk that was accepted, with ids that do not divide by its messages
  - BatchHalted                 a batch that ended early, in order; what was not sent is still to be sent
  - LedgerError                 a ledger cannot do what was asked of it
    - LedgerInUse               it is open for writing elsewhere
    - LedgerUnwritable          it takes no intent; nothing of that is sent
    - LedgerVersion             a newer version of this package wrote it

A send ends in a result, or in `RequestRejected`, `NotSent`, `OutcomeUnknown` or `SegmentIdsUnattributed`;
only after `NotSent` and `RequestRejected` is it safe to send again. No text of these errors holds a
password, a session id, a message text or a phone number in full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from smsapi_async.models import Message


def _rebuild(kind: type[SmsApiError], arguments: tuple[Any, ...], state: dict[str, Any]) -> SmsApiError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    if arguments:
        error.args = (error.summary(),)
    return error


class SmsApiError(Exception):
    """Base of every error of this package."""

    def summary(self) -> str:
        """The error in one line, without personal data."""
        return str(self.args[0]) if self.args else type(self).__name__

    def __reduce__(self) -> tuple[Callable[..., SmsApiError], tuple[Any, ...]]:
        """Errors cross process boundaries and are copied for each waiter of a shared login."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class ValidationError(SmsApiError, ValueError):
    """A parameter is wrong, and no request was made.

    Attributes:
        parameter: the parameter's name, such as ``destination_address``.
        value: the offending value, masked where it is a number, a text or a secret.
        hint: what to pass instead.
    """

    def __init__(self, parameter: str, value: str, hint: str) -> None:
        self.parameter = parameter
        self.value = value
        self.hint = hint
        super().__init__(self.summary())

    def summary(self) -> str:
        """``parameter: value: what to pass instead``."""
        return f"{self.parameter}: {self.value} cannot be used; {self.hint}"


class UsageError(SmsApiError, RuntimeError):
    """The client is used in a way that cannot work."""

    explanation: ClassVar[str] = "the client cannot be used this way"

    def __init__(self) -> None:
        super().__init__(self.summary())

    def summary(self) -> str:
        """What is wrong, and what to do instead."""
        return self.explanation


class ClientClosed(UsageError):
    """A call on a client after ``aclose()`` or the end of its ``async with``."""

    explanation = "this AsyncSmsClient is closed; make a new one, or keep the `async with` block open"


class WrongEventLoop(UsageError):
    """A call from another event loop than the one the client was first used in."""

    explanation = (
        "this AsyncSmsClient was first used in another event loop, and its connections belong to that loop; "
        "make one client for each event loop"
    )


class StreamNotEntered(UsageError):
    """A `Batch`, `Inbox` or `Tracking` is iterated outside its ``async with`` block, or entered twice."""

    explanation = (
        "use the stream once, as `async with sms.send_many(...) as outcomes:` (likewise `track` and "
        "`watch_incoming`), and iterate inside the block"
    )


class InboxInUse(UsageError):
    """Two tasks iterate over the same `Inbox`."""

    explanation = "iterate in one task: asking for the next message says that the previous one was handled"


class RequestRejected(SmsApiError):
    """The gateway refused the request: nothing was done and nothing was sent.

    Attributes:
        code: the gateway's REST code (contract, "Error body"), or None where only the HTTP status says it.
        description: the gateway's own words, with numbers and secrets masked.
        http_status: the HTTP status.
        retry_after: seconds to wait, where the gateway named them.
    """

    def __init__(
        self, *, code: int | None, description: str, http_status: int, retry_after: float | None = None
    ) -> None:
        self.code = code
        self.description = description
        self.http_status = http_status
        self.retry_after = retry_after
        super().__init__(self.summary())

    def summary(self) -> str:
        """Code, HTTP status and the gateway's words."""
        numbers = (
            f"HTTP {self.http_status}" if self.code is None else f"code {self.code}, HTTP {self.http_status}"
        )
        wait = "" if self.retry_after is None else f"; try again in {self.retry_after:.0f} s"
        return f"the gateway refused ({numbers}): {self.description or 'no description'}{wait}"


class ArgumentNullOrEmpty(RequestRejected):
    """Code 1: an argument was null or empty."""


class InvalidArgument(RequestRejected):
    """Code 2: an argument was invalid."""


class InvalidSession(RequestRejected):
    """Code 3: the session id was invalid, even after a new login."""


class Unauthorized(RequestRejected):
    """Code 4: access was refused."""


class InvalidCredentials(Unauthorized):
    """Code 4 on login: the login or the password is wrong. Not tried again until the cool-down has passed."""


class NotEnoughCredits(RequestRejected):
    """Code 5: the balance does not cover the send."""


class InvalidOperation(RequestRejected):
    """Code 6: invalid operation, such as a source address that the account may not use."""


class Forbidden(RequestRejected):
    """Code 7: forbidden by the gateway's anti-spam."""


class RateLimited(RequestRejected):
    """HTTP 429: too many requests; `retry_after` says how long to wait, where the gateway did."""


class ReadFailed(SmsApiError):
    """A request that only reads got no usable answer; it may be repeated.

    Attributes:
        reason: what happened, in words.
        code: the gateway's REST code, or None.
        http_status: the HTTP status, or None where no answer came.
        description: the gateway's own words, masked, or "".
    """

    def __init__(
        self, reason: str, *, code: int | None = None, http_status: int | None = None, description: str = ""
    ) -> None:
        self.reason = reason
        self.code = code
        self.http_status = http_status
        self.description = description
        super().__init__(self.summary())

    def summary(self) -> str:
        """What happened."""
        return f"{self.reason}: {self.description}" if self.description else self.reason


class TransportFailed(ReadFailed):
    """No whole HTTP answer came."""


class InvalidAnswer(ReadFailed):
    """An answer came that is not what the contract describes."""


class GatewayFault(ReadFailed):
    """Code 8: the gateway could not reach its SMS centre, or the like."""


class InternalServerError(ReadFailed):
    """Code 9, or an HTTP 5xx without a code."""


class NotSent(SmsApiError):
    """A send of which nothing was ever written to the wire; it is safe to send it again.

    Attributes:
        reason: why it was not sent.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(self.summary())

    def summary(self) -> str:
        """That nothing was sent, and why."""
        return f"nothing was sent: {self.reason}"


class OutcomeUnknown(SmsApiError):
    """A send that the gateway may or may not have accepted. It is never repeated by this package.

    Attributes:
        reason: what happened after the request had been written.
        code: the gateway's REST code (8 or 9), or None.
        http_status: the HTTP status, or None where no answer came.
        description: the gateway's own words, masked, or "".
    """

    def __init__(
        self, reason: str, *, code: int | None = None, http_status: int | None = None, description: str = ""
    ) -> None:
        self.reason = reason
        self.code = code
        self.http_status = http_status
        self.description = description
        super().__init__(self.summary())

    def summary(self) -> str:
        """That the outcome is unknown, and what happened."""
        words = f"{self.reason}: {self.description}" if self.description else self.reason
        return f"the message may or may not have been sent, and is not sent again: {words}"


class SegmentIdsUnattributed(SmsApiError):
    """A bulk was accepted, but its segment ids do not divide evenly by its messages.

    Every message was accepted and billed: do not send them again.

    Attributes:
        messages: the messages, in the order given.
        segment_ids: all ids as they came.
    """

    def __init__(self, messages: tuple[Message, ...], segment_ids: tuple[str, ...]) -> None:
        self.messages = messages
        self.segment_ids = segment_ids
        super().__init__(self.summary())

    def summary(self) -> str:
        """How many ids came for how many messages."""
        return (
            f"all {len(self.messages)} messages were accepted, but the gateway returned "
            f"{len(self.segment_ids)} segment ids, which cannot be divided among them; see `segment_ids`"
        )


class BatchHalted(SmsApiError):
    """A batch ended early, because going on would have been of no use or done harm.

    What was in flight has been finished and its outcomes given; nothing of the rest was sent. Once the
    cause is cured, give the same messages with the same ledger again.

    Attributes:
        cause: why: the error of the request that ended it.
        pending: how many messages are known not to have been sent; where the batch has a length, all
            of its rest, else what had been read of it.
        messages: those of them that had been read.
        has_more: whether there may be more of the rest, since the batch has no length.
    """

    def __init__(
        self, cause: SmsApiError, pending: int, messages: tuple[Message, ...], *, has_more: bool = False
    ) -> None:
        self.cause = cause
        self.pending = pending
        self.messages = messages
        self.has_more = has_more
        super().__init__(self.summary())

    def summary(self) -> str:
        """Why, and how many messages were not sent."""
        why = self.cause.reason if isinstance(self.cause, OutcomeUnknown) else self.cause
        count = f"at least {self.pending}" if self.has_more else self.pending
        return f"the batch was halted with {count} messages not sent: {why}"


class LedgerError(SmsApiError):
    """The ledger cannot do what was asked of it, and did not do it.

    Attributes:
        reason: what is wrong.
    """

    explanation: ClassVar[str] = ""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(self.summary())

    def summary(self) -> str:
        """What is wrong, and what it means."""
        return f"{self.reason}{self.explanation}"


class LedgerInUse(LedgerError):
    """Another process, or another `Ledger` object of this one, has the ledger open for writing."""

    explanation = "; one ledger has one writer at a time"


class LedgerUnwritable(LedgerError):
    """The disk is full, or the file or its directory cannot be written.

    A message whose intent could not be written is not sent. An outcome that could not be written is
    recorded as unknown when the ledger is opened the next time.
    """

    explanation = "; nothing is sent whose intent could not be written"


class LedgerVersion(LedgerError):
    """The ledger was written by a newer version of this package."""

    explanation = "; use that version, or a newer one"


REJECTIONS: dict[int, type[RequestRejected]] = {
    1: ArgumentNullOrEmpty,
    2: InvalidArgument,
    3: InvalidSession,
    4: Unauthorized,
    5: NotEnoughCredits,
    6: InvalidOperation,
    7: Forbidden,
}
"""The class of each REST code that is a refusal (contract, table of codes, 1 to 7)."""

MESSAGE_REJECTIONS: tuple[type[RequestRejected], ...] = (
    ArgumentNullOrEmpty,
    InvalidArgument,
    InvalidOperation,
)
"""The refusals that concern one message or one segment: another one of the same account may be accepted.

Every other refusal concerns the account or its credentials, and so every message.
"""

FAULTS: dict[int, type[ReadFailed]] = {8: GatewayFault, 9: InternalServerError}
"""The class of each REST code that is the gateway's own failure."""
