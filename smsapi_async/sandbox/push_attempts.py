"""The record of one attempt to push an incoming message to the handler of a customer."""

from datetime import datetime

import attrs

from smsapi_async.sandbox.steady import steady_repr

PUSH = "Push"
"""`AcceptedMessage.resource` of the reply of a handler to a pushed message."""


@steady_repr
@attrs.define(eq=False)
class PushAttempt:
    """One attempt to push an incoming message.

    Attributes:
        message_id: the id of the message, as `Sandbox.receive` returned the id.
        attempt: the number of the attempt, from 1 to 5.
        at: the time at which the attempt began, on the sandbox's clock: an aware datetime in UTC.
        status: the HTTP status of the answer; None until the answer arrives, and if no answer arrived.
        error: why no answer arrived: "timeout", "stopped" (the server of the sandbox stopped), or the name of
            the exception; None if there is no error.
        reply: the reply of the handler that the sandbox accepted and billed; None if there is no reply.
    """

    message_id: int | str
    attempt: int
    at: datetime
    status: int | None = None
    error: str | None = None
    reply: str | None = attrs.field(default=None, repr=False)
