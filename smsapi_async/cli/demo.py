"""The steps of the demo, as plain data; `demo_view` shows them."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import attrs

from smsapi_async.cli.demo_tracking import follow
from smsapi_async.client import AsyncSmsClient
from smsapi_async.clock import SystemClock
from smsapi_async.models import IncomingMessage, Receipt, SegmentState, Statistics
from smsapi_async.sandbox import Sandbox, run_sandbox

SOURCE_ADDRESS = "ACME"
_LATIN = "Your table for two is booked for 19:30. See you tonight!"
_CYRILLIC = (
    "Здравствуйте! Ваш заказ собран и ждёт вас в пункте выдачи на Садовой улице, дом 5. "
    "Мы открыты каждый день с 9:00 до 21:00. Возьмите с собой паспорт. Спасибо, что выбрали нас!"
)
_BULK = "Big sale: 20% off until Sunday."
_MORNING = "Good morning! Your appointment is today at 11:00."
# The sandbox chooses the fate of a message by the last three digits of its number.
_ANSWERS = "79035550700"
_BULK_NUMBERS = ("79035550102", "79035550946", "79035550942", "79035550103")
_VLADIVOSTOK = "79145550105"
_VLADIVOSTOK_OFFSET = timedelta(hours=10)
_NINE = time(9)
_LIMIT = 60.0


@attrs.define
class DemoMessage:
    """One message of the demo and what became of it.

    Attributes:
        title: what it shows.
        receipt: what the gateway answered.
        states: the last state of each segment asked about, by its id.
    """

    title: str
    receipt: Receipt
    states: dict[str, SegmentState] = attrs.Factory(dict)


@attrs.define
class Demo:
    """All the demo has found out so far.

    Attributes:
        step: what is being done.
        spent: what all segments cost together.
        logins, requests: how many arrived at the gateway.
    """

    base_url: str = ""
    step: str = "starting the sandbox"
    balance_before: Decimal | None = None
    deliveries: list[DemoMessage] = attrs.Factory(list)
    incoming: list[IncomingMessage] = attrs.Factory(list)
    statistics: Statistics | None = None
    balance_after: Decimal | None = None
    logins: int = 0
    requests: int = 0

    @property
    def spent(self) -> Decimal | None:
        """The difference of the two balances."""
        if self.balance_before is None or self.balance_after is None:
            return None
        return self.balance_before - self.balance_after

    def accept(self, title: str, *receipts: Receipt) -> None:
        """Enter messages that were accepted."""
        for number, receipt in enumerate(receipts, start=1):
            numbered = title if len(receipts) == 1 else f"{title} {number}/{len(receipts)}"
            self.deliveries.append(DemoMessage(numbered, receipt))

    def enter(self, state: SegmentState) -> None:
        """Enter a segment's state."""
        for delivery in self.deliveries:
            if state.segment_id in delivery.receipt.segment_ids:
                delivery.states[state.segment_id] = state


class _SandboxClock(SystemClock):
    """The dates of a sandbox: a message is due for the client when it is for the gateway."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def now(self) -> datetime:
        return self._sandbox.now()


async def run_demo(observe: Callable[[Demo], None], *, speed: float) -> Demo:
    """Run the whole demo against a sandbox of its own.

    Args:
        observe: called whenever there is something new to show.
        speed: seconds of the sandbox's clock in one real second.
    """
    demo = Demo()
    observe(demo)
    async with run_sandbox(speed=speed) as sandbox:
        demo.base_url = sandbox.base_url
        started = sandbox.now()
        client = AsyncSmsClient(
            sandbox.login,
            sandbox.password,
            base_url=sandbox.base_url,
            source_address=SOURCE_ADDRESS,
            clock=_SandboxClock(sandbox),
        )
        async with client as sms:
            _begin(demo, "logging in", observe)
            demo.balance_before = await sms.balance()
            await _send(sms, demo, observe)
            await _follow(sms, demo, sandbox, observe, interval=0.5 / speed)
            _begin(demo, "reading answers and statistics", observe)
            demo.incoming = await sms.incoming(since=started, until=sandbox.now())
            demo.statistics = await sms.statistics(started, sandbox.now())
            demo.balance_after = await sms.balance()
        demo.logins = sandbox.account.logins
        demo.requests = len(sandbox.account.arrivals)
    _begin(demo, "done", observe)
    return demo


async def _send(sms: AsyncSmsClient, demo: Demo, observe: Callable[[Demo], None]) -> None:
    _begin(demo, "sending", observe)
    demo.accept("Latin", await sms.send("79035550101", _LATIN))
    observe(demo)
    demo.accept("Cyrillic", await sms.send(_ANSWERS, _CYRILLIC))
    observe(demo)
    demo.accept("Bulk", *await sms.send_bulk(_BULK_NUMBERS, _BULK))
    observe(demo)
    tomorrow = (datetime.now(UTC) + _VLADIVOSTOK_OFFSET + timedelta(days=1)).date()
    at_nine = datetime.combine(tomorrow, _NINE)
    demo.accept("At 9:00 there", await sms.send_by_time_zone(_VLADIVOSTOK, _MORNING, send_date=at_nine))
    observe(demo)


async def _follow(
    sms: AsyncSmsClient, demo: Demo, sandbox: Sandbox, observe: Callable[[Demo], None], *, interval: float
) -> None:
    """Follow all messages; once only the scheduled one is left, move the sandbox's clock to its time."""

    def enter(state: SegmentState) -> None:
        demo.enter(state)
        observe(demo)

    *at_once, scheduled = [delivery.receipt for delivery in demo.deliveries]
    _begin(demo, "following the states", observe)
    await follow(sms, at_once, enter, interval=interval, limit=_LIMIT)
    enter(await sms.state(scheduled.segment_ids[0]))
    _begin(demo, "moving the sandbox's clock to 9:00 in Vladivostok", observe)
    due = sandbox.account.messages[-1].send_date
    if due is not None:
        sandbox.advance(max(timedelta(0), due - sandbox.now()))
    await follow(sms, [scheduled], enter, interval=interval, limit=_LIMIT)


def _begin(demo: Demo, step: str, observe: Callable[[Demo], None]) -> None:
    demo.step = step
    observe(demo)
