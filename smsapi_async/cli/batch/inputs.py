"""Bytes from a file or from standard input as lines of text. Synchronous, for worker threads."""

import io
import os
import select
import sys
from collections.abc import Iterator

from smsapi_async.errors import ValidationError

ARGUMENT = "RECIPIENTS"
LINE_LIMIT = 1 << 20
STANDARD_INPUT = "-"

_UTF_8 = "utf-8"
_CP1251 = "cp1251"
_BOM = b"\xef\xbb\xbf"
# What people give by mistake, by its first bytes.
_OTHER_FILES = {
    b"\xff\xfe": ("a file in UTF-16", "save it in UTF-8"),
    b"\xfe\xff": ("a file in UTF-16", "save it in UTF-8"),
    b"PK\x03\x04": ("a workbook", "save it as CSV in UTF-8"),
}
# Elsewhere only sockets can be waited for.
_CAN_WAIT = os.name == "posix"


class Input(io.RawIOBase):
    """A file descriptor to read from; `end` ends a read that waits in another thread."""

    def __init__(self, descriptor: int, *, is_owned: bool) -> None:
        self._descriptor = descriptor
        self._is_owned = is_owned
        self._ended, self._ending = os.pipe()
        self._given = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Wait for bytes, or for `end`, which is the end of the file."""
        if _CAN_WAIT and self._ended in select.select([self._descriptor, self._ended], [], [])[0]:
            return 0
        count = os.readv(self._descriptor, [buffer]) if _CAN_WAIT else _read_into(self._descriptor, buffer)
        self._given += count
        return count

    def would_wait(self, taken: int) -> bool:
        """Whether the next read may wait, once so many bytes have been taken out of the buffer."""
        if taken < self._given:
            return False
        return not _CAN_WAIT or not select.select([self._descriptor], [], [], 0)[0]

    def end(self) -> None:
        """Let all reads see the end of the file from now on."""
        os.write(self._ending, b"\0")

    def close(self) -> None:
        """Close what was opened for it; standard input stays open."""
        if not self.closed:
            for descriptor in (self._ended, self._ending, *([self._descriptor] * self._is_owned)):
                os.close(descriptor)
        super().close()


def _read_into(descriptor: int, buffer: memoryview) -> int:
    data = os.read(descriptor, len(buffer))
    buffer[: len(data)] = data
    return len(data)


def open_input(recipients: str) -> Input:
    """The file of that name, or standard input for ``-``.

    Raises:
        ValidationError: it cannot be opened.
    """
    try:
        if recipients == STANDARD_INPUT:
            return Input(sys.stdin.fileno(), is_owned=False)
        return Input(os.open(recipients, os.O_RDONLY | getattr(os, "O_BINARY", 0)), is_owned=True)
    except (OSError, ValueError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ValidationError(ARGUMENT, repr(recipients), f"pass a readable file, or - ({reason})") from None


class Lines(Iterator[str]):
    """Lines of text with their ends.

    Attributes:
        number: of the line last given, from 1.
        taken: how many bytes have been read out of the buffer.

    Args:
        stream: the bytes.
        encoding: utf-8 or cp1251; None lets the first line that is not ASCII decide.
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
            self._flaw = f"the line is longer than {LINE_LIMIT} bytes"
            return "\n"
        return self._decoded(raw)

    def sample(self) -> str:
        """What has been read ahead, for guessing at its form; may end in the middle of anything."""
        return self._stream.peek()[:8192].decode(self._encoding or _UTF_8, "replace")

    def take_flaw(self) -> str | None:
        """What is wrong with one of the lines given since the last call."""
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
            self._flaw = f"the line is not {self._encoding.upper()}, as others are"
            return raw.decode(self._encoding, "replace")

    def _skip_line(self) -> None:
        raw = b"-"
        while raw and not raw.endswith(b"\n"):
            raw = self._stream.readline(LINE_LIMIT)
            self.taken += len(raw)


def encoding_of(stream: io.BufferedReader) -> str:
    """The encoding of a whole file: that of most lines that are not ASCII.

    A line in cp1251 is UTF-8 by chance next to never. A few lines that are not UTF-8 are therefore damage,
    and must not turn all others into gibberish.
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
    return raw.removeprefix(_BOM)


def _is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode(_UTF_8)
    except UnicodeDecodeError:
        return False
    return True
