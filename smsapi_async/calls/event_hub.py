"""Gives events to the observers of a client, and counts the calls of the client.

An observer can raise any exception at any event. The exception must not change what becomes of a message, so
this module catches the exception.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from smsapi_async.calls.event_building import open_twin
from smsapi_async.calls.observer_checks import checked_observers
from smsapi_async.errors import NotSent, OutcomeUnknown, RequestRejected
from smsapi_async.http.exchange import Evidence, ExchangeFailure, HttpResponse
from smsapi_async.observers import (
    ClientStats,
    Event,
    LoginFailed,
    LoginMade,
    Observer,
    RequestBegun,
    RequestEnded,
    RequestNotMade,
    RequestOutcome,
)
from smsapi_async.protocol.encoding import Request
from smsapi_async.protocol.resources import Resource

logger = logging.getLogger("smsapi_async")
_OpenBegun, _OpenEnded = open_twin(RequestBegun), open_twin(RequestEnded)
# The numbers of the requests. One observer may observe several clients of a process.
_numbers = count(1)
_PORTS = {"http": 80, "https": 443}
# The exceptions that end a task and are no cancellation.
_INTERRUPTS = (GeneratorExit, KeyboardInterrupt, SystemExit)


class EventHub:
    """Gives events to observers, and counts calls and logins.

    Args:
        observers: the observers of the client, as the caller passed them.
        base_url: the base URL of the gateway, in its normal form.

    Raises:
        ValidationError: if the observers cannot be called with an event.

    Attributes:
        is_active: whether there is an observer. The callers build no event without one.
        calls: the number of calls in progress.
        logins: the number of successful logins.
    """

    def __init__(self, observers: Iterable[Observer] | None, base_url: str) -> None:
        self._observers = checked_observers(observers)
        self.is_active = bool(self._observers)
        url = urlsplit(base_url)
        self._address = url.hostname or ""
        self._port = url.port or _PORTS[url.scheme]
        self.calls = 0
        self.logins = 0
        self._logins_failed = 0
        # The number of calls that have ended, for each outcome and resource.
        self._ended: defaultdict[RequestOutcome, dict[str, int]] = defaultdict(dict)

    def emit(self, event: Event) -> None:
        """Call each observer with an event.

        Raises:
            KeyboardInterrupt: if an observer was interrupted. All other observers have got the event.
            SystemExit: if an observer ends the program. All other observers have got the event.
        """
        interrupt: BaseException | None = None
        for observer in self._observers:
            try:
                observer(event)
            except (KeyboardInterrupt, SystemExit) as error:
                interrupt = interrupt or error
            except BaseException as error:  # noqa: BLE001 - see below
                # An observer does not wait, so `CancelledError` from an observer cancels nobody: for example,
                # the observer asked a cancelled future for its result.
                self._leave_out(observer, error)
        if interrupt is not None:
            raise interrupt

    def _leave_out(self, observer: Observer, error: BaseException) -> None:
        """Log that an observer raised an exception, and do not call the observer again."""
        others = tuple(each for each in self._observers if each is not observer)
        if len(others) == len(self._observers):
            # The client has this observer twice, and the observer was left out at its first exception.
            return
        self._observers = others
        self.is_active = bool(others)
        # A log handler of the program can raise an exception, and so can the class of the observer. This
        # exception must not change what becomes of a message, either.
        with suppress(Exception):
            # The text of the exception may contain anything.
            logger.warning(
                "the observer %s raised %s at %s; the client does not call this observer again",
                _name_of(observer),
                type(error).__name__,
                _place_of(error),
            )

    def request_begun(self, request: Request, attempt: int, waited: float) -> RequestBegun:
        """Return the event of a request that is about to begin. The caller emits the event."""
        resource = request.resource
        event = _OpenBegun()
        event.request = next(_numbers)
        event.resource = resource.name
        event.method = resource.method
        event.recipients, event.segments = request.size()
        event.attempt = attempt
        event.waited = waited
        event.server_address = self._address
        event.server_port = self._port
        event.__class__ = RequestBegun
        return event  # type: ignore[no-any-return]

    def request_ended(
        self,
        begun: RequestBegun,
        elapsed: float,
        outcome: RequestOutcome,
        exchange: HttpResponse | ExchangeFailure | None,
        *,
        error: BaseException | str | None = None,
        segments: int | None = None,
    ) -> None:
        """Emit the event of a request that has ended.

        Args:
            begun: the event of the beginning.
            elapsed: the seconds from the beginning to the end of the request.
            outcome: the outcome of the request.
            exchange: the response or the failure; None if the request has neither.
            error: the error of the request, or the name of its class; None after a success.
            segments: the number of segments in the response to an accepted send.
        """
        event = _OpenEnded()
        event.request = begun.request
        event.resource = begun.resource
        event.method = begun.method
        event.recipients = begun.recipients
        event.segments = begun.segments if segments is None else segments
        event.attempt = begun.attempt
        event.waited = begun.waited
        event.server_address = begun.server_address
        event.server_port = begun.server_port
        event.elapsed = elapsed
        event.outcome = outcome
        event.code = event.error_type = event.http_status = event.failure = None
        if error is not None:
            event.code = getattr(error, "code", None)
            event.error_type = name_of_error(error)
        if isinstance(exchange, HttpResponse):
            event.http_status = exchange.status
        elif exchange is not None:
            event.failure = exchange.kind
        event.__class__ = RequestEnded
        self.emit(event)

    def count_success(self, resource: Resource) -> None:
        """Count a call that has succeeded."""
        self._count("accepted" if resource.sends else "succeeded", resource.name)

    def _count(self, outcome: RequestOutcome, resource: str) -> None:
        counts = self._ended[outcome]
        counts[resource] = counts.get(resource, 0) + 1

    def call_failed(
        self, request: Request, evidence: Evidence, error: BaseException, *, waited: float | None
    ) -> None:
        """Count a call that has failed, and emit an event if the call has made no request.

        Args:
            request: the request of the call.
            evidence: the trace events of the last attempt.
            error: the error of the call.
            waited: the seconds of the call if it has made no request, otherwise None.
        """
        outcome = outcome_of(request, evidence, error)
        self._count(outcome, request.resource.name)
        if waited is None or not self.is_active:
            return
        recipients, segments = request.size()
        self.emit(
            RequestNotMade(
                resource=request.resource.name,
                method=request.resource.method,
                recipients=recipients,
                segments=segments,
                waited=waited,
                server_address=self._address,
                server_port=self._port,
                outcome=outcome,
                code=getattr(error, "code", None),
                http_status=getattr(error, "http_status", None),
                error_type=name_of_error(error),
            )
        )

    def login_made(self, began_at: float, attempts: int) -> None:
        """Count a successful login, and emit its event."""
        self.logins += 1
        if self.is_active:
            self.emit(
                LoginMade(
                    elapsed=perf_counter() - began_at,
                    attempts=attempts,
                    server_address=self._address,
                    server_port=self._port,
                )
            )

    def login_failed(self, began_at: float, attempts: int, error: BaseException) -> None:
        """Count a failed login, and emit its event."""
        self._logins_failed += 1
        if self.is_active:
            is_refused = isinstance(error, RequestRejected)
            self.emit(
                LoginFailed(
                    elapsed=perf_counter() - began_at,
                    attempts=attempts,
                    server_address=self._address,
                    server_port=self._port,
                    outcome="rejected" if is_refused else "failed" if is_error(error) else "cancelled",
                    code=getattr(error, "code", None),
                    http_status=getattr(error, "http_status", None),
                    error_type=name_of_error(error),
                )
            )

    def stats(self, in_flight: int, waiting: int) -> ClientStats:
        """Return the counts.

        Args:
            in_flight: the number of requests in flight.
            waiting: the number of calls that wait and are not in `calls`.
        """
        by_outcome: dict[RequestOutcome, int] = {}
        by_resource: dict[str, dict[RequestOutcome, int]] = {}
        # Another thread may read the counts while the client counts.
        for outcome, counts in self._ended.copy().items():
            for resource, number in counts.copy().items():
                by_outcome[outcome] = by_outcome.get(outcome, 0) + number
                by_resource.setdefault(resource, {})[outcome] = number
        return ClientStats(
            in_flight=in_flight,
            waiting=max(0, self.calls - in_flight) + waiting,
            logins=self.logins,
            logins_failed=self._logins_failed,
            by_outcome=by_outcome,
            by_resource=by_resource,
        )


def outcome_of(request: Request, evidence: Evidence, error: BaseException) -> RequestOutcome:
    """Return the outcome of a request or a call that failed.

    Args:
        request: the request.
        evidence: the trace events of the last attempt.
        error: the error of the request or the call.
    """
    if isinstance(error, RequestRejected):
        return "rejected"
    if not request.resource.sends:
        return "failed" if is_error(error) else "cancelled"
    if isinstance(error, NotSent):
        return "not_sent"
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    is_cancelled = not is_error(error) and not isinstance(error, _INTERRUPTS)
    return "not_sent" if evidence.proves_not_sent(None if is_cancelled else error) else "unknown"


def is_error(error: BaseException) -> bool:
    """Return whether an exception is an error, and not the end of a task: for example, a cancellation."""
    # Not each end of a task has an event loop: Python also ends a coroutine that nobody can continue.
    return isinstance(error, Exception)


def name_of_error(error: BaseException | str) -> str:
    """Return the name of the class of an error. A cancellation has the same name on asyncio and on trio."""
    if isinstance(error, str):
        return error
    name = type(error).__name__
    # The class of trio. An error of the caller with this name would be an `Exception`.
    return "CancelledError" if name == "Cancelled" and not is_error(error) else name


def _name_of(observer: Any) -> str:  # noqa: ANN401 - an observer is any callable object
    named = observer if hasattr(observer, "__qualname__") else type(observer)
    return f"{getattr(named, '__module__', None) or 'builtins'}.{named.__qualname__}"


def _place_of(error: BaseException) -> str:
    """Return the file and the line at which an exception was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "an unknown place"
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
