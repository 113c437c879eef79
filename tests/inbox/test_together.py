"""An inbox and a receiver that run together give each message once."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import (
    AsyncSmsClient,
    Inbox,
    IncomingReceiver,
    MemoryCheckpoint,
    PushedMessage,
    ValidationError,
)
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox
from tests.inbox.pushing import TOKEN, Handler, Store, push, push_of
from tests.inbox.test_claims import Table
from tests.inbox.tools import SENDER, START, Killed, SharedClock, after, in_process, texts_until, watch

pytestmark = pytest.mark.anyio


class Together:
    """An inbox and a receiver in one process.

    Attributes:
        sms: the client.
        receiver: the receiver.
        handler: the handler of the receiver.
        inbox: the inbox.
    """

    def __init__(
        self, sms: AsyncSmsClient, receiver: IncomingReceiver, handler: Handler, inbox: Inbox
    ) -> None:
        self.sms, self.receiver, self.handler, self.inbox = sms, receiver, handler, inbox


@asynccontextmanager
async def together(
    sandbox: Sandbox, clock: SharedClock, *, checkpoint: Any = None, pushes: Any = None, **options: Any
) -> AsyncIterator[Together]:
    """Run an inbox and a receiver.

    Args:
        sandbox: the sandbox.
        clock: the clock of the client and of the receiver.
        checkpoint: the checkpoint of the inbox.
        pushes: the checkpoint of the receiver.
        options: more options of the receiver.
    """
    handler = Handler("thanks")
    receiver = IncomingReceiver(handler, token=TOKEN, clock=clock, checkpoint=pushes, **options)
    async with (
        in_process(sandbox, clock) as sms,
        watch(sms, since=START, checkpoint=checkpoint, receiver=receiver) as inbox,
    ):
        yield Together(sms, receiver, handler, inbox)


def receive(sandbox: Sandbox, text: str) -> dict[str, str]:
    """Let a message arrive at the gateway, and return the parameters of its push."""
    return push_of(sandbox.receive(SENDER, text=text), text)


async def test_the_push_comes_first(sandbox: Sandbox, clock: SharedClock, anyio_backend: str) -> None:
    """A message that the handler of the receiver handled is not given by the inbox."""
    async with together(sandbox, clock) as both:
        one, two = receive(sandbox, "one"), receive(sandbox, "two")
        assert await push(both.receiver, one) == (200, "{sms=thanks}")
        assert await texts_until(both.inbox, clock, 100) == ["two"]
        assert await push(both.receiver, two) == (200, "")
        assert [message.text for message in both.handler.messages] == ["one"]


async def test_the_inbox_comes_first(sandbox: Sandbox, clock: SharedClock, anyio_backend: str) -> None:
    """A push of a message that the inbox gave waits until the consumer has handled the message."""
    async with together(sandbox, clock, timeout=5) as both:
        one, two = receive(sandbox, "one"), receive(sandbox, "two")
        assert (await anext(both.inbox)).text == "one"
        answers = []

        async def push_one() -> None:
            answers.append(await push(both.receiver, one))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(push_one)
            await anyio.wait_all_tasks_blocked()
            assert answers == []
            assert (await anext(both.inbox)).text == "two"
        assert answers == [(200, "")]
        assert await texts_until(both.inbox, clock, 100) == []
        assert await push(both.receiver, two) == (200, "")
        assert both.handler.messages == []


async def test_a_slow_consumer_lets_the_gateway_repeat(
    sandbox: Sandbox, clock: SharedClock, anyio_backend: str
) -> None:
    """While the consumer handles a message for longer than the timeout, a push of it gets the status 503."""
    async with together(sandbox, clock, timeout=0.02) as both:
        one = receive(sandbox, "one")
        assert (await anext(both.inbox)).text == "one"
        assert await push(both.receiver, one) == (503, "")
        assert await texts_until(both.inbox, clock, 100) == []
        assert await push(both.receiver, one) == (200, "")
        assert both.handler.messages == []


@pytest.mark.parametrize("is_failure", [False, True])
async def test_the_inbox_waits_for_the_handler(
    is_failure: bool, sandbox: Sandbox, clock: SharedClock, anyio_backend: str
) -> None:
    """While the handler runs, the inbox waits. The inbox gives the message only if the handler fails."""
    started, go = anyio.Event(), anyio.Event()

    async def handle(_: PushedMessage) -> None:
        started.set()
        await go.wait()
        if is_failure:
            raise LookupError

    receiver = IncomingReceiver(handle, token=TOKEN, clock=clock)
    texts: list[str] = []
    async with in_process(sandbox, clock) as sms, watch(sms, since=START, receiver=receiver) as inbox:
        one = receive(sandbox, "one")

        async def read() -> None:
            texts.extend(await texts_until(inbox, clock, 100))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(push, receiver, one)
            await started.wait()
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert texts == []
            go.set()
        assert texts == (["one"] if is_failure else [])


@pytest.mark.parametrize("how", ["break", "error"])
async def test_the_receiver_handles_what_the_consumer_left(
    how: str, sandbox: Sandbox, clock: SharedClock, anyio_backend: str
) -> None:
    """If the consumer leaves the loop with a message in hand, the receiver handles the repeat of its push."""
    store = Store()
    with suppress(LookupError):
        async with together(sandbox, clock, checkpoint=store) as both:
            one = receive(sandbox, "one")
            async for message in both.inbox:
                assert message.text == "one"
                if how == "error":
                    raise LookupError
                break
    assert await push(both.receiver, one) == (200, "{sms=thanks}")
    async with (
        in_process(sandbox, clock) as sms,
        watch(sms, checkpoint=store, receiver=both.receiver) as inbox,
    ):
        assert await texts_until(inbox, clock, 100) == []


async def test_a_restart_of_both(
    tmp_path: Path, sandbox: Sandbox, clock: SharedClock, anyio_backend: str
) -> None:
    """With two checkpoints in one ledger, a restart gives no message again."""
    pushes = [receive(sandbox, text) for text in "abcd"]
    handled = []
    async with Ledger.sqlite(tmp_path / "ledger.db") as ledger:
        for number in range(4):
            async with together(
                sandbox, clock, checkpoint=ledger.checkpoint(), pushes=ledger.checkpoint("pushes")
            ) as both:
                if number % 2:
                    handled += await texts_until(both.inbox, clock, 100 + number)
                else:
                    for each in pushes[: number + 1]:
                        await push(both.receiver, each)
                handled += [message.text for message in both.handler.messages]
        async with together(
            sandbox, clock, checkpoint=ledger.checkpoint(), pushes=ledger.checkpoint("pushes")
        ) as both:
            for each in pushes:
                assert await push(both.receiver, each) == (200, "")
    assert handled == ["a", "b", "c", "d"]


async def test_an_inbox_that_gets_a_receiver_later(
    sandbox: Sandbox, clock: SharedClock, anyio_backend: str
) -> None:
    """A receiver knows the messages that an earlier run of the inbox handled without the receiver."""
    store = Store()
    one = receive(sandbox, "one")
    async with in_process(sandbox, clock) as sms, watch(sms, since=START, checkpoint=store) as inbox:
        assert await texts_until(inbox, clock, 20) == ["one"]
    async with together(sandbox, clock, checkpoint=store) as both:
        assert await push(both.receiver, one) == (200, "")
        assert both.handler.messages == []


async def test_the_receiver_keeps_what_the_inbox_may_find(
    sandbox: Sandbox, clock: SharedClock, anyio_backend: str
) -> None:
    """While the requests of the inbox fail, the receiver forgets no id, also after its memory."""
    async with together(sandbox, clock, memory=timedelta(minutes=10), checkpoint=Store()) as both:
        assert await texts_until(both.inbox, clock, 30) == []
        pushed = []
        sandbox.answer_next("Sms/In", status=503, times=400)
        for number in range(30):
            pushed.append(receive(sandbox, str(number)))
            assert await push(both.receiver, pushed[-1]) == (200, "{sms=thanks}")
            assert await texts_until(both.inbox, clock, 30 + 120 * (number + 1)) == []
        assert await texts_until(both.inbox, clock, 3600 * 3) == []
    assert len(both.handler.messages) == 30


async def test_the_receiver_saves_first(sandbox: Sandbox, clock: SharedClock, anyio_backend: str) -> None:
    """If the receiver's checkpoint fails, the inbox raises the error, and can be used again."""
    pushes, store = Store(), Store()
    async with together(sandbox, clock, checkpoint=store, pushes=pushes) as both:
        one, _ = receive(sandbox, "one"), receive(sandbox, "two")
        assert (await anext(both.inbox)).text == "one"
        before = store.text
        pushes.error = OSError()
        with pytest.raises(OSError):  # noqa: PT011 - the error has no text
            await anext(both.inbox)
        assert store.text == before
        pushes.error = None
        assert (await anext(both.inbox)).text == "two"
        assert '"' + one["messageId"] + '"' in (pushes.text or "")
        assert '"' + one["messageId"] + '"' in (store.text or "")


async def test_an_inbox_uses_the_claim(sandbox: Sandbox, clock: SharedClock, anyio_backend: str) -> None:
    """With `claim`, the message of an inbox is committed when the consumer requests the next message."""
    table = Table()
    one, two = receive(sandbox, "one"), receive(sandbox, "two")
    async with together(sandbox, clock, claim=table.claim) as both:
        assert (await anext(both.inbox)).text == "one"
        assert table.ids == set()
        assert (await anext(both.inbox)).text == "two"
        assert table.ids == {one["messageId"]}
    assert table.ids == {one["messageId"]}
    async with together(sandbox, clock, claim=table.claim) as both:
        assert await push(both.receiver, two) == (200, "{sms=thanks}")
        assert await texts_until(both.inbox, clock, 50) == []
        clock.end = after(1000)
        table.fails_at = "commit"
        three = receive(sandbox, "three")
        assert (await anext(both.inbox)).text == "three"
        with pytest.raises(OSError):  # noqa: PT011 - the error has no text
            await anext(both.inbox)
        table.fails_at = None
        assert (await anext(both.inbox)).text == "three"
        assert await texts_until(both.inbox, clock, 1100) == []
    assert table.ids == {each["messageId"] for each in (one, two, three)}


@pytest.mark.parametrize("kind", ["memory", "ledger", "function"])
async def test_two_checkpoints(kind: str, tmp_path: Path, sandbox: Sandbox, clock: SharedClock) -> None:
    """An inbox refuses the checkpoint of its receiver, because each of them would overwrite the other."""

    async def save(_: object) -> None:
        raise AssertionError

    memory = MemoryCheckpoint()
    async with Ledger.sqlite(tmp_path / "ledger.db") as ledger, in_process(sandbox, clock) as sms:
        made: Any = {"memory": lambda: memory, "ledger": ledger.checkpoint, "function": lambda: save}[kind]
        receiver = IncomingReceiver(Handler(), token=TOKEN, checkpoint=made())
        with pytest.raises(ValidationError, match="checkpoint of the receiver"):
            watch(sms, checkpoint=made(), receiver=receiver)
        watch(sms, checkpoint=ledger.checkpoint("another"), receiver=receiver)
        with pytest.raises(ValidationError, match="receiver"):
            watch(sms, receiver=Handler())


KINDS = ["arrive", "push", "fail", "next", "next", "leave", "restart", "wait"]
# A step of the test with hypothesis: what happens next, and to which message.
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 3)),
    min_size=12,
    max_size=40,
)


@given(steps=STEPS)
async def test_any_order(steps: list[tuple[str, int]], anyio_backend: str) -> None:
    """In any order of arrivals, pushes, failures and restarts, each message is handled exactly once.

    The message in the hand of a consumer who leaves the block is not handled.
    """
    sandbox = Sandbox(start=START)
    run = _Run(sandbox, SharedClock(sandbox))
    async with AsyncExitStack() as stack:
        await run.start(stack)
        for step, number in steps:
            if step == "restart":
                await stack.aclose()
                run.forget()
                await run.start(stack)
            elif step == "leave":
                await stack.aclose()
                await run.start(stack)
            else:
                await run.do(step, number)
        await run.finish()
    assert Counter(run.handled) == Counter(form["text"] for form in run.pushes)


class _Run:
    """The state of one example of the test with hypothesis."""

    def __init__(self, sandbox: Sandbox, clock: SharedClock) -> None:
        self.sandbox, self.clock = sandbox, clock
        self.of_inbox, self.of_receiver = Store(), Store()
        self.pushes: list[dict[str, str]] = []
        self.handled: list[str] = []
        self.in_hand: str | None = None
        self.fails = False
        self.receiver: IncomingReceiver | None = None

    async def handle(self, message: PushedMessage) -> str:
        if self.fails:
            raise LookupError
        self.handled.append(message.text)
        return "thanks"

    def forget(self) -> None:
        self.receiver = None

    async def start(self, stack: AsyncExitStack) -> None:
        self.in_hand = None
        if self.receiver is None:
            self.receiver = IncomingReceiver(
                self.handle, token=TOKEN, checkpoint=self.of_receiver, clock=self.clock, timeout=0.02
            )
        sms = await stack.enter_async_context(in_process(self.sandbox, self.clock))
        inbox = watch(sms, since=START, checkpoint=self.of_inbox, receiver=self.receiver)
        self.inbox = await stack.enter_async_context(inbox)

    async def do(self, step: str, number: int) -> None:
        if step == "arrive":
            self.pushes.append(receive(self.sandbox, f"text {len(self.pushes)}"))
        elif step == "wait":
            self.clock.move_to(self.clock.now() + timedelta(minutes=7 * number))
        elif step == "next":
            await self.next()
        elif self.pushes:
            self.fails = step == "fail"
            form = self.pushes[number % len(self.pushes)]
            assert self.receiver is not None
            status, _ = await push(self.receiver, form)
            # On a busy machine, the response may take longer than the timeout.
            assert status == 503 or form["text"] in self.handled

    async def next(self) -> None:
        """Ask for the next message for at most 15 seconds. The message in hand is then handled."""
        if self.in_hand is not None:
            self.handled.append(self.in_hand)
            self.in_hand = None
        self.clock.end = self.clock.now() + timedelta(seconds=15)
        with suppress(Killed):
            self.in_hand = (await anext(self.inbox)).text

    async def finish(self) -> None:
        self.fails = False
        for _ in range(len(self.pushes) + 2):
            await self.next()
