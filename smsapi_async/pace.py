"""The public type of a pace: what decides when the next request to the gateway may begin."""

from typing import Protocol


class Pace(Protocol):
    """Decides when the client may begin its next request.

    `smsapi_async.postgres.Shared.pace` is the pace of all machines together. Write a class of your own for
    another limit, for example for all clients of one process.
    """

    async def wait(self) -> None:
        """Return when one request may begin. The client begins the request at once.

        The client calls the method before each request except logins, up to ``concurrency`` times at the same
        time, and may cancel each call. If the method raises an exception, the request is not made: a send
        raises `NotSent`, and a read raises `TransportFailed`.
        """
