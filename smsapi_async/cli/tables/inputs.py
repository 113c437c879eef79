"""Open a file or standard input as a stream of bytes.

The functions of this module block, so they are called in worker threads.
"""

import io
import os
import select
import sys

from smsapi_async.errors import ValidationError

ARGUMENT = "RECIPIENTS"
STANDARD_INPUT = "-"

# Whether `select` and `os.readv` can read files. On Windows, `select` accepts only sockets (Python
# documentation, `select.select`), and `os.readv` does not exist.
_CAN_WAIT = os.name == "posix"


class Input(io.RawIOBase):
    """A readable file descriptor as a raw stream. `end` ends a read that blocks in another thread.

    On Windows, `end` cannot end a read that already blocks.

    Args:
        descriptor: the file descriptor to read from.
        is_owned: whether `close` closes the file descriptor.
    """

    def __init__(self, descriptor: int, *, is_owned: bool) -> None:
        self._descriptor = descriptor
        self._is_owned = is_owned
        # `end` writes to the pipe, so that the call of `select` in `readinto` returns.
        self._ended, self._ending = os.pipe()
        # The number of bytes that were read from the file descriptor.
        self._given = 0

    def readable(self) -> bool:
        """Return True: the stream can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Wait for bytes and read them into `buffer`.

        Returns:
            The number of bytes that were read; 0 at the end of the file and after `end`.
        """
        if _CAN_WAIT and self._ended in select.select([self._descriptor, self._ended], [], [])[0]:
            return 0
        count = os.readv(self._descriptor, [buffer]) if _CAN_WAIT else _read_into(self._descriptor, buffer)
        self._given += count
        return count

    def would_wait(self, taken: int) -> bool:
        """Return whether the next read may have to wait for bytes.

        Args:
            taken: the number of bytes that the reader has consumed so far. If the stream has returned more
                bytes than `taken`, the buffer of the reader still contains bytes, and the next read does not
                wait.
        """
        if taken < self._given:
            return False
        # Without `select`, it is not known whether the next read has to wait. Return True, so that the caller
        # processes its current rows before it reads more rows.
        return not _CAN_WAIT or not select.select([self._descriptor], [], [], 0)[0]

    def end(self) -> None:
        """End the stream: the current read and all later reads return 0 bytes, as at the end of a file."""
        os.write(self._ending, b"\0")

    def close(self) -> None:
        """Close the pipe and an owned file descriptor. Standard input stays open."""
        if not self.closed:
            for descriptor in (self._ended, self._ending, *([self._descriptor] * self._is_owned)):
                os.close(descriptor)
        super().close()


def _read_into(descriptor: int, buffer: memoryview) -> int:
    data = os.read(descriptor, len(buffer))
    buffer[: len(data)] = data
    return len(data)


def open_input(recipients: str) -> Input:
    """Open a file, or standard input.

    Args:
        recipients: the path of the file, or ``-`` for standard input.

    Raises:
        ValidationError: if the file or standard input cannot be opened.
    """
    try:
        if recipients == STANDARD_INPUT:
            return Input(sys.stdin.fileno(), is_owned=False)
        # Without `O_BINARY`, Windows would translate the line breaks.
        return Input(os.open(recipients, os.O_RDONLY | getattr(os, "O_BINARY", 0)), is_owned=True)
    except (OSError, ValueError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ValidationError(ARGUMENT, repr(recipients), f"pass a readable file, or - ({reason})") from None
