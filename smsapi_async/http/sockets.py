"""Asks the operating system whether a socket can be read. No event loop is needed."""

import select
from typing import Protocol


class HasDescriptor(Protocol):
    """A socket, or the object that an event loop provides in place of the socket."""

    def fileno(self) -> int:
        """Return the file descriptor; a negative number if the socket is closed."""


def is_readable(opened: HasDescriptor | None) -> bool:
    """Return whether bytes or the end of the connection can be read.

    The result is True if the socket is closed.

    Args:
        opened: the socket; None counts as a closed socket.
    """
    descriptor = -1 if opened is None else opened.fileno()
    if descriptor < 0:
        return True
    # Windows has no `poll`. On other systems `poll` is necessary: `select` fails for a descriptor above 1023.
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
