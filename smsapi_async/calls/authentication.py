"""Identifies the account in each request: by a session, or by login and password (API version 2)."""

from __future__ import annotations

import copy
import math
from datetime import timedelta
from typing import Any, Protocol

import anyio

from smsapi_async.clock import Clock
from smsapi_async.errors import ClientClosed, RequestRejected
from smsapi_async.privacy import Secret
from smsapi_async.protocol.encoding import Credentials


class Grant(Protocol):
    """What identifies the account in one request.

    The refusal of a grant that is the client's own is final: a call makes one further attempt at most.
    """

    @property
    def is_own(self) -> bool:
        """Whether the gateway has issued the grant to this client, and not to another process."""
        ...

    @property
    def private(self) -> tuple[str, ...]:
        """The values that no error text may contain."""
        ...

    @property
    def parameters(self) -> Secret:
        """The URL-encoded parameters that identify the account."""
        ...


class Authentication(Protocol):
    """Provides each request with a grant."""

    def ready(self) -> Any:  # noqa: ANN401 - each implementation has its own type of grant
        """Return a grant that can be used at once; None if the caller must call `get`."""

    async def get(self) -> Any:  # noqa: ANN401
        """Return a grant. The caller calls `end` after each request, also after a cancellation.

        Raises:
            RequestRejected: if the gateway refused the credentials, and the cool-down is not over.
            ReadFailed: if a login got no usable response.
            ClientClosed: if the client is closed.
        """

    def accept(self, grant: Any) -> None:  # noqa: ANN401
        """Record that the gateway accepted a grant."""

    def refuse(self, grant: Any, error: RequestRejected) -> None:  # noqa: ANN401
        """Record that the gateway refused a grant.

        Args:
            grant: the grant that `ready` or `get` returned.
            error: the error of the request, which calls raise during a cool-down.
        """

    def neither(self, grant: Any) -> None:  # noqa: ANN401
        """Record the end of a request whose result neither accepts nor refuses a grant."""

    def end(self, grant: Any) -> None:  # noqa: ANN401
        """Record that a request with a grant has ended in any way. None means that the call got no grant."""

    async def aclose(self) -> None:
        """End all waits of `get`, which then raise `ClientClosed`."""


class CoolDown:
    """The time after a refusal, in which calls raise the error of the refusal and make no request.

    Args:
        clock: provides the current time.
        length: the length of a cool-down.
    """

    def __init__(self, clock: Clock, length: timedelta) -> None:
        self._clock = clock
        self._seconds = length.total_seconds()
        self._refusal: RequestRejected | None = None
        self.until = -math.inf

    def begin(self, error: RequestRejected, age: float = 0.0) -> None:
        """Begin a cool-down after an error.

        Args:
            error: the error.
            age: the seconds since the error.
        """
        self._refusal = copy.copy(error)
        self.until = self._clock.monotonic() + self._seconds - age

    def stop(self) -> None:
        """End the cool-down."""
        self._refusal, self.until = None, -math.inf

    def check(self) -> None:
        """Raise a copy of the error if the cool-down is not over."""
        if self._refusal is None:
            return
        left = self.until - self._clock.monotonic()
        if left > 0:
            self._refusal.retry_after = left
            raise copy.copy(self._refusal)


class CredentialGrant:
    """The login and the password of the account, which each request contains (contract, "API version 2").

    Args:
        credentials: the login and the password.
    """

    is_own = True
    # `Caller` hides the password in the error texts of all requests.
    private = ()

    def __init__(self, credentials: Credentials) -> None:
        self.parameters = credentials.parameters


class CredentialAuthentication:
    """Identifies the account by its login and password in each request, without a session.

    Many requests with a wrong password could lock the account. Therefore the first request is made alone, and
    the other requests wait for its end. After a refusal, calls raise the error of the refusal until the
    cool-down is over. Then one request is again made alone.

    Args:
        credentials: the login and the password of the account.
        clock: provides the current time.
        cool_down: the time for which no other request is made after the gateway refused the credentials.
    """

    def __init__(self, credentials: Credentials, clock: Clock, cool_down: timedelta) -> None:
        self._credentials = credentials
        self._cool_down = CoolDown(clock, cool_down)
        # After a refusal there is a new grant. The result of a request with an older grant changes nothing.
        self._grant: CredentialGrant | None = None
        # Whether any number of requests may be made at the same time.
        self._is_open = False
        self._is_closed = False
        # Is set at the end of the first request. None means that no first request is in flight.
        self._first_ended: anyio.Event | None = None

    def ready(self) -> CredentialGrant | None:
        """Return the grant if the first request has ended without a refusal."""
        return self._grant if self._is_open and not self._is_closed else None

    async def get(self) -> CredentialGrant:
        """Return the grant. Wait while another request is the first request."""
        while True:
            if self._is_closed:
                raise ClientClosed
            if self._is_open and self._grant is not None:
                return self._grant
            self._cool_down.check()
            if self._first_ended is None:
                self._grant, self._first_ended = CredentialGrant(self._credentials), anyio.Event()
                return self._grant
            await self._first_ended.wait()

    def accept(self, grant: CredentialGrant) -> None:
        """Record that the gateway accepted the login and the password."""
        if grant is self._grant and not self._is_open:
            self._is_open = True
            self._cool_down.stop()

    def refuse(self, grant: CredentialGrant, error: RequestRejected) -> None:
        """Record that the gateway refused the login or the password."""
        if grant is self._grant:
            self._is_open, self._grant = False, None
            self._cool_down.begin(error)
            self._wake()

    def neither(self, grant: CredentialGrant) -> None:
        """Let the other requests be made after the first request got no usable response.

        The other requests are made all the same, because each of them could otherwise wait for the timeouts
        of all earlier requests.
        """
        if grant is self._grant:
            self._is_open = True

    def end(self, grant: CredentialGrant | None) -> None:
        """End the waits for the first request.

        If the first request has no result, for example after a cancellation, another request becomes the
        first request.
        """
        if grant is not None and grant is self._grant:
            self._wake()

    async def aclose(self) -> None:
        """End all waits of `get`."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        ended, self._first_ended = self._first_ended, None
        if ended is not None:
            ended.set()
