"""The command ``demo``: the steps of the demo and their results. `demo_view` shows the results."""

from collections.abc import Awaitable, Callable
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
# The last three digits of a number determine what the sandbox does with a message. With 700 the recipient
# replies, with 946 the message expires, and with 942 the SMS centre rejects the message.
_ANSWERS = "79035550700"
_BULK_NUMBERS = ("79035550102", "79035550946", "79035550942", "79035550103")
# In the sandbox, numbers that begin with 7914 are in the time zone UTC+10.
_VLADIVOSTOK = "79145550105"
_VLADIVOSTOK_OFFSET = timedelta(hours=10)
_NINE = time(9)
# The longest time for the tracking, in seconds of real time. The demo must end even if a message of the demo
# never becomes final.
_LIMIT = 60.0


@attrs.define
class DemoMessage:
    """One message of the demo with its latest states.

    Attributes:
        title: the name of the message in the table of messages.
        receipt: the receipt that the client returned for the message.
        states: the latest state of each segment, by segment id; segments without a known state are missing.
    """

    title: str
    receipt: Receipt
    states: dict[str, SegmentState] = attrs.Factory(dict)


@attrs.define
class Demo:
    """The results of the demo so far.

    Attributes:
        base_url: the URL of the sandbox.
        link: the URL of the first message on the sandbox's page; None if the page ends with the demo.
        step: the current step of the demo, in words.
        balance_before: the balance before the messages were sent.
        deliveries: the messages of the demo, in the order of sending.
        incoming: the incoming messages, which are the replies of the recipients.
        statistics: the sandbox's statistics of the demo.
        balance_after: the balance at the end of the demo.
        logins: the number of logins that the sandbox received.
        requests: the number of requests that the sandbox received.
    """

    base_url: str = ""
    link: str | None = None
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
        """The price of all segments: `balance_before` minus `balance_after`; None until both are known."""
        if self.balance_before is None or self.balance_after is None:
            return None
        return self.balance_before - self.balance_after

    def accept(self, title: str, *receipts: Receipt) -> None:
        """Add accepted messages. The titles of several messages are numbered."""
        for number, receipt in enumerate(receipts, start=1):
            numbered = title if len(receipts) == 1 else f"{title} {number}/{len(receipts)}"
            self.deliveries.append(DemoMessage(numbered, receipt))

    def enter(self, state: SegmentState) -> None:
        """Store the state of a segment in its message."""
        for delivery in self.deliveries:
            if state.segment_id in delivery.receipt.segment_ids:
                delivery.states[state.segment_id] = state


class _SandboxClock(SystemClock):
    """A clock that returns the sandbox's time.

    The demo moves the sandbox's clock forward. With `_SandboxClock`, the client's time also moves forward, so
    that the send date of the scheduled message has passed for the client, too.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def now(self) -> datetime:
        return self._sandbox.now()


async def run_demo(
    observe: Callable[[Demo], None],
    *,
    speed: float,
    stay: Callable[[Demo], Awaitable[None]] | None = None,
) -> Demo:
    """Start a sandbox, run all steps of the demo against the sandbox, and return the results.

    Args:
        observe: a function that is called with the results so far after each change.
        speed: how many seconds pass on the sandbox's clock in one real second.
        stay: a function that is called with the results. The sandbox and its page end when the function
            returns. None means that they end with the demo.
    """
    demo = Demo()
    observe(demo)
    async with run_sandbox(speed=speed, faults_port=None if stay is None else 0) as sandbox:
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
            _begin(demo, "reading replies and statistics", observe)
            demo.incoming = await sms.incoming(since=started, until=sandbox.now())
            demo.statistics = await sms.statistics(started, sandbox.now())
            demo.balance_after = await sms.balance()
        demo.logins = sandbox.account.logins
        demo.requests = len(sandbox.account.arrivals)
        if stay is not None:
            demo.link = f"{sandbox.page_url}#{_ANSWERS}/{sandbox.account.sent_to(_ANSWERS)[0].segment_ids[0]}"
            await stay(demo)
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
    """Follow the messages until their states are final.

    The last message has a send date on the next day. When the other messages are final, `_follow` moves the
    sandbox's clock to the send date.
    """

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
