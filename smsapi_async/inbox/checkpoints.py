"""Where the position is kept between two runs."""

import inspect
from collections.abc import Callable
from typing import Protocol

from smsapi_async.errors import ValidationError
from smsapi_async.inbox.position import Position


class Checkpoint(Protocol):
    """Keeps the position of one stream; whatever it raises is raised to whoever iterates.

    A position is saved for each message and each round, and carries the ids of one overlap: where many
    messages come in, a shorter overlap makes it smaller.
    """

    async def load(self) -> Position | None:
        """The position saved last; None where there is none."""

    async def save(self, position: Position) -> None:
        """Keep a position in place of the one before; done when this returns."""


class MemoryCheckpoint:
    """Keeps the position as long as the process lives.

    Attributes:
        position: the position saved last.
    """

    def __init__(self, position: Position | None = None) -> None:
        self.position = position

    async def load(self) -> Position | None:
        """The position saved last."""
        return self.position

    async def save(self, position: Position) -> None:
        """Keep a position."""
        self.position = position


class CallbackCheckpoint:
    """Gives each position to an asynchronous function.

    Args:
        save: called with the `Position` to keep, and awaited.
        position: where to go on; None means a first start.
    """

    def __init__(self, save: Callable[[Position], object], position: Position | None = None) -> None:
        self._save = save
        self._position = position

    async def load(self) -> Position | None:
        """The position given at first."""
        return self._position

    async def save(self, position: Position) -> None:
        """Call the function."""
        result = self._save(position)
        if not inspect.isawaitable(result):
            raise ValidationError("checkpoint", "a function that is not asynchronous", "pass an async one")
        await result


def checked_checkpoint(checkpoint: object) -> Checkpoint | None:
    """A checkpoint, one made of a function, or None.

    Raises:
        ValidationError: it is none of these.
    """
    if checkpoint is None:
        return None
    is_class = isinstance(checkpoint, type)
    if not is_class and all(callable(getattr(checkpoint, method, None)) for method in ("load", "save")):
        return checkpoint  # type: ignore[return-value]
    if not is_class and callable(checkpoint):
        return CallbackCheckpoint(checkpoint)
    hint = "pass an object with the methods load and save, or an async function of a Position"
    raise ValidationError("checkpoint", f"<{type(checkpoint).__name__}>", hint)
