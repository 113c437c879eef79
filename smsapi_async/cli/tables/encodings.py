"""Find the encoding of a text file.

The functions of this module block, so they are called in worker threads.
"""

import codecs
import io
import re

import attrs
from charset_normalizer import from_bytes

from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.cli.tables.letter_costs import cost_of
from smsapi_async.errors import ValidationError

UTF_8 = "utf-8"
_BOMS = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
# The encodings between which `judged` decides. The number is how improbable the encoding is, in bits, before
# any text is seen: people of this gateway write Russian and the languages of Western Europe.
_CANDIDATES = {
    "cp1251": 0.0,
    "cp1252": 0.0,
    "cp866": 2.0,
    "koi8-r": 2.0,
    "koi8-u": 4.0,
    "mac-cyrillic": 8.0,
    "mac-roman": 4.0,
    "iso8859-5": 6.0,
    "cp850": 7.0,
    "cp437": 8.0,
    "cp1250": 6.0,
    "cp1254": 6.0,
    "cp1257": 8.0,
    "cp1253": 14.0,
    "iso8859-2": 8.0,
    "cp1255": 14.0,
    "cp1256": 14.0,
    "gb18030": 14.0,
    "big5": 14.0,
    "shift_jis": 14.0,
    "euc-kr": 14.0,
}
# The best encoding must be at least so many bits better than each encoding that gives another text.
_MARGIN = 8.0
# The greatest cost of a text in its right encoding, in bits: for each character outside of ASCII, for each
# Latin letter with a mark, and for the whole text.
_PER_CHARACTER, _PER_LATIN_LETTER, _PER_TEXT = 5.8, 9.0, 12.0
# The bounds of the sample: its size in bytes, and how many of its words are rated.
_SAMPLE_SIZE = 256 << 10
_WORDS_RATED = 1000
_NAMES_SHOWN = 4
# How many lines outside of ASCII decide whether the file is in UTF-8.
_LINES_COUNTED = 20_000
_WORD = re.compile(rb'(?<![^\s,;|"])[^\s,;|"\x80-\xff]*+[\x80-\xff][^\s,;|"]*+')
UTF_8_PAIR = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")
_WORD_LENGTH = 100
# charset-normalizer judges only samples of at least so many bytes.
_LIBRARY_SIZE = 64
_CHUNK = 1 << 20
_CONTROLS = re.compile("[\0-\x08\x0e-\x1f]")


@attrs.frozen
class TextCodec:
    """How the bytes of a file become text.

    Attributes:
        encoding: the encoding, or None if only ASCII characters were seen so far.
        recoded: whether the stream must be converted to UTF-8 before it is split into lines, as for UTF-16.
        skipped: the number of bytes of the byte order mark.
    """

    encoding: str | None
    recoded: bool = False
    skipped: int = 0


@attrs.define
class WordSample:
    """What text shows about its encoding: the words outside of ASCII, and how many lines are valid UTF-8.

    Attributes:
        valid: the number of lines with non-ASCII characters that are valid UTF-8.
        invalid: the number of lines that are not valid UTF-8.
    """

    valid: int = 0
    invalid: int = 0
    _words: dict[bytes, None] = attrs.field(factory=dict, init=False)
    _size: int = attrs.field(default=0, init=False)

    def add(self, raw: bytes) -> None:
        """Add one or more whole lines."""
        if raw.isascii():
            return
        if self.valid + self.invalid < _LINES_COUNTED:
            found = [is_utf_8(line) for line in raw.split(b"\n") if not line.isascii()]
            self.valid += found.count(True)
            self.invalid += found.count(False)
        if self._size < _SAMPLE_SIZE:
            # A short word in cp866 may be valid UTF-8, too; the other words are enough.
            for word in set(_WORD.findall(raw)).difference(self._words):
                if not is_utf_8(word):
                    self._words[word[:_WORD_LENGTH]] = None
                    self._size += min(len(word), _WORD_LENGTH)

    def encoding(self) -> str | None:
        """Return the encoding of the lines, or None if the lines have only ASCII characters.

        Most lines decide whether the file is in UTF-8. A line in another encoding is almost never valid
        UTF-8, so the other lines of a file in UTF-8 are damaged.

        Raises:
            ValidationError: if the encoding is not certain.
        """
        if not self.valid and not self.invalid:
            return None
        return UTF_8 if self.valid >= self.invalid else judged(sorted(self._words))


def named_encoding(name: str) -> TextCodec:
    """Return the codec of an encoding that the user has named.

    Raises:
        ValidationError: if the name is unknown.
    """
    try:
        codec = codecs.lookup(name.strip())
        # A codec that does not convert text, such as base64, raises `LookupError`, too.
        is_plain = "\n1,".encode(name.strip()) == b"\n1,"
        b"".decode(name.strip())
    except (LookupError, ValueError):
        hint = "pass the name of an encoding, for example utf-8, cp1251, cp866, koi8-r or utf-16"
        raise ValidationError("--encoding", f"the unknown name {name[:40]!r}", hint) from None
    encoding = UTF_8 if codec.name in {"utf-8", "utf-8-sig", "ascii"} else codec.name
    return TextCodec(encoding, recoded=not is_plain)


def codec_of_file(name: str | None, beginning: bytes) -> TextCodec:
    """Return the codec of a file: the named one, or the one that the first bytes show.

    Args:
        name: the encoding that the user has named, or None.
        beginning: the first bytes of the file.

    Raises:
        ValidationError: if the name is unknown, or contradicts the byte order mark of the file.
    """
    shown = _codec_of_beginning(beginning)
    if name is None:
        return shown or TextCodec(None)
    named = named_encoding(name)
    if shown is not None and not (shown.encoding or "").startswith(named.encoding or ""):
        hint = f"leave out the option; the file begins as a file in {shown.encoding}"
        raise ValidationError("--encoding", repr(name[:40]), hint)
    if shown is None and named.encoding in {"utf-16", "utf-32"}:
        hint = f"the file has no byte order mark; pass {named.encoding}-le or {named.encoding}-be"
        raise ValidationError("--encoding", repr(name[:40]), hint)
    if shown is None and named.recoded and not _is_wide(beginning, named.encoding or ""):
        hint = f"leave out the option; the file is not in {named.encoding}"
        raise ValidationError("--encoding", repr(name[:40]), hint)
    return shown or named


def _codec_of_beginning(beginning: bytes) -> TextCodec | None:
    """Return the codec that the first bytes of a file show: a byte order mark, or the zeros of UTF-16."""
    for mark, encoding in _BOMS:
        if beginning.startswith(mark):
            return TextCodec(encoding, recoded=True, skipped=len(mark))
    if beginning.startswith(codecs.BOM_UTF8):
        return TextCodec(UTF_8)
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        if _is_wide(beginning, encoding):
            return TextCodec(encoding, recoded=True)
    return None


def _is_wide(beginning: bytes, encoding: str) -> bool:
    """Return whether the bytes are text in UTF-16 or UTF-32 without a byte order mark."""
    width = 4 if "32" in encoding else 2
    whole = beginning[: len(beginning) // width * width]
    if b"\0" not in whole[: 4 * 1024]:
        return False
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        text = decoder.decode(whole)
    except UnicodeDecodeError:
        return False
    # The line ends, digits and delimiters of a table are ASCII characters. Text of another encoding would
    # give Chinese characters.
    plain = sum(mark <= "\x7f" for mark in text)
    near = sum(mark < "\u2200" for mark in text)
    return plain * 5 >= len(text) > 0 and near * 10 >= len(text) * 9 and _CONTROLS.search(text) is None


def encoding_of_file(stream: io.BufferedIOBase) -> str | None:
    """Return the encoding of a file, or None if the file has only ASCII characters.

    Args:
        stream: the file from its beginning, which must be seekable.

    Raises:
        ValidationError: if the encoding is not certain.
    """
    decoder = codecs.getincrementaldecoder(UTF_8)()
    is_ascii = True
    try:
        while chunk := stream.read(_CHUNK):
            if not (is_ascii and chunk.isascii()):
                is_ascii = False
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        stream.seek(0)
        return _encoding_of_8_bit_file(stream)
    return None if is_ascii else UTF_8


def _encoding_of_8_bit_file(stream: io.BufferedIOBase) -> str | None:
    sample = WordSample()
    rest = b""
    while chunk := stream.read(_CHUNK):
        # A chunk ends between two lines, unless a line is longer than the chunk.
        end = chunk.rfind(b"\n") + 1 or len(chunk)
        sample.add(rest + chunk[:end])
        rest = chunk[end:]
    sample.add(rest)
    return sample.encoding()


def encoding_of_lines(raw: bytes) -> str | None:
    """Return the encoding of whole lines, or None if the lines have only ASCII characters.

    Raises:
        ValidationError: if the encoding is not certain.
    """
    sample = WordSample()
    sample.add(raw)
    return sample.encoding()


def judged(words: list[bytes]) -> str:
    """Return the encoding of words that are not in UTF-8.

    Each candidate decodes the words, and the least improbable text wins. Candidates that decode all words to
    the same text do not compete with each other.

    Raises:
        ValidationError: if no encoding is certain.
    """
    joined = b" ".join(words)
    rated = b" ".join(words[:: len(words) // _WORDS_RATED + 1])
    groups: dict[str, tuple[float, str]] = {}
    for encoding, prior in _CANDIDATES.items():
        text = joined.decode(encoding, "replace")
        if text not in groups:
            whole = prior + sum(map(cost_of, rated.decode(encoding, "replace").split(" ")))
            groups[text] = whole, encoding
    ranked = sorted((cost, encoding, text) for text, (cost, encoding) in groups.items())
    best, encoding, text = ranked[0]
    is_fit = best <= _budget(rated.decode(encoding, "replace")) and "\ufffd" not in text
    if is_fit and ranked[1][0] >= best + _MARGIN and _agrees(joined, text):
        return encoding
    near = [name for cost, name, _ in ranked[:_NAMES_SHOWN] if cost < best + 2 * _MARGIN]
    raise uncertain_encoding(near)


def _budget(text: str) -> float:
    """Return the greatest cost of a text in its right encoding."""
    # A Latin letter with a mark stands alone among letters of ASCII, so its neighbours add to its cost.
    each = (_PER_LATIN_LETTER if mark < "\u0250" else _PER_CHARACTER for mark in text if mark > "\x7f")
    return sum(each) + _PER_TEXT


def uncertain_encoding(candidates: list[str]) -> ValidationError:
    """Return the error for a file whose encoding is not certain."""
    names = ", ".join(candidates)
    hint = f"pass --encoding, or save the file in UTF-8; possible encodings are {names}"
    return ValidationError(ARGUMENT, "a file whose encoding is not certain", hint)


def _agrees(sample: bytes, text: str) -> bool:
    """Return whether charset-normalizer regards the text as readable.

    The library knows the frequent letters of many languages, but cannot judge a few words.
    """
    if len(sample) < _LIBRARY_SIZE:
        return True
    found = from_bytes(sample[: 1 << 16], cp_isolation=list(_CANDIDATES), enable_fallback=False)
    return any(text.startswith(str(match)[:200]) for match in found)


def is_utf_8(raw: bytes) -> bool:
    """Return whether bytes with non-ASCII characters are valid UTF-8."""
    # To look for a pair of bytes is much faster than an exception.
    if UTF_8_PAIR.search(raw) is None:
        return False
    try:
        raw.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True
