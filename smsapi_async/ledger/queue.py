"""The queue of a ledger: the pending requests that workers on many machines send."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from datetime import datetime

import attrs

from smsapi_async.errors import REJECTIONS, Forbidden, OutcomeUnknown, RequestRejected, SmsApiError
from smsapi_async.ledger.interface import Ledger
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.models import Message
from smsapi_async.privacy import steady_repr

# The table does not store the HTTP status of a refusal, which belongs to the code (contract, "Codes").
_FORBIDDEN, _BAD_REQUEST = 403, 400


@steady_repr
@attrs.frozen(kw_only=True)
class Pause:
    """Why the workers of all machines have stopped to send the pending messages of an account.

    Attributes:
        at: the time of the pause; aware, in UTC.
        reason: the cause of the pause, in words.
        code: the error code of the gateway (contract, "Codes"), or None.
    """

    at: datetime
    reason: str
    code: int | None = None

    @property
    def cause(self) -> SmsApiError:
        """An error with the cause of the pause."""
        if self.code is None:
            return OutcomeUnknown(self.reason)
        kind = REJECTIONS.get(self.code, RequestRejected)
        return kind(self.code, self.reason, _FORBIDDEN if kind is Forbidden else _BAD_REQUEST)


@attrs.define(eq=False)
class DuePart:
    """One call of `RequestQueue.claim_due`.

    Attributes:
        tokens: a random token for each request that may be claimed.
        room: the maximum number of messages in the claimed requests.
        is_alone: whether the first request may have more messages than `room`.
        unknown_limit: the number of successive unknown requests after which the account is paused.
        may_be_committed: whether an earlier call with this object failed, and may have claimed requests.
    """

    tokens: Sequence[str]
    room: int
    is_alone: bool
    unknown_limit: int
    may_be_committed: bool = False


@attrs.frozen(eq=False)
class DueRequest:
    """A claimed request.

    Attributes:
        token: the token of the claim.
        messages: pairs of a key and a message, in the order in which they are sent.
    """

    token: str
    messages: list[tuple[str, Message]] = attrs.field(repr=lambda messages: f"<{len(messages)}>")


@attrs.frozen(eq=False)
class DueClaim:
    """The result of `RequestQueue.claim_due`.

    Attributes:
        requests: the claimed requests, in the order of the queue.
        has_more: whether more requests are due, for which there was no room.
        pause: the pause of the account, or None.
    """

    requests: list[DueRequest] = attrs.field(factory=list)
    has_more: bool = False
    pause: Pause | None = None


class RequestQueue(Ledger):
    """A ledger with a queue. `AsyncSmsClient.send_pending` sends the requests of the queue.

    Many workers can use one queue at the same time. A request is claimed by at most one of them.
    """

    @property
    @abc.abstractmethod
    def is_redacted(self) -> bool:
        """Whether the ledger has no numbers and texts, so that a worker cannot send its messages."""

    @abc.abstractmethod
    async def claim_due(self, part: DuePart) -> DueClaim:
        """Claim the first pending requests whose time has come. Requests of other workers are left out.

        When the method returns, the claims are stored on the disk of the server. The caller must end each
        claim with `settle_due` or `release_due`.

        While an unknown request is the last one of the account, the claimed requests of all workers and the
        unknown requests together are at most `DuePart.unknown_limit`.

        Raises:
            LedgerError: if the server is away, or the tables cannot be written. Call the method again with
                the same object, or call `release_due` with its tokens: the requests may be claimed.
        """

    @abc.abstractmethod
    async def settle_due(
        self, token: str, answer: RequestAnswer, *, unknown_limit: int | None, patience: float | None = None
    ) -> Pause | None:
        """Record the answer to a request, and count the successive unknown requests of all workers.

        Args:
            token: the token of the claim.
            answer: what ended the request.
            unknown_limit: the number of successive unknown requests after which the account is paused; None
                for an answer that does not count.
            patience: for how many seconds the call tries again while the server is away; None means 3
                minutes.

        Returns:
            The pause of the account if this answer is unknown and the account is paused now, or None.
        """

    @abc.abstractmethod
    async def release_due(
        self, tokens: Sequence[str], *, delay: float = 0.0, patience: float | None = None
    ) -> None:
        """Make the messages of claims pending again. The messages must certainly not have been sent.

        Args:
            tokens: the tokens of the claims. A token without a claim changes nothing.
            delay: the number of seconds for which no worker may claim the messages from the queue.
            patience: the same as for `settle_due`.
        """

    @abc.abstractmethod
    async def pause(self, reason: str, code: int | None = None) -> Pause:
        """Stop the workers of all machines. If the account is paused already, its pause stays.

        Args:
            reason: the cause of the pause, in words.
            code: the error code of the gateway (contract, "Codes"), or None.
        """

    @abc.abstractmethod
    async def paused(self) -> Pause | None:
        """Return the pause of the account, or None."""

    @abc.abstractmethod
    async def resume(self) -> Pause | None:
        """End the pause of the account. Return the pause that has ended, or None."""

    @abc.abstractmethod
    async def fence(self) -> int:
        """Make all pending messages and all messages in flight unknown. Return their number.

        Call this method after an asynchronous standby was promoted, or a backup was restored: such a database
        has lost its last changes, so messages that it calls pending may have been sent. First stop all
        workers.
        """

    @abc.abstractmethod
    async def queued(self) -> tuple[int, bool]:
        """Return the number of messages in the queue, and whether there are more than this number.

        The rest of a stopped batch is not in the queue. The call counts at most 100,000 requests.
        """
