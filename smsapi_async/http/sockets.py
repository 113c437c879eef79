"""What waits in a socket, asked of the system alone."""

import select
from typing import Protocol


class HasDescriptor(Protocol):
    """A socket, or what a loop shows in its place."""

    def fileno(self) -> int:
        """The file descriptor; below 0 once it is closed."""


def is_readable(opened: HasDescriptor | None) -> bool:
    """Whether something, or the end, waits to be read; True of a socket that is closed."""
    descriptor = -1 if opened is None else opened.fileno()
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
