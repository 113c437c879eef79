"""The client: its constructor, its life, and one method for each resource."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import httpx
from anyio.lowlevel import EventLoopToken, current_token

from smsapi_async import settings
from smsapi_async.batch import Batch, BatchSettings, ChunkSender
from smsapi_async.calls.caller import Caller
from smsapi_async.calls.gathering import gather
from smsapi_async.calls.limiter import Limiter
from smsapi_async.calls.sender import Sender
from smsapi_async.clock import Clock, SystemClock
from smsapi_async.errors import ClientClosed, ValidationError, WrongEventLoop
from smsapi_async.http.choice import Kind
from smsapi_async.http.factory import build_exchanger
from smsapi_async.inbox import Checkpoint, Inbox, InboxSettings, Position
from smsapi_async.ledger import Ledger
from smsapi_async.models import IncomingMessage, Message, Receipt, SegmentState, Statistics
from smsapi_async.privacy import Secret
from smsapi_async.protocol import decoding, encoding
from smsapi_async.protocol.addresses import checked_source
from smsapi_async.session import MemorySessionStore, SessionStore
from smsapi_async.settings import RetryPolicy, Timeouts
from smsapi_async.tracking import DEADLINE, Delivery, DeliverySink, Schedule, Tracker, Tracking


class Options(TypedDict, total=False):
    """The parameters of the constructor, for type checkers."""

    login: str
    password: str
    source_address: str | None
    base_url: str
    timeouts: Timeouts | None
    concurrency: int
    requests_per_second: float | None
    retry: RetryPolicy | None
    login_cool_down: timedelta
    proxy: str | None
    ca_file: str | Path | None
    ssl_context: ssl.SSLContext | None
    allow_plain_http: bool
    client: httpx.AsyncClient | None
    transport: httpx.AsyncBaseTransport | Kind | None
    session_store: SessionStore | None
    clock: Clock | None


class AsyncSmsClient:
    """The SMS gateway, for asyncio and trio.

    Make one for each event loop and share it between all tasks; use it with ``async with``, or call
    `aclose` at the end. It may be constructed before the event loop runs.

    Every method may raise `RequestRejected` (the gateway refused), `ValidationError` (before any request),
    `ClientClosed` or `WrongEventLoop`. Methods that read may raise `ReadFailed`. Methods that send
    may raise `NotSent` (safe to send again) or `OutcomeUnknown` (it may have been sent).

    Args:
        login: the account's login.
        password: its password.
        source_address: the default sender: at most 11 Latin characters or 15 digits.
        base_url: the gateway's address, or the sandbox's.
        timeouts: seconds for each step of a request.
        concurrency: requests in flight at once; all others wait in the client, not in the pool.
        requests_per_second: how many requests may begin in a second, evenly spaced; None means any number.
        retry: when reads, and sends proved not sent, are attempted again.
        login_cool_down: how long a refused login is not tried again.
        proxy: an ``http://``, ``https://`` or ``socks5://`` address; environment variables are not read.
        ca_file: a file of PEM certificates to trust in place of the public ones.
        ssl_context: a TLS context of your own in place of ``ca_file``.
        allow_plain_http: let the password go in the clear to an ``http://`` address beyond loopback.
        client: an `httpx.AsyncClient` of your own; it is not closed by this client. Its failures
            prove "not sent" only where its transport reports httpcore's trace events.
        transport: an httpx transport of your own; likewise. Or ``"aiohttp"`` or ``"httpcore"`` to force one
            of the two that come with this package; None takes aiohttp, which is faster, where the extra
            ``speed`` is installed, asyncio runs and a proxy is an ``http://`` one. The `repr` names it.
        session_store: where the session id is kept.
        clock: the time, for tests.

    Raises:
        ValidationError: a setting is wrong.
    """

    def __init__(
        self,
        login: str,
        password: str,
        *,
        source_address: str | None = None,
        base_url: str = settings.BASE_URL,
        timeouts: Timeouts | None = None,
        concurrency: int = settings.CONCURRENCY,
        requests_per_second: float | None = None,
        retry: RetryPolicy | None = None,
        login_cool_down: timedelta = settings.LOGIN_COOL_DOWN,
        proxy: str | None = None,
        ca_file: str | Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
        client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | Kind | None = None,
        session_store: SessionStore | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._base_url = settings.checked_base_url(base_url, allow_plain_http=allow_plain_http)
        self._source_address = None if source_address is None else checked_source(source_address)
        self._clock = settings.checked_methods("clock", clock, ("now", "monotonic", "sleep"), SystemClock())
        self._limiter = Limiter(
            settings.checked_concurrency(concurrency), settings.checked_rate(requests_per_second), self._clock
        )
        request = encoding.login_request(
            settings.checked_credential("login", login),
            Secret(settings.checked_credential("password", password)),
        )
        self._exchanger = build_exchanger(
            self._base_url,
            settings.checked_instance("timeouts", timeouts, Timeouts, Timeouts()),
            proxy=proxy,
            ca_file=ca_file,
            ssl_context=ssl_context,
            client=client,
            transport=transport,
        )
        self._caller = Caller(
            self._exchanger,
            self._limiter,
            settings.checked_instance("retry", retry, RetryPolicy, RetryPolicy()),
            self._clock,
            login=request,
            session_store=settings.checked_methods(
                "session_store", session_store, ("load", "save"), MemorySessionStore()
            ),
            login_cool_down=settings.checked_cool_down(login_cool_down),
        )
        self._sender = Sender(self._caller, self._clock, self._source_address)
        self._loop: EventLoopToken | None = None
        self._closed = False

    @classmethod
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """A client from the environment.

        ``SMSAPI_LOGIN`` and ``SMSAPI_PASSWORD`` are needed, ``SMSAPI_BASE_URL`` and
        ``SMSAPI_SOURCE_ADDRESS`` are optional.

        Args:
            **options: any option of the constructor; it wins over the environment.

        Raises:
            ValidationError: the login or the password is not set, or a value is wrong.
        """
        given: dict[str, Any] = {**options}
        names = {"login": "SMSAPI_LOGIN", "password": "SMSAPI_PASSWORD"}
        optional = {"base_url": "SMSAPI_BASE_URL", "source_address": "SMSAPI_SOURCE_ADDRESS"}
        for option, name in {**names, **optional}.items():
            value = os.environ.get(name)
            if value:
                given.setdefault(option, value)
            elif option in names and option not in given:
                raise ValidationError(name, "an unset variable", "set it in the environment")
        return cls(**given)

    async def __aenter__(self) -> Self:
        self._check_usable()
        await self._exchanger.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Calls in flight fail; a second close does nothing."""
        self._closed = True
        await self._exchanger.aclose()

    def __repr__(self) -> str:
        state = f"{self._exchanger.description}{' closed' if self._closed else ''}"
        return f"<{type(self).__name__} {self._base_url} concurrency={self._limiter.concurrency} {state}>"

    async def balance(self) -> Decimal:
        """The account's balance, in the account's currency (contract, ``User/Balance``)."""
        self._check_usable()
        return await self._caller.read(encoding.balance_request(), decoding.decode_balance)

    async def send(
        self,
        destination_address: str,
        text: str,
        *,
        source_address: str | None = None,
        send_date: datetime | None = None,
        validity: int | timedelta | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
    ) -> Receipt:
        """Send one message (contract, ``Sms/Send``).

        Args:
            destination_address: country code, network code and number, with or without ``+``.
            text: 1 to 2000 UTF-16 units; see `segment` for what it costs.
            source_address: in place of the client's default.
            send_date: when to send, aware; None means at once.
            validity: how long the gateway keeps trying, in whole minutes or as a `timedelta` of whole
                minutes; None means the gateway's default.
            timeout: seconds or a `timedelta` for the whole call: waiting for its turn, the login, all
                attempts. When it is over, `NotSent` or `OutcomeUnknown` says whether anything was
                written. None leaves it to `Timeouts` and `RetryPolicy`.
        """
        self._check_usable()
        message = Message(
            destination_address, text, source_address=source_address, send_date=send_date, validity=validity
        )
        return await self._sender.send(message, timeout)

    async def send_by_time_zone(
        self,
        destination_address: str,
        text: str,
        *,
        send_date: datetime,
        source_address: str | None = None,
        validity: int | timedelta | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
    ) -> Receipt:
        """Send one message at an hour of the recipient's own time zone (contract, ``Sms/SendByTimeZone``).

        Args:
            destination_address: as for `send`.
            text: as for `send`.
            send_date: naive: the wall clock where the recipient is.
            source_address: as for `send`.
            validity: as for `send`.
            timeout: as for `send`.
        """
        self._check_usable()
        message = Message(
            destination_address,
            text,
            source_address=source_address,
            send_date=send_date,
            validity=validity,
            by_time_zone=True,
        )
        return await self._sender.send(message, timeout)

    async def send_bulk(
        self,
        destination_addresses: Sequence[str],
        text: str,
        *,
        source_address: str | None = None,
        send_date: datetime | None = None,
        validity: int | timedelta | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
    ) -> list[Receipt]:
        """Send one text to many recipients in one request (contract, ``Sms/SendBulk``).

        All are accepted or none. The same number twice is two messages.

        Args:
            destination_addresses: at least one; each as for `send`.
            text: as for `send`.
            source_address: as for `send`.
            send_date: as for `send`.
            validity: as for `send`.
            timeout: as for `send`.

        Returns:
            A receipt for each address, in the order given.

        Raises:
            SegmentIdsUnattributed: all were accepted, but the ids do not divide among them.
        """
        self._check_usable()
        template = Message("", text, source_address=source_address, send_date=send_date, validity=validity)
        return await self._sender.send_bulk(destination_addresses, template, timeout)

    def send_many(
        self,
        messages: Iterable[Message] | AsyncIterable[Message],
        *,
        ledger: Ledger | None = None,
        recipients_per_request: int = 500,
        lookahead: int = 5000,
        linger: float = 0.05,
        unknown_limit: int = 5,
        grace: float = 5.0,
    ) -> Batch:
        """Send any number of messages: ``async with sms.send_many(messages) as outcomes: async for ...``.

        Messages are read lazily, and each has one outcome: `Accepted`, `Rejected` or `Unknown`. Those
        that share text, source, date and validity go out together in ``Sms/SendBulk``.

        Args:
            messages: an iterable or async iterable of `Message`.
            ledger: an open `Ledger`: with it a run that was interrupted at any moment is taken up by
                giving the same messages again, and none is sent twice.
            recipients_per_request: the most recipients of one ``Sms/SendBulk``.
            lookahead: how many messages are held back at most while others that share their text are sought.
            linger: for how many seconds at most a message is held back.
            unknown_limit: how many requests in a row may end unknown before the batch is halted.
            grace: for how many seconds requests in flight are waited for when the block is left early.

        Raises:
            BatchHalted: while iterating, after the last outcome: credits ran out, the account is
                blocked, the gateway cannot be reached, too much ended unknown, or the ledger cannot
                be written. Nothing of the rest was sent.
            ValidationError: a setting is wrong.
        """
        batch_settings = BatchSettings(
            recipients_per_request=recipients_per_request,
            lookahead=lookahead,
            linger=linger,
            unknown_limit=unknown_limit,
            grace=grace,
        )
        self._check_open()
        settings.checked_methods(
            "ledger", ledger, ("key_of", "claim", "settle", "release", "record_pending"), None
        )
        chunk_sender = ChunkSender(self._caller, ledger, self._clock, unknown_limit)
        return Batch(
            messages,
            chunk_sender,
            ledger=ledger,
            settings=batch_settings,
            default_source_address=self._source_address,
            workers=self._limiter.concurrency,
            check_usable=self._check_usable,
        )

    async def state(self, segment_id: str) -> SegmentState:
        """The state of one segment (contract, ``Sms/State``)."""
        return await self._state(segment_id)

    def track(
        self,
        receipts: Iterable[Receipt | Delivery] | AsyncIterable[Receipt | Delivery] | Ledger,
        *,
        schedule: Schedule | None = None,
        deadline: float | timedelta = DEADLINE,
        ledger: DeliverySink | None = None,
    ) -> Tracking:
        """Follow messages: ``async with sms.track(receipts) as deliveries: async for ...``.

        A `Delivery` is given whenever a message changes, and always its last one. While a message is under
        way only one of its segments is asked about; other calls of this client go first. A failed request
        is made again later.

        Args:
            receipts: an iterable or async iterable, read as it gives. A `Delivery` of an earlier run goes on
                from where it was: segments that were final are not asked about again. An open `Ledger`
                stands for its accepted messages that are not final, and records their deliveries.
            schedule: when a message is asked about.
            deadline: seconds or a `timedelta`, from the acceptance or a later ``send_date``, after which a
                message is reported as it stands.
            ledger: where deliveries are recorded before they are given.

        Raises:
            RequestRejected: while iterating: the gateway refused the credentials or the account.
            ValidationError: a setting is wrong.
        """
        self._check_open()
        tracker = Tracker(
            Schedule() if schedule is None else schedule, settings.checked_seconds("deadline", deadline)
        )
        if isinstance(receipts, Ledger):
            ledger = receipts if ledger is None else ledger
            receipts = receipts.to_track()
        settings.checked_methods("ledger", ledger, ("record",), None)
        return self._tracking(receipts, tracker, self._limiter.concurrency, ledger)

    async def wait_delivered(
        self,
        receipt: Receipt | Delivery,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
    ) -> Delivery:
        """Follow one message until it is final.

        Args:
            receipt: the message; or what an earlier wait gave, to go on from there.
            timeout: seconds or a `timedelta` after which the message is given as it stands, with
                ``is_final`` false where it may still change; None means after a little more than 48 hours.

        Raises:
            RequestRejected: the gateway refused the credentials or the account.
            ValidationError: the timeout is not positive.
        """
        seconds = None if timeout is None else settings.checked_seconds("timeout", timeout)
        tracker = Tracker(Schedule(), DEADLINE.total_seconds(), timeout=seconds)
        return await self._tracking([receipt], tracker, 1, None).last()

    async def incoming(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[IncomingMessage]:
        """Messages that came in (contract, ``Sms/In``), over a period widened to whole seconds.

        Args:
            since: aware; None means from the beginning.
            until: aware; None means now.
        """
        self._check_usable()
        request = encoding.incoming_request(since, self._clock.now() if until is None else until)
        return await self._caller.read(request, decoding.decode_incoming)

    def watch_incoming(
        self,
        *,
        since: datetime | None = None,
        every: timedelta | float = timedelta(seconds=10),
        overlap: timedelta = timedelta(minutes=10),
        window: timedelta = timedelta(days=1),
        checkpoint: Checkpoint | Callable[[Position], Awaitable[None]] | None = None,
    ) -> Inbox:
        """Incoming messages, each once: ``async with sms.watch_incoming() as messages: async for ...``.

        Asks ``Sms/In`` round after round while the next message is waited for. In order of creation
        within a round; a message that was filed late comes in the round that finds it.

        Args:
            since: aware; where a first start begins. None means now; a position of the checkpoint wins.
            every: from the beginning of one round to the next: a `timedelta` or seconds.
            overlap: how late a message may be filed, and the two clocks differ, in sum.
            window: the most that one request moves on; a longer gap is read in several.
            checkpoint: a `Checkpoint`, or an async function called with each `Position`. A message is
                seen, and the position saved, when the next one is asked for: after a crash the next
                run begins with the message that was being handled.

        Raises:
            InvalidCredentials: while iterating; it ends the stream. Other failures of a round do not.
            ValidationError: a setting is wrong.
        """
        inbox_settings = InboxSettings(every=every, overlap=overlap, window=window)
        self._check_open()
        return Inbox(
            self.incoming,
            self._clock,
            self._check_usable,
            since=since,
            settings=inbox_settings,
            checkpoint=checkpoint,
        )

    async def statistics(self, start: datetime, end: datetime) -> Statistics:
        """Counts of messages over a period (contract, ``Sms/Statistics``).

        A period of more than 90 days is asked in windows, concurrently, and summed; each whole second
        is in one window.

        Args:
            start: aware.
            end: aware, and included.
        """
        self._check_usable()
        read = partial(self._caller.read, decode=decoding.decode_statistics)
        return Statistics.sum(
            await gather([partial(read, request) for request in encoding.statistics_requests(start, end)])
        )

    def _tracking(
        self,
        receipts: Iterable[Receipt | Delivery] | AsyncIterable[Receipt | Delivery],
        tracker: Tracker,
        workers: int,
        ledger: DeliverySink | None,
    ) -> Tracking:
        return Tracking(
            receipts,
            tracker,
            partial(self._state, background=True),
            clock=self._clock,
            workers=workers,
            ledger=ledger,
            check_usable=self._check_usable,
        )

    async def _state(self, segment_id: str, *, background: bool = False) -> SegmentState:
        self._check_usable()
        request = encoding.state_request(segment_id)
        decode = partial(decoding.decode_state, segment_id=segment_id)
        return await self._caller.read(request, decode, background=background)

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed

    def _check_usable(self) -> None:
        self._check_open()
        loop = current_token()
        if self._loop is None:
            self._loop = loop
        elif self._loop != loop:
            raise WrongEventLoop
