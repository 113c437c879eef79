"""The client: one method a resource."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
from anyio.lowlevel import EventLoopToken, current_token

from smsapi_async import settings
from smsapi_async.bulk import Batch, BatchSettings, Delivery
from smsapi_async.calls import Caller
from smsapi_async.clock import Clock, SystemClock
from smsapi_async.concurrency import gather
from smsapi_async.errors import ClientClosed, ValidationError, WrongEventLoop
from smsapi_async.http.factory import build_exchanger
from smsapi_async.limiter import Limiter
from smsapi_async.models import IncomingMessage, Message, Receipt, SegmentState, Statistics
from smsapi_async.privacy import Secret
from smsapi_async.protocol import decoding, encoding
from smsapi_async.protocol.addresses import checked_source
from smsapi_async.sending import Sender
from smsapi_async.session import MemorySessionStore, SessionManager, SessionStore
from smsapi_async.settings import RetryPolicy, Timeouts

if TYPE_CHECKING:
    from smsapi_async.ledger import Ledger


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
        transport: an httpx transport of your own; likewise.
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
        transport: httpx.AsyncBaseTransport | None = None,
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
        )
        self._sessions = SessionManager(
            partial(self._caller.log_in, request),
            settings.checked_methods("session_store", session_store, ("load", "save"), MemorySessionStore()),
            self._clock,
            settings.checked_cool_down(login_cool_down),
        )
        self._sender = Sender(self._caller, self._sessions, self._clock)
        self._loop: EventLoopToken | None = None
        self._closed = False

    @classmethod
    def from_env(cls, **options: Any) -> Self:  # noqa: ANN401 - the constructor's own options
        """A client from the environment.

        ``SMSAPI_LOGIN`` and ``SMSAPI_PASSWORD`` are needed, ``SMSAPI_BASE_URL`` and
        ``SMSAPI_SOURCE_ADDRESS`` are optional.

        Args:
            **options: any option of the constructor; it wins over the environment.

        Raises:
            ValidationError: the login or the password is not set, or a value is wrong.
        """
        names = {"login": "SMSAPI_LOGIN", "password": "SMSAPI_PASSWORD"}
        optional = {"base_url": "SMSAPI_BASE_URL", "source_address": "SMSAPI_SOURCE_ADDRESS"}
        for option, name in {**names, **optional}.items():
            value = os.environ.get(name)
            if value:
                options.setdefault(option, value)
            elif option in names and option not in options:
                raise ValidationError(name, "an unset variable", "set it in the environment")
        return cls(**options)

    async def __aenter__(self) -> Self:
        self._check_usable()
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
        state = " closed" if self._closed else ""
        return f"<AsyncSmsClient {self._base_url} concurrency={self._limiter.concurrency}{state}>"

    async def balance(self) -> Decimal:
        """The account's balance, in the account's currency (contract, ``User/Balance``)."""
        self._check_usable()
        return await self._caller.read(self._sessions, encoding.balance_request(), decoding.decode_balance)

    async def send(
        self,
        destination_address: str,
        text: str,
        *,
        source_address: str | None = None,
        send_date: datetime | None = None,
        validity: int | timedelta | None = None,
    ) -> Receipt:
        """Send one message (contract, ``Sms/Send``).

        Args:
            destination_address: country code, network code and number, with or without ``+``.
            text: 1 to 2000 UTF-16 units; see `segment` for what it costs.
            source_address: in place of the client's default.
            send_date: when to send, aware; None means at once.
            validity: how long the gateway keeps trying, in whole minutes or as a `timedelta` of whole
                minutes; None means the gateway's default.
        """
        message = Message(
            destination_address, text, source_address=source_address, send_date=send_date, validity=validity
        )
        return await self._send(message)

    async def send_by_time_zone(
        self,
        destination_address: str,
        text: str,
        *,
        send_date: datetime,
        source_address: str | None = None,
        validity: int | timedelta | None = None,
    ) -> Receipt:
        """Send one message at an hour of the recipient's own time zone (contract, ``Sms/SendByTimeZone``).

        Args:
            destination_address: as for `send`.
            text: as for `send`.
            send_date: naive: the wall clock where the recipient is.
            source_address: as for `send`.
            validity: as for `send`.
        """
        message = Message(
            destination_address,
            text,
            source_address=source_address,
            send_date=send_date,
            validity=validity,
            by_time_zone=True,
        )
        return await self._send(message)

    async def send_bulk(
        self,
        destination_addresses: Sequence[str],
        text: str,
        *,
        source_address: str | None = None,
        send_date: datetime | None = None,
        validity: int | timedelta | None = None,
    ) -> list[Receipt]:
        """Send one text to many recipients in one request (contract, ``Sms/SendBulk``).

        All are accepted or none. The same number twice is two messages.

        Args:
            destination_addresses: at least one; each as for `send`.
            text: as for `send`.
            source_address: as for `send`.
            send_date: as for `send`.
            validity: as for `send`.

        Returns:
            A receipt for each address, in the order given.

        Raises:
            SegmentIdsUnattributed: all were accepted, but the ids do not divide among them.
        """
        self._check_usable()
        template, numbers = encoding.checked_bulk(
            destination_addresses,
            Message("", text, source_address=source_address, send_date=send_date, validity=validity),
            self._source_address,
        )
        return await self._sender.send_bulk(template, numbers)

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
        delivery = Delivery(self._caller, self._sessions, ledger, self._clock, unknown_limit)
        return Batch(
            messages,
            delivery,
            ledger=ledger,
            settings=batch_settings,
            default_source=self._source_address,
            workers=self._limiter.concurrency,
            check_usable=self._check_usable,
        )

    async def state(self, segment_id: str) -> SegmentState:
        """The state of one segment (contract, ``Sms/State``)."""
        self._check_usable()
        request = encoding.state_request(segment_id)
        return await self._caller.read(
            self._sessions, request, partial(decoding.decode_state, segment_id=segment_id)
        )

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
        return await self._caller.read(self._sessions, request, decoding.decode_incoming)

    async def statistics(self, start: datetime, end: datetime) -> Statistics:
        """Counts of messages over a period (contract, ``Sms/Statistics``).

        A period of more than 90 days is asked in windows, concurrently, and summed; each whole second
        is in one window.

        Args:
            start: aware.
            end: aware, and included.
        """
        self._check_usable()
        read = partial(self._caller.read, self._sessions, decode=decoding.decode_statistics)
        return Statistics.sum(
            await gather([partial(read, request) for request in encoding.statistics_requests(start, end)])
        )

    async def _send(self, message: Message) -> Receipt:
        self._check_usable()
        return await self._sender.send(encoding.checked(message, self._source_address))

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
