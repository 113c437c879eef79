"""Checkpoints: objects that store the position of an `Inbox` between two runs."""

import inspect
from collections.abc import Callable
from typing import Protocol

from smsapi_async.errors import ValidationError
from smsapi_async.inbox.position import Position


class Checkpoint(Protocol):
    """An object that stores the position of one `Inbox`, or the ids of one `IncomingReceiver`.

    Pass a checkpoint to `AsyncSmsClient.watch_incoming` or to `IncomingReceiver`, but not the same checkpoint
    to both. You can write your own class with the methods `load`
    and `save`, for example for your database. `Ledger.checkpoint` returns a checkpoint that stores the
    position in a ledger. `Position.to_json` and `Position.from_json` convert a position to a text and back.

    The inbox saves its position after each message, and after each response without new messages. A position
    contains the ids of the messages of one overlap (the time that two successive requests share). If you
    receive many messages, a shorter setting ``overlap`` makes the saved position smaller. The checkpoint of a
    ledger stores only the new ids after each message.

    An error that `load` raises is raised when you enter the inbox. An error that `save` raises is raised when
    you ask for the next message. When you ask for the next message again, the inbox saves the position again
    before it returns the message.
    """

    async def load(self) -> Position | None:
        """Return the position that was saved last, or None if no position was saved."""

    async def save(self, position: Position) -> None:
        """Store a position in place of the earlier position.

        The position must be stored when `save` returns.

        Args:
            position: the position to store.
        """


class MemoryCheckpoint:
    """A checkpoint that keeps the position in memory until the process ends.

    Attributes:
        position: the position that was saved last, or None.
    """

    def __init__(self, position: Position | None = None) -> None:
        self.position = position

    async def load(self) -> Position | None:
        """Return the position that was saved last, or None if no position was saved."""
        return self.position

    async def save(self, position: Position) -> None:
        """Store a position in place of the earlier position."""
        self.position = position


class CallbackCheckpoint:
    """A checkpoint that passes each position to an async function of the caller.

    Args:
        save: an async function that stores a position. The checkpoint awaits ``save`` with each `Position`.
        position: the position at which the inbox continues. None means that no earlier run exists.
    """

    def __init__(self, save: Callable[[Position], object], position: Position | None = None) -> None:
        self._save = save
        self._position = position

    async def load(self) -> Position | None:
        """Return the position that was passed to the constructor."""
        return self._position

    async def save(self, position: Position) -> None:
        """Await the function of the caller with the position to store."""
        result = self._save(position)
        if not inspect.isawaitable(result):
            raise ValidationError("checkpoint", "a save function that is not async", "pass an async function")
        await result


def checked_checkpoint(checkpoint: object) -> Checkpoint | None:
    """Return a checkpoint for the argument of `AsyncSmsClient.watch_incoming`.

    Args:
        checkpoint: a `Checkpoint`, an async function that takes a `Position`, or None.

    Returns:
        The checkpoint, a `CallbackCheckpoint` that calls the function, or None.

    Raises:
        ValidationError: if ``checkpoint`` has another type.
    """
    if checkpoint is None:
        return None
    # A class with the methods `load` and `save` is not a checkpoint, because the methods need an instance.
    is_class = isinstance(checkpoint, type)
    if not is_class and all(callable(getattr(checkpoint, method, None)) for method in ("load", "save")):
        return checkpoint  # type: ignore[return-value]
    if not is_class and callable(checkpoint):
        return CallbackCheckpoint(checkpoint)
    hint = "pass an object with the methods load and save, or an async function that takes a Position"
    raise ValidationError("checkpoint", f"<{type(checkpoint).__name__}>", hint)
