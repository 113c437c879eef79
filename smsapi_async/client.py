"""The client of the gateway: `AsyncSmsClient`, with one method for each resource."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, Unpack

from smsapi_async import settings, variables
from smsapi_async.calls.api_options import ApiOptions
from smsapi_async.calls.caller import Caller
from smsapi_async.calls.decoders import decoding
from smsapi_async.calls.event_hub import EventHub
from smsapi_async.calls.lifetime import EndingClock, Lifetime, warn_if_unclosed
from smsapi_async.calls.limiter import Limiter
from smsapi_async.calls.sender import Seconds, Sender
from smsapi_async.calls.statistics_reading import read_statistics
from smsapi_async.clock import Clock
from smsapi_async.http.factory import build_exchanger
from smsapi_async.http.libraries import Http, Kind, SuppliedClient, SuppliedTransport
from smsapi_async.loading import STREAMS, batch, inbox, ledgers, pathlib, ssl, tracking
from smsapi_async.models import IncomingMessage, Message, Receipt, SegmentState, Statistics
from smsapi_async.observers import ClientStats, Observer
from smsapi_async.pace import Pace
from smsapi_async.parameters import Options
from smsapi_async.privacy import Hidden, sealed, sealed_async, steady_repr
from smsapi_async.protocol import encoding
from smsapi_async.protocol.addresses import checked_source_address
from smsapi_async.protocol.dates import GATEWAY_TIME_ZONE
from smsapi_async.schedule import DEADLINE, Schedule
from smsapi_async.session import SessionStore
from smsapi_async.settings import RetryPolicy, Timeouts

if TYPE_CHECKING:
    from smsapi_async.batch import Batch
    from smsapi_async.inbox import Checkpoint, Inbox, IncomingReceiver, Position
    from smsapi_async.ledger import Ledger, Summary
    from smsapi_async.tracking import Delivery, DeliverySink, StartTracking, Tracking


@steady_repr
class AsyncSmsClient:
    """A client of the SMS gateway, for asyncio and trio.

    Create one client for each event loop, and share the client between all tasks. Use the client with
    ``async with``, or call `aclose` at the end: a client that is not closed issues a `ResourceWarning`. The
    constructor does not need a running event loop.

    All methods raise `ValidationError` before any request if a parameter is wrong, `RequestRejected` if the
    gateway refuses the request, `ClientClosed` if the client is closed, and `WrongEventLoop` if the client
    was first used in another event loop. Sends and reads also raise these errors:

    - A send (`send`, `send_by_time_zone`, `send_bulk`) raises `NotSent` if it is proved that no byte of the
      request was written: it is safe to send the message again. A send raises `OutcomeUnknown` if the message
      may have been sent: after a broken connection, after HTTP status 3xx, 408 or 5xx, or after a response
      that does not match the contract. The client repeats a send only if no byte was written, or if the
      gateway refused the session (contract, "Session"). HTTP status 429 (`RateLimited`): nothing was sent.
    - A read (`balance`, `state`, `incoming`, `statistics`) and a login are repeated after a broken connection
      and after HTTP status 408, 429 or 5xx; ``retry`` limits the attempts. If the last attempt also fails, a
      read raises `ReadFailed`, or `RateLimited` after status 429.

    ``timeout`` of a method is the maximum time of the whole call, including the wait for other calls, the
    login and all attempts: seconds or a `timedelta`. None means that only `Timeouts` and `RetryPolicy` apply.
    After the timeout, a read raises `TransportFailed`, and a send raises `NotSent` or `OutcomeUnknown`. Do
    not cancel a send, for example with `asyncio.wait_for`: a cancelled send cannot report its outcome.

    All tasks share one login. The login continues if a call that waits for the login is cancelled. If a
    session ends in less than 5 minutes, the next call starts a renewal, but uses the old session. The client
    never follows a redirect. The logger ``smsapi_async`` gets a DEBUG record for each exchange, with the
    resource, the HTTP status or the failure, and the duration.

    Args:
        login: the login of the account.
        password: the password of the account.
        source_address: default source address: at most 11 Latin characters, or at most 15 digits (contract,
            "Addresses"). None means no default, so each message needs a source address.
        base_url: the base URL of the gateway or of a sandbox: ``https://``, or ``http://`` for a loopback
            address or with ``allow_plain_http``. Pass an international host in its ASCII form (``xn--``).
        api_version: 1 or 2. With 2, the client adds ``/v2`` to a ``base_url`` without it, and sends the login
            and the password in each request, without a session (contract, "API version 2").
        gateway_time_zone: the time zone of the gateway for ``send_date`` and `statistics`: GMT+03:00, but in
            later documents of the vendor GMT+00:00. A wrong time zone moves each scheduled message by hours.
        bulk_by_time_zone: whether `send_many` sends messages with ``by_time_zone`` in bulks (contract,
            "Sms/SendByTimeZoneToAddresses"). If the gateway cannot do this, they are sent one by one.
        timeouts: timeouts for the steps of a request. None means the defaults of `Timeouts`. If the timeouts
            are short, more sends have an unknown outcome.
        concurrency: maximum number of requests in flight; login requests do not count. Further calls wait in
            the client. A read waits for at most one send, and a send for all earlier sends: after 3,000 sends
            at once, a send with a short ``timeout`` is not sent. `send_many` leaves room for other sends.
        requests_per_second: maximum number of requests per second, evenly spaced, for all calls of the client
            except logins. None means no limit (contract, "Rate").
        pace: a `Pace` that allows each request except logins, for example ``shared.pace(per_second=50)`` for
            all machines together. With ``requests_per_second`` too, both limits apply. If ``pace`` fails, a
            send raises `NotSent`. None means no further limit.
        retry: policy for repeated attempts of a call. None means the defaults of `RetryPolicy`.
        login_cool_down: time without another login after a refused login (repeated wrong logins could lock
            the account), or after two successive refused sessions. Calls then raise the error of the refusal.
        proxy: URL of a proxy: ``http://``, ``https://`` or ``socks5://`` (needs the package socksio).
            Percent-encode its login and password: ``#`` is ``%23``. Environment variables are not read.
        ca_file: file of PEM certificates that are trusted instead of the public certificates.
        ssl_context: TLS context, if ``ca_file`` is None. None means a context that verifies certificates.
        allow_plain_http: whether the password may be sent unencrypted to an ``http://`` URL beyond loopback.
        http: ``"httpx2"`` selects the connections of httpx2; with None or ``"httpx"``, ``transport`` decides.
        client: an `httpx.AsyncClient` or `httpx2.AsyncClient` of the caller, which `aclose` does not close.
            After a failed exchange, a send raises `NotSent` only if the transport of ``client`` reports the
            trace events of httpcore, else `OutcomeUnknown`. If a response hook of ``client`` raises an error,
            a send that the gateway refuses raises `OutcomeUnknown`.
        transport: an httpx or httpx2 transport of the caller; the condition for `NotSent` is the same as for
            ``client``. ``"asyncio"`` or ``"httpcore"`` selects a transport of this package. None selects the
            asyncio transport if asyncio runs and no proxy is set, else httpcore; see the client's `repr`.
        session_store: object that stores the session. None means that the session is stored in memory.
            Processes that share a session store share one login; see also `LockingSessionStore`.
        response_limit: largest allowed body of a response in bytes; for `incoming`, four times this number.
        clock: source of the time, for tests and simulations. None means the system clock.
        observers: functions that are called with each event of the client; see `smsapi_async.observers`.

    Raises:
        ValidationError: if a setting is wrong, or two settings contradict each other.
    """

    @sealed
    def __init__(
        self,
        login: str,
        password: str,
        *,
        source_address: str | None = None,
        base_url: str = settings.BASE_URL,
        api_version: Literal[1, 2] = 1,
        gateway_time_zone: tzinfo = GATEWAY_TIME_ZONE,
        bulk_by_time_zone: bool = False,
        timeouts: Timeouts | None = None,
        concurrency: int = settings.CONCURRENCY,
        requests_per_second: float | None = None,
        pace: Pace | None = None,
        retry: RetryPolicy | None = None,
        login_cool_down: timedelta = settings.LOGIN_COOL_DOWN,
        proxy: str | None = None,
        ca_file: str | pathlib.Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
        http: Http | None = None,
        client: SuppliedClient | None = None,
        transport: SuppliedTransport | Kind | None = None,
        session_store: SessionStore | None = None,
        response_limit: int = settings.RESPONSE_LIMIT,
        clock: Clock | None = None,
        observers: Iterable[Observer] | None = None,
    ) -> None:
        self._api = ApiOptions.checked(api_version, gateway_time_zone, bulk_by_time_zone)
        self._base_url = self._api.url(settings.checked_base_url(base_url, allow_plain_http=allow_plain_http))
        self._source_address = None if source_address is None else checked_source_address(source_address)
        self._clock = settings.checked_clock(clock)
        most, rate = settings.checked_concurrency(concurrency), settings.checked_rate(requests_per_second)
        self._limiter = Limiter(most, rate, self._clock, settings.checked_pace(pace))
        credentials = encoding.Credentials.checked(login, password)
        self._exchanger = build_exchanger(
            self._base_url,
            settings.checked_instance("timeouts", timeouts, Timeouts, Timeouts()),
            proxy=proxy,
            ca_file=ca_file,
            ssl_context=ssl_context,
            client=client,
            transport=transport,
            body_limit=settings.checked_response_limit(response_limit),
            http=http,
        )
        self._lifetime = Lifetime()
        self._caller = Caller(
            self._exchanger,
            self._limiter,
            settings.checked_instance("retry", retry, RetryPolicy, RetryPolicy()),
            self._clock,
            lifetime=self._lifetime,
            credentials=credentials,
            session_store=self._api.session_store(session_store),
            login_cool_down=settings.checked_cool_down(login_cool_down),
            hub=EventHub(observers, self._base_url),
        )
        self._sender = Sender(self._caller, self._clock, self._source_address, self._api.time_zone)
        self._check_usable = self._lifetime.check_usable
        self._stream_clock = EndingClock(self._clock, self._lifetime)
        warn_if_unclosed(self, self._exchanger)

    @property
    def _tracking(self) -> StartTracking:
        return tracking.tracking_with(self._caller, self._stream_clock, self._check_usable)

    @classmethod
    @sealed
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """Create a client with settings from environment variables.

        ``SMSAPI_LOGIN`` and ``SMSAPI_PASSWORD`` are required. ``SMSAPI_BASE_URL``, ``SMSAPI_SOURCE_ADDRESS``
        and ``SMSAPI_ALLOW_PLAIN_HTTP`` (1 or 0) are optional. With ``SMSAPI_GUARD=1``, requests beyond
        loopback raise `RealSendBlocked`. An empty variable counts as unset. A value in quotation marks or
        with a comment (`` # ...``), which some tools read from env files, is refused; pass it as a parameter.

        Args:
            **options: parameters of the constructor, which take precedence over the environment variables.

        Raises:
            ValidationError: if the login or the password is not set, or a value is wrong.
        """
        return cls(**variables.with_environment(options))

    async def __aenter__(self) -> Self:
        self._lifetime.check_open()
        await self._exchanger.open(STREAMS)
        self._check_usable()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self, *, grace: float | timedelta = 0.0) -> None:
        """Close the client and all its connections. If the client is closed already, nothing happens.

        No request starts any more. A send that waits for other calls, the login, its time or another attempt
        raises `NotSent`. A read that waits raises `ClientClosed`. A stream raises `BatchHalted` or
        `ClientClosed` instead of its next request.

        Args:
            grace: maximum time to wait for the requests in flight: seconds or a `timedelta`. After this time,
                or if `aclose` is cancelled or called again, the rest is cancelled: a read raises
                `ClientClosed`, and a send raises `NotSent` or `OutcomeUnknown`.

        Raises:
            WrongEventLoop: if the client was first used in another event loop. The client stays open.
            ValidationError: if ``grace`` is negative or is not a time.
        """
        seconds = settings.checked_grace(grace)
        if self._lifetime.is_over:
            return
        self._lifetime.check_loop()
        await self._caller.aclose(seconds)

    def __repr__(self) -> str:
        state = f"{self._exchanger.description}{' closed' if self._lifetime.is_closed else ''}"
        return f"<{type(self).__name__} {self._base_url} concurrency={self._limiter.concurrency} {state}>"

    @property
    def stats(self) -> ClientStats:
        """What the client does now, and how its calls have ended."""
        return self._caller.stats()

    async def balance(self, *, timeout: Seconds = None) -> Decimal:  # noqa: ASYNC109
        """Return the balance of the account (contract, "User/Balance"). The response contains no currency."""
        self._check_usable()
        seconds = settings.checked_timeout(timeout)
        return await self._caller.read(encoding.balance_request(), decoding.decode_balance, seconds=seconds)

    async def send(
        self,
        destination_address: str,
        text: str,
        *,
        source_address: str | None = None,
        send_date: datetime | None = None,
        validity: int | timedelta | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
        key: str | None = None,
        ledger: Ledger | None = None,
    ) -> Receipt:
        """Send one message (contract, "Sms/Send").

        With a ledger, several calls with the same key send one message, also after a restart: for example, if
        a user clicks twice. Each call returns the receipt of the first call or raises its recorded error, and
        waits for it if it has not ended. After `NotSent`, `RateLimited` or a refusal of the account, the next
        call with the key sends the message.

        Args:
            destination_address: 7 to 15 digits: country code, network code and number, with or without ``+``.
                Spaces and brackets are not allowed. A missing country code cannot be detected. A Russian
                mobile number may begin with 89 in place of 79; it is sent with 79.
            text: 1 to 2000 UTF-16 units. The gateway bills each segment of a text: see `segment`.
            source_address: at most 11 Latin characters, or at most 15 digits. None means the source address
                of the client.
            send_date: time at which the gateway sends the message: an aware datetime; fractions of a second
                are dropped. None means to send immediately.
            validity: time for which the gateway tries to deliver: whole minutes as an `int`, or a `timedelta`
                of whole minutes. None or 0 means the gateway's default (contract, "Validity").
            timeout: maximum time of the whole call; see `AsyncSmsClient`.
            key: key of the message in the ledger, for example of the order or the login attempt. None means
                that the ledger derives the key from all other parameters.
            ledger: an open `Ledger`. None means no ledger.

        Returns:
            A receipt with one segment id for each segment.

        Raises:
            RequestRejected: if the gateway refused the message or the login. Nothing was sent.
            NotSent: if no byte of the request was written. It is safe to send the message again.
            OutcomeUnknown: if it is not known whether the message was sent.
            LedgerError: if the ledger cannot record the message. The message was not sent.
        """
        source = self._sender.source_address_of(source_address)
        message = Message(
            destination_address, text, source_address=source, send_date=send_date, validity=validity, key=key
        )
        del destination_address, text, source_address, source, key
        self._check_usable()
        return await batch.send_one(self._sender, ledger, self._clock, message, timeout)

    async def send_by_time_zone(
        self,
        destination_address: str,
        text: str,
        *,
        send_date: datetime,
        source_address: str | None = None,
        validity: int | timedelta | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
        key: str | None = None,
        ledger: Ledger | None = None,
    ) -> Receipt:
        """Send one message at a local time of the recipient (contract, "Sms/SendByTimeZone").

        ``send_date`` is a naive datetime in the local time of the recipient, without fractions of a second.
        The gateway derives the time zone from the destination address. All other things are those of `send`.
        """
        message = Message(
            destination_address,
            text,
            source_address=self._sender.source_address_of(source_address),
            send_date=send_date,
            validity=validity,
            by_time_zone=True,
            key=key,
        )
        del destination_address, text, source_address, key
        self._check_usable()
        return await batch.send_one(self._sender, ledger, self._clock, message, timeout)

    async def send_bulk(
        self,
        destination_addresses: Sequence[str],
        text: str,
        *,
        source_address: str | None = None,
        send_date: datetime | None = None,
        by_time_zone: bool = False,
        validity: int | timedelta | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
    ) -> list[Receipt]:
        """Send one text to several recipients in one request (contract, "Sms/SendBulk").

        The gateway accepts all messages of the request or none. If a number occurs twice, the gateway sends
        two messages to this number. Use `send_many` for many recipients: `send_many` isolates the recipients
        that the gateway refuses. `send_bulk` also raises the errors of `send`.

        ``destination_addresses`` is a sequence of at least one destination address; see `send` for the form.
        With ``by_time_zone``, ``send_date`` is a naive datetime in the local time of each recipient
        (contract, "Sms/SendByTimeZoneToAddresses"). All other parameters are those of `send`.

        Returns:
            One receipt for each destination address, in the order of ``destination_addresses``.

        Raises:
            SegmentIdsUnattributed: if the gateway accepted all messages, but the number of segment ids is not
                a multiple of the number of messages. Do not send the messages again.
            ResourceNotFound: if the gateway cannot send a bulk with ``by_time_zone``. Nothing was sent.
        """
        source = self._sender.source_address_of(source_address)
        template = Message(
            "", text, source_address=source, send_date=send_date, validity=validity, by_time_zone=by_time_zone
        )
        numbers = Hidden(destination_addresses)
        del destination_addresses, text, source_address, source
        self._check_usable()
        return await self._sender.send_bulk(numbers, template, timeout)

    @sealed
    def send_many(
        self,
        messages: Iterable[Message] | AsyncIterable[Message],
        *,
        ledger: Ledger | None = None,
        recipients_per_request: int = 500,
        lookahead: int = 5000,
        linger: float = 0.05,
        unknown_limit: int = 5,
        forbidden_limit: int = 5,
        max_in_flight: int = 1000,
        grace: float = 5.0,
    ) -> Batch:
        """Send many messages. The result is a stream of outcomes: `Accepted`, `Rejected` or `Unknown`.

        Use the stream as ``async with sms.send_many(messages) as outcomes``, and iterate over ``outcomes``
        inside the block. The documentation of `Batch` describes the requests, the ledger and the early end.

        Args:
            messages: an iterable or async iterable of `Message`, read while messages are sent.
            ledger: an open `Ledger`. If the batch is interrupted, call `send_many` again with the same
                messages and the same ledger: no message is sent twice. None means no ledger.
            recipients_per_request: maximum number of recipients of one bulk, at most 2,999.
            lookahead: maximum number of messages that the batch holds back in order to find other messages
                of equal content for one bulk.
            linger: maximum time in seconds for which the batch holds back a message.
            unknown_limit: the batch halts after this number of successive requests with an unknown outcome.
            forbidden_limit: the batch halts after the gateway has forbidden this number of different
                recipients (code 7) in a row.
            max_in_flight: maximum number of messages in flight. A crash leaves at most this number unknown,
                and the batch sends at most this number in each response time of the gateway.
            grace: maximum time in seconds to wait for requests in flight if you leave the block early.

        Raises:
            ValidationError: if a setting is wrong. For an invalid message, the outcome is `Rejected`.
            BatchHalted: after the last outcome, if the batch ended early. The other messages were not sent.
        """
        batch_settings = batch.BatchSettings(
            recipients_per_request=recipients_per_request,
            lookahead=lookahead,
            linger=linger,
            unknown_limit=unknown_limit,
            forbidden_limit=forbidden_limit,
            max_in_flight=max_in_flight,
            grace=grace,
        )
        self._lifetime.check_open()
        settings.check_ledger(ledger)
        return batch.Batch(
            messages,
            batch.ChunkSender(self._caller, ledger, self._stream_clock, batch_settings, self._api),
            default_source_address=self._source_address,
            workers=self._limiter.concurrency,
            check_usable=self._check_usable,
        )

    @sealed_async
    async def send_pending(
        self, ledger: Ledger, *, once: bool = False, **options: Unpack[batch.PendingOptions]
    ) -> Summary:
        """Send the pending messages of a ledger in PostgreSQL until cancelled; see `PendingOptions`.

        Any number of machines can do this at the same time. While a server is away, the call waits. With
        ``once``, the call returns the counts of its outcomes when no message is due.

        Raises:
            BatchHalted: if the account is paused. With ``once``, also if the gateway cannot be used now.
        """
        self._check_usable()
        run = batch.queue_run(
            self._caller, self._stream_clock, self._api, ledger, self._source_address, once=once, **options
        )
        return await run.run(self._limiter.concurrency)

    async def state(self, segment_id: str, *, timeout: Seconds = None) -> SegmentState:  # noqa: ASYNC109
        """Return the state of one segment (contract, "Sms/State").

        ``segment_id`` is one of the ids in `Receipt.segment_ids`. To follow all segments of a message until
        their states are final, use `track` or `wait_delivered`.
        """
        given = Hidden(segment_id)
        del segment_id
        self._check_usable()
        return (await tracking.read_state(self._caller, given, timeout=timeout)).value

    @sealed
    def track(
        self,
        receipts: Iterable[Receipt | Delivery] | AsyncIterable[Receipt | Delivery] | Ledger,
        *,
        schedule: Schedule | None = None,
        deadline: float | timedelta = DEADLINE,
        ledger: DeliverySink | None = None,
    ) -> Tracking:
        """Track sent messages. The result is a stream of `Delivery` objects.

        Use the stream as ``async with sms.track(receipts) as deliveries``, and iterate over ``deliveries``
        inside the block. The stream returns a delivery when a message changes, and a last delivery for each
        message. See the documentation of `Tracking` for the requests and all errors.

        Args:
            receipts: an iterable or async iterable. A `Receipt` starts the tracking of a message. A
                `Delivery` continues the tracking of an earlier run. An open `Ledger` means all accepted
                messages in the ledger that are not final; the ledger also records their deliveries.
            schedule: time between two requests for a state. None means the defaults of `Schedule`.
            deadline: time after which the tracking of a message ends with a last delivery, in any phase:
                seconds or a `timedelta` from the acceptance, or from a later ``send_date``. The default is 48
                hours and 10 minutes.
            ledger: ledger that records each delivery before the stream returns the delivery.

        Raises:
            RequestRejected: while iterating, if the gateway refused the credentials or the account.
            ValidationError: if a setting is wrong.
        """
        self._lifetime.check_open()
        tracker = tracking.tracker_for(schedule, Schedule, deadline)
        if isinstance(receipts, ledgers.Ledger):
            ledger = receipts if ledger is None else ledger
            receipts = receipts.to_track()
        settings.checked_methods("ledger", ledger, ("record",), None)
        return self._tracking(receipts, tracker, workers=self._limiter.concurrency, ledger=ledger)

    @sealed_async
    async def wait_delivered(
        self,
        receipt: Receipt | Delivery,
        *,
        schedule: Schedule | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
    ) -> Delivery:
        """Track one message until its delivery is final. See `Tracking` for the requests.

        Args:
            receipt: the receipt of the message, or the `Delivery` that an earlier call returned.
            schedule: the same as for `track`.
            timeout: maximum time of the call: seconds or a `timedelta`. After the timeout, the method returns
                the current delivery, whose ``is_final`` is false if the delivery may still change. None means
                48 hours and 10 minutes after the acceptance, or after a later ``send_date``.

        Raises:
            RequestRejected: if the gateway refused the credentials or the account.
            ValidationError: if the receipt, the schedule or the timeout is wrong.
        """
        tracker = tracking.tracker_for(schedule, Schedule, DEADLINE, timeout=timeout)
        return await self._tracking([receipt], tracker, workers=1).last()

    async def incoming(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        timeout: Seconds = None,  # noqa: ASYNC109
    ) -> list[IncomingMessage]:
        """Return the incoming messages of a period, in the order of the response (contract, "Sms/In").

        Dates in requests have no fractions of a second: ``since`` is rounded down, and ``until`` is rounded
        up. A malformed row of the response is left out, and a warning is logged.

        Args:
            since: beginning of the period, aware, and before ``until``. None means the last year, less two
                days for different clocks: some gateways refuse an earlier beginning.
            until: end of the period, aware. None means the time of the gateway, also if your clock is behind.
            timeout: maximum time of the whole call; see `AsyncSmsClient`.

        Raises:
            ValidationError: if a date is not an aware datetime, or ``since`` is not before ``until``.
        """
        self._check_usable()
        return await inbox.read_period(
            self._caller, self._clock.now(), since=since, until=until, timeout=timeout
        )

    def watch_incoming(
        self,
        *,
        since: datetime | None = None,
        every: timedelta | float = timedelta(seconds=10),
        overlap: timedelta = timedelta(minutes=10),
        window: timedelta = timedelta(days=1),
        checkpoint: Checkpoint | Callable[[Position], Awaitable[None]] | None = None,
        receiver: IncomingReceiver | None = None,
    ) -> Inbox:
        """Watch for incoming messages. The result is a stream that returns each message once.

        Use it as ``async with sms.watch_incoming() as messages``, and iterate over ``messages`` inside the
        block. See the documentation of `Inbox` for requests, the order of messages, pushes and restarts.

        Args:
            since: time at which a run without a saved position begins, aware. None means the current time.
            every: time from the start of one round of requests to the next start: a `timedelta` or seconds.
            overlap: maximum delay with which the gateway stores an incoming message.
            window: maximum time by which one request moves the end of the requested period forward.
            checkpoint: a `Checkpoint`, for example ``ledger.checkpoint()``, or an async function that
                receives each `Position`. None means that no position is saved.
            receiver: receiver of pushes that runs in this process, so that each message is given once.

        Raises:
            InvalidCredentials: while iterating, if the login or the password is wrong. The stream ends.
            ValidationError: if a setting is wrong.
        """
        inbox_settings = inbox.InboxSettings(every=every, overlap=overlap, window=window)
        self._lifetime.check_open()
        return inbox.Inbox(
            partial(inbox.read_incoming, self._caller),
            self._stream_clock,
            self._check_usable,
            self._caller.hub,
            since=since,
            settings=inbox_settings,
            checkpoint=checkpoint,
            receiver=receiver,
        )

    async def statistics(self, start: datetime, end: datetime, *, timeout: Seconds = None) -> Statistics:  # noqa: ASYNC109
        """Return the statistics of a period (contract, "Sms/Statistics").

        ``start`` and ``end`` are aware; fractions of a second are dropped, and the period includes the second
        of ``end``. The gateway allows at most 90 days in one request. For a longer period, the client makes
        one request for each 90 days and adds up the results. See `Statistics.sum` for ``delivery_ratio``.

        Raises:
            ValidationError: if a date is not an aware datetime, or ``start`` is after ``end``.
        """
        self._check_usable()
        return await read_statistics(self._caller, start, end, self._api.time_zone, timeout)
