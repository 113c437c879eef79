"""The options of `AsyncSmsClient.send_pending`, and the run that they describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, Unpack

from smsapi_async.batch.chunks import BatchSettings
from smsapi_async.batch.queue_run import QueueRun
from smsapi_async.batch.queue_sender import QueueSender
from smsapi_async.calls.api_options import ApiOptions
from smsapi_async.calls.caller import Caller
from smsapi_async.clock import Clock
from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.ledger.queue import RequestQueue
from smsapi_async.privacy import type_name


class PendingOptions(TypedDict, total=False):
    """The options of `AsyncSmsClient.send_pending`.

    ``recipients_per_request``, ``unknown_limit``, ``forbidden_limit``, ``max_in_flight`` and ``grace`` have
    the meanings and the defaults of `AsyncSmsClient.send_many`. ``unknown_limit`` counts the requests of all
    machines together. ``max_in_flight`` and ``forbidden_limit`` belong to one worker.

    **Pause.** If the gateway refuses the account or the login, or too many successive requests have an
    unknown outcome, the account is paused in the ledger, and the workers of all machines stop: each call
    raises `BatchHalted` with the cause. Remove the cause, then run ``smsapi-async postgres resume DSN``.

    ``on_poll`` is a function that is called after each look at the queue, at least every few seconds, with a
    `Summary` of the outcomes of this call so far. Use it for a live display or a health check.
    """

    recipients_per_request: int
    unknown_limit: int
    forbidden_limit: int
    max_in_flight: int
    grace: float
    on_poll: Callable[[Summary], object] | None


def queue_run(
    caller: Caller,
    clock: Clock,
    api: ApiOptions,
    ledger: Ledger,
    source_address: str | None,
    *,
    once: bool,
    **options: Unpack[PendingOptions],
) -> QueueRun:
    """Return a run that sends the pending messages of a ledger.

    Args:
        caller: the `Caller` that sends the requests to the gateway.
        clock: the clock for acceptance times and for waits.
        api: the variant of the gateway's HTTP API.
        ledger: an open ledger with a queue.
        source_address: the source address for messages without a source address, or None.
        once: whether the run ends when nothing is due.
        **options: the options of `AsyncSmsClient.send_pending`.

    Raises:
        ValidationError: if an option is wrong, or the ledger has no queue or no texts.
        LedgerError: if the ledger is not open.
    """
    numbers: dict[str, Any] = {**options}
    on_poll = numbers.pop("on_poll", None)
    if on_poll is not None and not callable(on_poll):
        raise ValidationError("on_poll", type_name(on_poll), "pass a function, or None")
    if not isinstance(once, bool):
        raise ValidationError("once", type_name(once), "pass True or False")
    settings = BatchSettings(**numbers)
    if not isinstance(ledger, RequestQueue):
        hint = "pass an open ledger in PostgreSQL: Ledger.postgres(...), or Shared.ledger"
        raise ValidationError("ledger", type_name(ledger), hint)
    if ledger.is_redacted:
        hint = "pass a ledger without `redact`, which contains the texts to send"
        raise ValidationError("ledger", "a redacted ledger", hint)
    return QueueRun(
        queue=ledger,
        new_sender=lambda on_outcomes: QueueSender(
            caller,
            ledger,
            clock,
            settings,
            api,
            default_source_address=source_address,
            on_outcomes=on_outcomes,
        ),
        room=settings.max_in_flight,
        unknown_limit=settings.unknown_limit,
        grace=settings.grace,
        once=once,
        on_poll=on_poll,
        hub=caller.hub,
    )
