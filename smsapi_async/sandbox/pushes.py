"""Pushes incoming messages to the handler of a customer, and repeats failed pushes, as the gateway does."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from threading import RLock
from urllib.parse import urlencode

import attrs
import httpx

from smsapi_async.sandbox.account import Account, Incoming
from smsapi_async.sandbox.engine import Engine
from smsapi_async.sandbox.gate import Signal
from smsapi_async.sandbox.gateway_clock import EARLIEST, LATEST, GatewayClock, later
from smsapi_async.sandbox.push_attempts import PUSH, PushAttempt
from smsapi_async.sandbox.remote_requests import check_remote, is_loopback_host

# The gateway repeats a push four times, 60 seconds apart, if the handler fails or does not answer within 30
# seconds.
_ATTEMPTS = 5
_INTERVAL = timedelta(seconds=60)
_LONGEST_ANSWER = timedelta(seconds=30)
_LAST_PORT = 65535
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_REPLY = re.compile(r"\s*\{sms=(.*)\}\s*", re.DOTALL)


@attrs.define(eq=False)
class _Pending:
    """A message that is not pushed yet.

    Attributes:
        message: the message.
        due: the time on the sandbox's clock at which the next attempt begins, or the current attempt ends.
        planned: the time at which the current or the next attempt was due to begin.
        attempts: the number of attempts that have begun.
        request: the request of the current attempt; None between two attempts.
    """

    message: Incoming
    due: datetime
    planned: datetime = attrs.field(default=attrs.Factory(lambda self: self.due, takes_self=True))
    attempts: int = 0
    request: asyncio.Task[httpx.Response] | None = None


class Pushes:
    """The pushes of one sandbox. The server of the sandbox runs them in its event loop.

    Args:
        lock: the lock of the sandbox.
        clock: the clock of the sandbox.
        account: the account that records the attempts.
        engine: the engine that accepts and bills the replies.
    """

    def __init__(self, lock: RLock, clock: GatewayClock, account: Account, engine: Engine) -> None:
        self._lock = lock
        self._clock = clock
        self._account = account
        self._engine = engine
        self._url: str | None = None
        self._pending: list[_Pending] = []
        self._waiting: list[Signal] = []
        # The event loop of the server, and the event that wakes its tasks; None if no server runs.
        self._awake: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        engine.on_incoming = self._add

    def push_to(self, url: str | None, *, allow_remote: bool) -> None:
        """Set the URL of the handler. `Sandbox.push_to` describes the arguments and the error."""
        if url is not None:
            _check_url(url, allow_remote=allow_remote)
        with self._lock:
            self._url = url
            if url is None:
                self._pending = [each for each in self._pending if each.request is not None]
        self.wake()

    def clear(self) -> None:
        """Remove the messages that are not pushed yet, and end the attempts that are being made."""
        with self._lock:
            self._pending = [each for each in self._pending if each.request is not None]
            for pending in self._pending:
                pending.due, pending.attempts = EARLIEST, _ATTEMPTS
        self.wake()

    def wake(self) -> None:
        """Look again which pushes are due, because the clock or the messages have changed."""
        with self._lock:
            awake = self._awake
        if awake is not None:
            with suppress(RuntimeError):  # the event loop of the server may have ended
                awake[0].call_soon_threadsafe(awake[1].set)

    async def settled(self) -> None:
        """Wait until no push is due and no push is being made.

        Raises:
            RuntimeError: if no server runs.
        """
        signal = Signal()
        with self._lock:
            if not self._is_busy():
                return
            if self._awake is None:
                raise RuntimeError("no server serves the sandbox; use run_sandbox()")
            self._waiting.append(signal)
        await signal.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make the pushes in the running event loop until the end of the block. Never wait for an answer."""
        changed = asyncio.Event()
        with self._lock:
            self._awake = asyncio.get_running_loop(), changed
        task = asyncio.create_task(self._run(changed))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            with self._lock:
                self._awake = None
                self._release()

    def _add(self, message: Incoming) -> None:
        with self._lock:
            if self._url is None:
                return
            self._pending.append(_Pending(message, message.created_at))
        self.wake()

    async def _run(self, changed: asyncio.Event) -> None:
        client: httpx.AsyncClient | None = None
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            while True:
                changed.clear()
                if client is None and self._url is not None:
                    # Most sandboxes push nothing, and the TLS context of the client takes 15 ms.
                    client = await stack.enter_async_context(_new_client())
                if client is not None:
                    for pending, url in self._begin_due():
                        pending.request = asyncio.create_task(_post(client, url, pending.message))
                        tasks.create_task(self._push(pending, pending.request))
                # `asyncio.wait_for` of CPython 3.11 drops a cancellation that comes together with the event.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds_until_next()):
                        await changed.wait()

    def _begin_due(self) -> list[tuple[_Pending, str]]:
        """End the attempts that take too long, and return the messages whose next attempt begins now."""
        with self._lock:
            now = self._clock.now()
            beginning = []
            for pending in [each for each in self._pending if each.due <= now]:
                if pending.request is not None:
                    pending.request.cancel()
                    pending.due = LATEST
                elif self._url is not None:
                    pending.planned, pending.due = pending.due, later(now, _LONGEST_ANSWER)
                    beginning.append((pending, self._url))
            if not self._is_busy() and not beginning:
                self._release()
        return beginning

    def _is_busy(self) -> bool:
        now = self._clock.now()
        return any(each.request is not None or each.due <= now for each in self._pending)

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for signal in waiting:
            signal.set()

    def _seconds_until_next(self) -> float | None:
        """Return the real seconds until a time in `due`; None if only a call from outside leads there."""
        with self._lock:
            moments = [each.due for each in self._pending]
            return self._clock.real_seconds_until(min(moments)) if moments else None

    async def _push(self, pending: _Pending, request: asyncio.Task[httpx.Response]) -> None:
        """Wait for the end of an attempt, and plan the next attempt if this attempt failed."""
        with self._lock:
            pending.attempts += 1
            attempt = PushAttempt(pending.message.id, pending.attempts, self._clock.now())
            self._account.add_push(attempt)
        is_over = False
        try:
            await asyncio.wait([request])
            is_over = self._record(request, pending.message, attempt)
        except Exception as error:  # noqa: BLE001 - the journey of a test may raise any exception
            attempt.error = type(error).__name__
        finally:
            if request.cancel():
                # The server stops.
                attempt.error = "stopped"
                await asyncio.wait([request])
            with self._lock:
                # If a test moves the clock by several minutes, the repeats of these minutes follow at once.
                pending.request, pending.due = None, later(pending.planned, _INTERVAL)
                if is_over or pending.attempts >= _ATTEMPTS or self._url is None:
                    self._pending.remove(pending)
                self._account.push_ended(attempt)
            self.wake()

    def _record(self, request: asyncio.Task[httpx.Response], message: Incoming, attempt: PushAttempt) -> bool:
        """Record the end of an attempt, and return whether the push succeeded."""
        with self._lock:
            error = asyncio.CancelledError() if request.cancelled() else request.exception()
            if error is not None:
                attempt.error = "timeout" if request.cancelled() else type(error).__name__
                return False
            response = request.result()
            is_text = response.headers.get("content-type", "").lower().startswith("text/plain")
            match = _REPLY.fullmatch(response.content.decode("utf-8", "replace"))
            if response.status_code == httpx.codes.OK and is_text and match:
                attempt.reply = match[1] if self._engine.accept_reply(message, match[1]) else None
            attempt.status = response.status_code
            return response.is_success


def _new_client() -> httpx.AsyncClient:
    # `_begin_due` ends the requests. No proxy is used, because the handler runs on this computer.
    return httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113


async def _post(client: httpx.AsyncClient, url: str, message: Incoming) -> httpx.Response:
    check_remote(httpx.URL(url).host, PUSH)
    fields = {
        "sourcePhone": message.source_address,
        "number": message.destination_address,
        "prefix": message.prefix,
        "text": message.text,
        "messageId": message.id,
    }
    return await client.post(url, content=urlencode(fields, errors="replace").encode(), headers=_FORM)


def _check_url(url: str, *, allow_remote: bool) -> None:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise ValueError("the push URL is invalid; pass for example 'http://127.0.0.1:8000/sms'") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError("the push URL must begin with http:// or https:// and have a host")
    if parsed.port is not None and not 0 < parsed.port <= _LAST_PORT:
        raise ValueError(f"the port of the push URL must be a number from 1 to {_LAST_PORT}")
    if not allow_remote and not is_loopback_host(parsed.host):
        raise ValueError("the push URL must be on this computer, such as http://127.0.0.1:8000/sms")
