"""Read a stream of bytes as lines of text.

The functions of this module block, so they are called in worker threads.
"""

import codecs
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from smsapi_async.cli.tables.encodings import UTF_8, UTF_8_PAIR, WordSample, is_utf_8
from smsapi_async.cli.tables.letter_costs import cost_of
from smsapi_async.errors import ValidationError

# The greatest length of a line, in bytes. The limit bounds the memory use for a file without line breaks.
LINE_LIMIT = 1 << 20
# The size of the buffer of a stream, in bytes.
BUFFER_SIZE = 1 << 16

_BOM = codecs.BOM_UTF8
# A line is in UTF-8 and not in the encoding of the file if its text is at least so many bits more probable.
_MARGIN = 10.0
# How many characters of such a line are rated.
_LENGTH_RATED = 2000
# The name of the error handler that replaces bytes that cannot be decoded with a character that cannot be
# encoded, so that the line is not valid UTF-8.
_BAD_BYTES = "smsapi-async-bad-bytes"


def _mark_bad_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - for the type checker
    return "\udcff", error.end


codecs.register_error(_BAD_BYTES, _mark_bad_bytes)


class ByteSource(Protocol):
    """A raw stream that says whether its next read waits."""

    def would_wait(self, taken: int) -> bool:
        """Return whether the next read may have to wait, if the reader has consumed `taken` bytes."""


class ByteStream(Protocol):
    """A stream of bytes with a buffer."""

    def read(self, size: int, /) -> bytes:
        """Return exactly `size` bytes, or fewer at the end."""

    def read1(self, size: int, /) -> bytes:
        """Return at most `size` bytes with at most one read of the raw stream."""

    def readline(self, size: int, /) -> bytes:
        """Return the next line, at most `size` bytes."""


class Recoded(io.RawIOBase):
    """A raw stream in UTF-8 with the line end LF, made from a stream in any encoding.

    Bytes that cannot be decoded become bytes that are not valid UTF-8, so that only their lines are bad.

    Args:
        stream: the stream to convert.
        source: the raw stream below `stream`.
        encoding: the encoding of `stream`; None means that only the line ends are converted.
        skipped: the number of bytes of the byte order mark.
        only_cr: whether a carriage return alone ends a line.
    """

    def __init__(
        self,
        stream: ByteStream,
        source: ByteSource | None,
        encoding: str | None,
        skipped: int,
        *,
        only_cr: bool,
    ) -> None:
        self._stream = stream
        self._source = source
        stream.read(skipped)
        # The numbers of bytes that were consumed from `stream` and given to the reader.
        self._consumed = skipped
        self._given = 0
        self._decoder = encoding and codecs.getincrementaldecoder(encoding)(_BAD_BYTES)
        self._only_cr = only_cr
        self._after_cr = False
        self._waiting = b""

    def readable(self) -> bool:
        """Return True: the stream can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read and convert the next bytes into `buffer`, and return their number; 0 at the end."""
        while not self._waiting:
            raw = self._stream.read1(BUFFER_SIZE)
            self._consumed += len(raw)
            self._waiting = self._converted(raw)
            if not raw:
                break
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        self._given += count
        return count

    def would_wait(self, taken: int) -> bool:
        """Return whether the next read may have to wait, if the reader has consumed `taken` bytes."""
        if taken < self._given or self._waiting or self._source is None:
            return False
        return self._source.would_wait(self._consumed)

    def _converted(self, raw: bytes) -> bytes:
        if self._decoder:
            text = self._decoder.decode(raw, final=not raw)
            raw = text.encode(UTF_8, "surrogatepass")
        if not self._only_cr or not raw:
            return raw
        if self._after_cr and raw.startswith(b"\n"):
            raw = raw[1:]
            self._after_cr = False
        if raw:
            self._after_cr = raw.endswith(b"\r")
        return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class Lines(Iterable[str]):
    """The lines of a stream as text, with their line breaks.

    A line that cannot be used does not end the iteration: the line is empty or has replacement characters,
    and `flaws` has the reason.

    Attributes:
        number: the number of the last line that was returned; the first line has the number 1.
        flaws: the reasons why lines cannot be used, by the number of the line. The reader removes a reason
            when the row of the line has been read.
        announce: a function that is called with a sentence when a line has determined the encoding, or None.

    Args:
        stream: the stream of bytes to read.
        source: the raw stream below `stream`; None means that reading never waits.
        encoding: the encoding; None means that the first lines with non-ASCII characters determine the
            encoding.
        label: the encoding of the file before the conversion to UTF-8, for reasons.
    """

    def __init__(
        self,
        stream: ByteStream,
        source: ByteSource | None,
        encoding: str | None,
        *,
        label: str | None = None,
    ) -> None:
        self._stream = stream
        self._source = source
        self._encoding = encoding
        self._decoder = None if encoding is None else codecs.getdecoder(encoding)
        self._label = label
        self._sample = WordSample()
        self._texts = self._generate()
        self.number = 0
        self.flaws: dict[int, str] = {}
        self.announce: Callable[[str], None] | None = None
        # The number of bytes that were consumed from `stream`.
        self._taken = 0

    @property
    def encoding(self) -> str | None:
        """The encoding of the file, or None if only ASCII characters were seen so far."""
        return self._label or self._encoding

    def would_wait(self) -> bool:
        """Return whether the next line may have to wait for bytes."""
        return self._source is not None and self._source.would_wait(self._taken)

    def take_flaws(self, first: int, last: int) -> str | None:
        """Return the reason why one of the lines from `first` to `last` cannot be used, or None."""
        found = [self.flaws.pop(number) for number in range(first, last + 1) if number in self.flaws]
        return found[0] if found else None

    def __iter__(self) -> Iterator[str]:
        """Return the iterator over the remaining lines; there is only one iterator."""
        return self._texts

    def next_line(self) -> str | None:
        """Return the next line, or None at the end."""
        return next(self._texts, None)

    def _generate(self) -> Iterator[str]:
        readline = self._stream.readline
        while raw := readline(LINE_LIMIT):
            self.number += 1
            self._taken += len(raw)
            if self.number == 1:
                raw = _without_marks(raw)
            if len(raw) == LINE_LIMIT and not raw.endswith(b"\n"):
                self._skip_line()
                # The caller gets an empty line in place of the long line.
                self.flaws[self.number] = f"the line is longer than {LINE_LIMIT} bytes"
                yield "\n"
            elif raw.isascii():
                yield raw.decode("ascii")
            else:
                yield self._decoded(raw)

    def _decoded(self, raw: bytes) -> str:
        encoding = self._encoding or self._found(raw)
        if encoding is None or self._decoder is None:
            self.flaws[self.number] = "the encoding of the line is not certain; pass --encoding"
            return raw.decode("ascii", "replace")
        try:
            text = self._decoder(raw)[0]
        except UnicodeDecodeError:
            name = (self.encoding or encoding).upper()
            self.flaws[self.number] = f"the line is not in {name}, the encoding of the other lines"
            return raw.decode(encoding, "replace")
        if encoding != UTF_8 and UTF_8_PAIR.search(raw) is not None and _is_other_text(raw, text):
            self.flaws[self.number] = f"the line is in UTF-8, and not in {encoding.upper()}"
        return text

    def _found(self, raw: bytes) -> str | None:
        """Return the encoding that all lines with non-ASCII characters so far determine, or None."""
        self._sample.add(raw)
        try:
            self._encoding = self._sample.encoding()
        except ValidationError:
            return None
        if self._encoding is not None:
            self._decoder = codecs.getdecoder(self._encoding)
        if self.announce is not None and self._encoding != UTF_8:
            self.announce(f"encoding: {self._encoding}")
        return self._encoding

    def _skip_line(self) -> None:
        # The loop starts with any value that is neither empty nor the end of a line.
        raw = b"-"
        while raw and not raw.endswith(b"\n"):
            raw = self._stream.readline(LINE_LIMIT)
            self._taken += len(raw)


def _without_marks(raw: bytes) -> bytes:
    """Return the first line without byte order marks. Some programs write the mark twice."""
    while raw.startswith(_BOM):
        raw = raw.removeprefix(_BOM)
    return raw


def _is_other_text(raw: bytes, text: str) -> bool:
    """Return whether a line in a file in another encoding is certainly UTF-8.

    A few characters in another encoding can be valid UTF-8, too, so the more probable text counts.

    Args:
        raw: the line.
        text: the line in the encoding of the file.
    """
    if not is_utf_8(raw):
        return False
    other = raw.decode(UTF_8)
    has_letters = any(mark > "\x7f" and mark.isalpha() for mark in other)
    return has_letters and _cost_of_line(other) + _MARGIN < _cost_of_line(text)


def _cost_of_line(text: str) -> float:
    return sum(map(cost_of, text[:_LENGTH_RATED].split(" ")))
