"""Read a file or standard input as lines of text.

The functions of this module block, so they are called in worker threads.
"""

import io
import os
import select
import sys
from collections.abc import Iterator

from smsapi_async.errors import ValidationError

ARGUMENT = "RECIPIENTS"
# The greatest length of a line, in bytes. The limit bounds the memory use for a file without line breaks.
LINE_LIMIT = 1 << 20
STANDARD_INPUT = "-"

_UTF_8 = "utf-8"
_CP1251 = "cp1251"
_BOM = b"\xef\xbb\xbf"
# The first bytes of files that users pass by mistake.
_OTHER_FILES = {
    b"\xff\xfe": ("a file in UTF-16", "save it in UTF-8"),
    b"\xfe\xff": ("a file in UTF-16", "save it in UTF-8"),
    b"PK\x03\x04": ("a spreadsheet or a ZIP file", "save it as CSV in UTF-8"),
}
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


class Lines(Iterator[str]):
    """The lines of a stream as text, with their line breaks.

    A line that cannot be decoded does not end the iteration: see `take_flaw`.

    Attributes:
        number: the number of the last line that was returned; the first line has the number 1.
        taken: the number of bytes that were consumed from `stream`.

    Args:
        stream: the stream of bytes to read.
        encoding: ``utf-8`` or ``cp1251``; None means that the first line with non-ASCII characters determines
            the encoding.
    """

    def __init__(self, stream: io.BufferedReader, encoding: str | None) -> None:
        self._stream = stream
        self._encoding = encoding
        self._flaw: str | None = None
        self.number = 0
        self.taken = 0

    def __next__(self) -> str:
        raw = self._stream.readline(LINE_LIMIT)
        if not raw:
            raise StopIteration
        self.number += 1
        self.taken += len(raw)
        if self.number == 1:
            raw = _without_mark(raw)
        if len(raw) == LINE_LIMIT and not raw.endswith(b"\n"):
            self._skip_line()
            # The caller gets an empty line in place of the long line. Because of `_flaw`, the caller reports
            # the row as bad.
            self._flaw = f"the line is longer than {LINE_LIMIT} bytes"
            return "\n"
        return self._decoded(raw)

    def sample(self) -> str:
        """Return the next bytes in the buffer as text, at most 8192 bytes, without consuming the bytes.

        The text may end in the middle of a line or of a character.
        """
        return self._stream.peek()[:8192].decode(self._encoding or _UTF_8, "replace")

    def take_flaw(self) -> str | None:
        """Return the error of the lines that were returned since the last call of this method, or None."""
        flaw, self._flaw = self._flaw, None
        return flaw

    def _decoded(self, raw: bytes) -> str:
        if raw.isascii():
            return raw.decode("ascii")
        if self._encoding is None:
            self._encoding = _UTF_8 if _is_utf_8(raw) else _CP1251
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError:
            self._flaw = f"the line is not in {self._encoding.upper()}, the encoding of the other lines"
            return raw.decode(self._encoding, "replace")

    def _skip_line(self) -> None:
        # The loop starts with any value that is neither empty nor the end of a line.
        raw = b"-"
        while raw and not raw.endswith(b"\n"):
            raw = self._stream.readline(LINE_LIMIT)
            self.taken += len(raw)


def encoding_of(stream: io.BufferedReader) -> str:
    """Return the encoding of a file: the encoding of most lines with non-ASCII characters.

    A line in cp1251 is almost never valid UTF-8. If most lines are valid UTF-8, the file is in UTF-8, and the
    other lines are damaged. Damaged lines must not determine the encoding of the file, because the texts of
    all other lines would be wrong.
    """
    found = {True: 0, False: 0}
    for raw in iter(lambda: stream.readline(LINE_LIMIT), b""):
        if not raw.isascii():
            found[_is_utf_8(raw)] += 1
    return _CP1251 if found[False] > found[True] else _UTF_8


def _without_mark(raw: bytes) -> bytes:
    for beginning, (what, hint) in _OTHER_FILES.items():
        if raw.startswith(beginning):
            raise ValidationError(ARGUMENT, what, hint)
    # The byte order mark of UTF-8 is not a part of the first column name.
    return raw.removeprefix(_BOM)


def _is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode(_UTF_8)
    except UnicodeDecodeError:
        return False
    return True
