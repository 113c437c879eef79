"""Sends one message with a ledger: several calls with the same key send one message."""

import logging
import math
import secrets
from functools import partial

import anyio
import attrs

from smsapi_async.batch.beginning import begun_in_time
from smsapi_async.batch.chunk_sender import ONE_MESSAGE, rejected_answer, unknown_answer
from smsapi_async.batch.ledger_claims import observed_claim
from smsapi_async.calls.sender import Seconds, Sender, single
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    REJECTIONS,
    Forbidden,
    LedgerError,
    OutcomeUnknown,
    RequestRejected,
    SmsApiError,
    ValidationError,
)
from smsapi_async.http.exchange import Evidence
from smsapi_async.ledger import InFlight, Ledger, RequestAnswer
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Accepted, Outcome, Rejected
from smsapi_async.privacy import Hidden, mask_key
from smsapi_async.settings import check_ledger, checked_timeout

_logger = logging.getLogger("smsapi_async")
_STILL_IN_FLIGHT = "another send with the same key has not ended within the timeout"
_SHORTEST = 1e-6
# The ledger does not store the HTTP status of a refusal, which belongs to the code (contract, "Codes").
_FORBIDDEN, _BAD_REQUEST = 403, 400


async def send_one(
    sender: Sender,
    ledger: Ledger | None,
    clock: Clock,
    message: Message,
    timeout: Seconds,  # noqa: ASYNC109
) -> Receipt:
    """Send a message without a ledger, or with a ledger that has no outcome for its key.

    The parameters, the result and the errors are those of `_send_with_ledger`. The ledger may be None.
    """
    if ledger is not None:
        check_ledger(ledger)
        return await _send_with_ledger(sender, ledger, clock, message, timeout)
    if message.key is not None:
        raise ValidationError("key", mask_key(message.key), "pass a ledger, too, which records the key")
    return await sender.send(message, timeout)


async def _send_with_ledger(
    sender: Sender,
    ledger: Ledger,
    clock: Clock,
    message: Message,
    timeout: Seconds,  # noqa: ASYNC109
) -> Receipt:
    """Send a message, unless the ledger has an outcome for its key.

    Args:
        sender: sends the message.
        ledger: an open ledger.
        clock: provides the times of answers.
        message: the message, with its source address.
        timeout: the maximum time of the call, including the wait for another send with the same key.

    Returns:
        The receipt of this send, or of the earlier send with the same key.

    Raises:
        ValidationError: if the message is invalid, or the ledger has another message with this key.
        RequestRejected: the recorded error, if the gateway refused the message.
        OutcomeUnknown: if the outcome is unknown, or another send with the same key takes too long.
        NotSent: if no byte of the request was written.
        LedgerError: if the ledger cannot record the message. The message was not sent.
    """
    seconds = checked_timeout(timeout)
    single(message, sender.zone)
    key = Hidden(ledger.key_of(message))
    deadline = math.inf if seconds is None else anyio.current_time() + seconds
    while True:
        token = secrets.token_hex(8)
        (claimed,) = await observed_claim(
            sender.hub, ledger, token, 1, ledger.claim(token, [(key.value, message)])
        )
        if claimed is None:
            # The claim may have taken the whole time, and a timeout must be positive.
            left = None if seconds is None else max(_SHORTEST, deadline - anyio.current_time())
            receipt = await _Claim(ledger, clock, token).send(sender, message, left)
            if receipt is not None:
                return receipt
            continue
        if not isinstance(claimed, InFlight):
            return _recorded(claimed)
        with anyio.CancelScope(deadline=deadline) as scope:
            await ledger.wait(claimed.token)
        if scope.cancelled_caught:
            raise OutcomeUnknown(_STILL_IN_FLIGHT)


@attrs.frozen
class _Claim:
    """The claim of one message, which must end with an answer or a release."""

    ledger: Ledger
    clock: Clock
    token: str

    async def send(self, sender: Sender, message: Message, seconds: float | None) -> Receipt | None:
        """Send the message, and record the receipt or the error. Return None if the claim must be renewed."""
        evidence = Evidence()
        request = partial(sender.send, message, seconds, evidence)
        try:
            receipt = await begun_in_time(request, evidence, self.ledger, self.token)
        except ONE_MESSAGE as refusal:
            await self._settle(rejected_answer(refusal, self.clock))
            raise
        except OutcomeUnknown as error:
            await self._settle(unknown_answer(error, self.clock))
            raise
        except SmsApiError:
            # The gateway refused the account, or asks for fewer requests, or nothing was sent. A later call
            # with the same key sends the message.
            await self._release()
            raise
        except BaseException as error:
            is_cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            if evidence.proves_not_sent(None if is_cancelled else error):
                await self._release()
            else:
                reason = f"the send was interrupted by {type(error).__name__}"
                await self._settle(RequestAnswer(state="unknown", at=self.clock.now(), reason=reason))
            raise
        if receipt is None:
            await self._release()
            return None
        await self._settle(
            RequestAnswer(state="accepted", at=receipt.accepted_at, segment_ids=receipt.segment_ids)
        )
        return receipt

    async def _settle(self, answer: RequestAnswer) -> None:
        try:
            await self.ledger.settle(self.token, answer)
        except LedgerError as error:
            # The caller must learn the outcome. In the ledger, the message is unknown and is not sent again.
            _logger.warning("ledger: the outcome of a send was not recorded: %s", error)

    async def _release(self) -> None:
        try:
            await self.ledger.release(self.token)
        except LedgerError as error:
            _logger.warning("ledger: a message that was not sent is unknown in the ledger: %s", error)


def _recorded(outcome: Outcome) -> Receipt:
    """Return the receipt of a recorded outcome, or raise the recorded error."""
    if isinstance(outcome, Accepted):
        return outcome.receipt
    if isinstance(outcome, Rejected):
        if not outcome.recorded:
            hint = f"{outcome.reason}; pass another key for another message"
            raise ValidationError("key", mask_key(outcome.key), hint)
        kind = RequestRejected if outcome.code is None else REJECTIONS.get(outcome.code, RequestRejected)
        status = _FORBIDDEN if kind is Forbidden else _BAD_REQUEST
        raise kind(outcome.code, outcome.reason, status)
    raise OutcomeUnknown(outcome.reason, outcome.code)
