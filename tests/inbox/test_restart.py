"""Tests of the end and the restart of an inbox.

The tests check the saved positions, and which message an inbox returns twice.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async import IncomingMessage, ValidationError
from smsapi_async.inbox import CallbackCheckpoint, Inbox, MemoryCheckpoint, Position
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.inbox.tools import SENDER, START, Killed, SharedClock, after, in_process, texts_until, watch

pytestmark = pytest.mark.anyio

# `LATE` maps the text of each message to two numbers of seconds: from `START` to the creation of the message,
# and from the creation to the filing by the gateway.
LATE = {f"{created}+{late}": (created, late) for created in range(0, 600, 25) for late in (0, 30, 55)}


class Crash(Exception):
    """The exception that simulates the end of the process while the consumer handles a message."""


def file_late_messages(clock: SharedClock) -> None:
    """Plan all messages of `LATE` with `clock`."""
    for text, (created, late) in LATE.items():
        clock.file(text, created=created, filed=created + late)


@pytest.mark.parametrize("life", [15, 40, 70, 200])
async def test_kill_and_restart_around_late_messages(sandbox: Sandbox, clock: SharedClock, life: int) -> None:
    """If the process is killed repeatedly while the inbox waits, each message is still returned once."""
    file_late_messages(clock)
    checkpoint = MemoryCheckpoint()
    texts: list[str] = []
    for start in range(0, 900, 2 * life):
        clock.move_to(after(start))
        async with (
            in_process(sandbox, clock) as sms,
            watch(sms, every=10, overlap=timedelta(minutes=1), checkpoint=checkpoint) as messages,
        ):
            texts += await texts_until(messages, clock, start + life)
    assert Counter(texts) == Counter(list(LATE))


async def handle(messages: Inbox, most: int, handled: list[str], in_hand: list[str]) -> None:
    """Handle `most` messages of the inbox, take one more message, and raise `Crash`.

    Args:
        messages: the inbox.
        most: the number of messages to handle.
        handled: a list; the function appends the texts of the handled messages.
        in_hand: a list; the function appends the text of the message that is not handled.
    """
    for _ in range(most):
        handled.append((await anext(messages)).text)
    in_hand.append((await anext(messages)).text)
    raise Crash


@pytest.mark.parametrize("most", [1, 3, 10])
async def test_a_crash_repeats_the_message_it_was_handling_and_no_other(
    sandbox: Sandbox, clock: SharedClock, most: int
) -> None:
    """After a crash, only the message that the consumer was handling is returned a second time."""
    file_late_messages(clock)
    clock.end = after(800)
    checkpoint = MemoryCheckpoint()
    settings: dict[str, Any] = {"overlap": timedelta(minutes=1), "window": timedelta(seconds=45)}
    handled: list[str] = []
    in_hand: list[str] = []
    ended = False
    while not ended:
        async with in_process(sandbox, clock) as sms:
            try:
                async with watch(sms, checkpoint=checkpoint, every=10, **settings) as messages:
                    await handle(messages, most, handled, in_hand)
            except Crash:
                clock.move_to(min(clock.now() + timedelta(seconds=7), clock.end))
            except Killed:
                ended = True
    assert Counter(handled) == Counter(list(LATE))
    assert len(in_hand) >= len(LATE) // most - 1


async def test_the_position_is_saved_before_the_next_message_is_given(
    sandbox: Sandbox, clock: SharedClock
) -> None:
    """The inbox saves its position at the start, and before it returns the next message.

    The inbox also saves its position after a response without new messages.
    """
    events: list[object] = []

    async def save(position: Position) -> None:
        events.append([id_ for id_, _ in position.ids])

    ids = [str(sandbox.receive(SENDER, text=text, at=after(-60))) for text in ("a", "b")]
    async with in_process(sandbox, clock) as sms, watch(sms, since=after(-60), checkpoint=save) as messages:
        clock.end = after(10)
        with pytest.raises(Killed):
            async for message in messages:
                events.append(message.text)
    # The last two positions are equal: the inbox saves a position when "b" is handled, and again after the
    # next response, which contains no new message.
    assert events == [[], "a", ids[:1], "b", ids, ids]


async def test_a_message_in_hand_when_the_block_is_left_comes_again(
    sandbox: Sandbox, clock: SharedClock
) -> None:
    """If the consumer leaves the loop with `break`, the next run begins with the last returned message."""
    checkpoint = MemoryCheckpoint()
    given = []
    for text in ("a", "b", "c"):
        sandbox.receive(SENDER, text=text)
    async with in_process(sandbox, clock) as sms:
        for _ in range(2):
            async with watch(sms, since=START, checkpoint=checkpoint) as messages:
                async for message in messages:
                    given.append(message.text)
                    if message.text == "b":
                        break
    assert given == ["a", "b", "b"]


async def test_the_first_run_that_finds_no_answer_keeps_its_beginning(
    sandbox: Sandbox, clock: SharedClock
) -> None:
    """If every request of the first run fails, the second run begins at the start time of the first run."""
    checkpoint = MemoryCheckpoint()
    sandbox.answer_next("Sms/In", status=503)
    clock.file("between", created=30, filed=30)
    async with in_process(sandbox, clock) as sms:
        async with watch(sms, checkpoint=checkpoint) as messages:
            assert await texts_until(messages, clock, 5) == []
        clock.move_to(after(100))
        async with watch(sms, checkpoint=checkpoint) as messages:
            assert await texts_until(messages, clock, 100) == ["between"]


async def test_a_saved_position_wins_over_since(sandbox: Sandbox, clock: SharedClock) -> None:
    """If the checkpoint contains a position, the inbox continues at this position and ignores `since`."""
    checkpoint = MemoryCheckpoint()
    sandbox.receive(SENDER, text="old", at=after(-3600))
    async with in_process(sandbox, clock) as sms:
        for expected in (["old"], []):
            async with watch(sms, since=after(-7200), checkpoint=checkpoint) as messages:
                assert await texts_until(messages, clock, 0) == expected


async def test_a_file_is_enough_of_a_checkpoint(sandbox: Sandbox, clock: SharedClock, tmp_path: Path) -> None:
    """The checkpoint can be a function that writes each position to a file.

    After a restart, the inbox continues at the position in the file.
    """
    file = anyio.Path(tmp_path / "position.json")

    async def save(position: Position) -> None:
        await file.write_text(position.to_json())

    sandbox.receive(SENDER, text="first")
    clock.file("late", created=-5, filed=30)
    async with in_process(sandbox, clock) as sms:
        async with watch(sms, since=after(-60), checkpoint=save) as messages:
            assert await texts_until(messages, clock, 10) == ["first"]
        clock.move_to(after(60))
        saved = Position.from_json(await file.read_text())
        async with watch(sms, checkpoint=CallbackCheckpoint(save, saved)) as messages:
            assert await texts_until(messages, clock, 60) == ["late"]


async def test_a_failing_checkpoint_is_told_and_loses_nothing(sandbox: Sandbox, clock: SharedClock) -> None:
    """If `save` raises an error, the inbox raises this error unchanged.

    When the consumer asks for a message again, the inbox saves the position and returns the next message.
    """
    saved: list[Position] = []
    full = [False]

    async def save(position: Position) -> None:
        if full[0]:
            raise OSError("no space left")
        saved.append(position)

    ids = [str(sandbox.receive(SENDER, text=text)) for text in ("a", "b")]
    async with in_process(sandbox, clock) as sms, watch(sms, checkpoint=save) as messages:
        assert (await anext(messages)).text == "a"
        full[0] = True
        with pytest.raises(OSError, match="no space left"):
            await anext(messages)
        full[0] = False
        assert (await anext(messages)).text == "b"
    assert [id_ for id_, _ in saved[-1].ids] == ids[:1]


async def test_a_cancelled_save_is_made_up_for(sandbox: Sandbox, clock: SharedClock) -> None:
    """If a call of `save` is cancelled, the inbox calls `save` again before it returns the next message."""
    saved: list[list[str]] = []
    slow = [False]

    async def save(position: Position) -> None:
        if slow[0]:
            await anyio.sleep_forever()
        saved.append([id_ for id_, _ in position.ids])

    ids = [str(sandbox.receive(SENDER, text=text)) for text in ("a", "b")]
    async with in_process(sandbox, clock) as sms, watch(sms, checkpoint=save) as messages:
        await anext(messages)
        slow[0] = True
        async with anyio.create_task_group() as group:
            group.start_soon(anext, messages)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        slow[0] = False
        assert (await anext(messages)).text == "b"
    assert saved == [[], ids[:1]]


async def test_a_checkpoint_that_cannot_work_is_refused_before_any_request(
    sandbox: Sandbox, clock: SharedClock
) -> None:
    """An invalid checkpoint raises a `ValidationError` before the first request.

    Invalid checkpoints are a function that is not async, and an object whose `load` returns a text instead of
    a `Position`.
    """

    class Broken(MemoryCheckpoint):
        async def load(self) -> Position | None:
            return "2026-03-01"  # type: ignore[return-value]

    async with in_process(sandbox, clock) as sms:
        checkpoints: list[object] = [print, Broken()]
        for checkpoint in checkpoints:
            with pytest.raises(ValidationError) as caught:
                await watch(sms, checkpoint=checkpoint).__aenter__()
            assert caught.value.parameter == "checkpoint"
    assert sandbox.account.arrivals == []


async def test_over_a_socket_two_runs_see_each_message_once(anyio_backend: str) -> None:
    """Over a socket, two runs together return each message once.

    The second run begins with the message that the consumer was handling when the first run was cancelled.
    """
    checkpoint = MemoryCheckpoint()
    handled: list[IncomingMessage] = []
    async with run_sandbox() as sandbox:
        since = sandbox.now() - timedelta(hours=50)
        for hours in range(50, 0, -5):
            sandbox.receive(SENDER, text=str(hours), at=sandbox.now() - timedelta(hours=hours, seconds=-1))
        for enough in (4, 10):
            async with client_for(sandbox) as sms:
                with anyio.CancelScope() as scope:
                    async with watch(sms, since=since, every=0.01, checkpoint=checkpoint) as messages:
                        async for message in messages:
                            if len(handled) == enough:
                                scope.cancel()
                                await anyio.sleep_forever()
                            handled.append(message)
                            if len(handled) == 10:
                                break
    assert [message.text for message in handled] == [str(hours) for hours in range(50, 0, -5)]
