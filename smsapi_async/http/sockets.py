"""Asks the operating system, without an event loop, whether a socket can be read."""

import select
from typing import Protocol


class HasDescriptor(Protocol):
    """A socket, or the object that an event loop provides in place of the socket."""

    def fileno(self) -> int:
        """Return the file descriptor; a negative number if the socket is closed."""


def is_readable(opened: HasDescriptor | None) -> bool:
    """Return whether bytes or the end of the connection can be read from a socket.

    The result is True if the socket is closed.

    Args:
        opened: the socket; None counts as a closed socket.
    """
    descriptor = -1 if opened is None else opened.fileno()
    if descriptor < 0:
        return True
    # `poll` is used where it exists, because `select` fails for a descriptor above 1023. Windows has no
    # `poll`.
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
