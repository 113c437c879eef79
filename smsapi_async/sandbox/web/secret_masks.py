"""Masks the secrets of real accounts in the parts of a request that the page and the control API show.

A developer may point an application with real credentials at the sandbox. The sandbox then shows the request,
but not the password, and not the session id of another gateway. The login is no secret.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import attrs

from smsapi_async.sandbox.account import Arrival
from smsapi_async.sandbox.bodies import UnreadableBody, body_pairs, form_pairs

MASK = "••••••••"
"""The text in place of a secret. Its length does not depend on the length of the secret."""

# Also with a prefix or a suffix: user_password, user[password], PasswordHash. A body in JSON or XML may have
# any of these names.
_NAMES = (
    r"[\w.-]{0,40}(?:(?:password|passwd|passwort|pwd|парол[ья])\w{0,20}|pass(?:phrase)?[0-9]{0,3}|psw|secret"
    r"|token|api[_-]?key)"
)
_NAME = re.compile(
    r"password|passwd|passwort|pwd|парол[ья]|(?:pass(?:phrase)?|psw|secret|token|api[_-]?key)[0-9]{0,3}\W*\Z"
    r"|(?:\A|\W)pass(?:phrase)?[0-9]{0,3}(?:\W|\Z)|\A\W*pw\W*\Z",
    re.IGNORECASE,
)
_SECRET_HEADER = re.compile(
    r"(?:^|[-_])auth(?:orization|entication)?(?:[-_]|$)|token|secret|cookie|credential|api[-_]?key|session",
    re.IGNORECASE,
)
# A session id of the real gateway has 36 characters. A shorter text, as in a test, is no secret.
_SESSION = re.compile(
    r"""(?:session[_-]?id|(?<![a-z])sid)["'\]]*\s*(?:[=:>]|%3D|\n)\s*["']?([\w-]{16,100})""", re.IGNORECASE
)
# The content types of bodies that may contain a password. The type in the request may be wrong.
_TYPES = ("application/x-www-form-urlencoded", "application/json", "text/plain")
_JSON_VALUE = r"""\{[^{}]*\}?|\[[^\[\]]*\]?|"(?:[^"\\]|\\.)*"?"""
# In a JSON text, also an incomplete one: the name, the colon, and a value.
_JSON_ITEM = re.compile(rf'("{_NAMES}"\s*:\s*)({_JSON_VALUE}|[^\s,}}\]]+)', re.IGNORECASE)
# The same with single quotes or no quotes, as in JavaScript. The text of an SMS may contain "password: 1".
_LOOSE_ITEM = re.compile(
    rf"""((?<![\w.-])["']?{_NAMES}["']?\s*:\s*)({_JSON_VALUE}|'(?:[^'\\]|\\.)*'?|[^\s,}}\]]+)""",
    re.IGNORECASE,
)
# A line of YAML or of an INI file, or a comment in a header field.
_LINE_ITEM = re.compile(
    rf"""((?<![\w."'-]){_NAMES}[ \t]*[:=][ \t]*)"""
    r"""("[^"\r\n]*"?|'[^'\r\n]*'?|[^\s"'{}\[\]()&;,]+)""",
    re.IGNORECASE,
)
# In a multipart form: the header of the part, and the content up to the next boundary.
_PART = re.compile(
    rf'(name\*?\s*=\s*"?{_NAMES}"?[^\r\n]{{0,200}}(?:\r?\n[^\r\n]{{1,200}}){{0,4}}\r?\n\r?\n)(.*?)(?=\r?\n--|\Z)',
    re.IGNORECASE | re.DOTALL,
)
# In an XML document, for example of the vendor's SOAP service: the start tag, and the content.
_XML_ITEM = re.compile(
    rf"(<(?:\w+:)?{_NAMES}(?:\s[^<>]*)?(?<!/)>\s*(?:<!\[CDATA\[)?)(.*?)"
    r"(?=\]\]>|\s*</(?:\w+:)?[\w.-]*(?:pass|pwd|psw|парол|secret|token|key)|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_XML_ATTRIBUTE = re.compile(rf"""(\s{_NAMES}\s*=\s*["'])((?<=")[^"]*|(?<=')[^']*)""", re.IGNORECASE)
# The name and the value in two attributes, in two elements, or in two items of a JSON object.
_NAMED_VALUES = (
    re.compile(
        rf"""(\bname\s*=\s*["']{_NAMES}["'][^<>]{{0,200}}?\bvalue\s*=\s*["'])([^"'<>]*)""", re.IGNORECASE
    ),
    re.compile(
        rf"""(\bvalue\s*=\s*["'])([^"'<>]*)(?=["'][^<>]{{0,200}}?\bname\s*=\s*["']{_NAMES}["'])""",
        re.IGNORECASE,
    ),
    re.compile(rf"(>\s*{_NAMES}\s*</[^<>]{{1,60}}>\s*(?:<[^<>]{{1,60}}>\s*){{1,3}})([^<]*)", re.IGNORECASE),
    re.compile(rf'("{_NAMES}"\s*,\s*"[Vv]alue"\s*:\s*)("(?:[^"\\]|\\.)*"?)', re.IGNORECASE),
)
# The password in a URL: http://login:password@host/.
_USER_INFO = re.compile(r"(://[^/\s:@]{0,100}:)([^/\s@]{1,200})(?=@)")
_CREDENTIALS = re.compile(r"((?<![\w])(?:basic|bearer|digest|token)\s+)([\w.~+/=-]{6,})", re.IGNORECASE)
_FORM_ITEM = re.compile(r"(^|[?&;/\s])([^=&;\s?/]{2,200})\s*=([^&\s]*)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}={0,2}")
# A name and a value in a binary format.
_BINARY_ITEM = re.compile(
    r"(?:password|passwd|pass|pwd)[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]", re.IGNORECASE
)
# A part of each name, and the beginning of an escape sequence.
_HINT = re.compile(r"pass|pwd|psw|\bpw\b|парол|secret|token|api[_-]?key|\\u|%u|://[^/\s@]*@", re.IGNORECASE)
# A shorter password would be found in words that have nothing to do with it.
_SHORTEST = 4
_DEEPEST = 4
# The time of the search for copies of a secret grows with these numbers.
_MOST_SECRETS, _MOST_CHARACTERS = 100, 20_000
_HIDDEN = "(The sandbox hides this text, because it contains a password.)"


@attrs.frozen(repr=False)
class SecretMask:
    """Masks the secrets of one request.

    Attributes:
        own: the password of the sandbox, which is not masked.
        secrets: the other passwords and the session ids of other gateways in the request.
        hides_all: whether the request has so many secrets that all of its texts are hidden.
    """

    own: str
    secrets: tuple[str, ...]
    hides_all: bool = False

    @classmethod
    def of(
        cls, arrival: Arrival, own: str, has_issued: Callable[[str], bool] = lambda _: True
    ) -> "SecretMask":
        """Return the mask for a request.

        Args:
            arrival: the request.
            own: the password of the sandbox.
            has_issued: a function that returns whether the sandbox has issued a session id.
        """
        found = {
            value for value in _secrets(arrival, own) if value.strip() and value not in {own, MASK, _HIDDEN}
        }
        found |= {each for each in _sessions(arrival) if not has_issued(each)}
        if len(found) > _MOST_SECRETS or sum(map(len, found)) > _MOST_CHARACTERS:
            return cls(own, (), hides_all=True)
        return cls(own, tuple(sorted(found, key=len, reverse=True)))

    def value(self, name: str, value: str) -> str:
        """Return the value of a parameter, masked if it is a password."""
        if _is_name(name):
            return value if value in {"", self.own} else MASK
        return self.text(value)

    def header(self, name: str, value: str) -> str:
        """Return the value of a header field, masked if it may contain credentials."""
        if _SECRET_HEADER.search(name) or _is_name(name):
            return MASK
        return self.raw(_CREDENTIALS.sub(rf"\g<1>{MASK}", value))

    def raw(self, text: str) -> str:
        """Return a target, a body or a header field with all secrets masked."""
        if not self.hides_all and _may_name_secret(text):
            text = _LINE_ITEM.sub(self._part, text)
        return self.text(text)

    def text(self, text: str) -> str:
        """Return the value of a parameter, an answer or another text with all secrets masked."""
        if self.hides_all:
            return _HIDDEN
        if _may_name_secret(text):
            if "\0" in text and _HINT.search(text.replace("\0", "")):
                # The encoding of the text may be UTF-16.
                return _HIDDEN
            text = self._without_items(text)
        elif not self.secrets:
            return text
        for secret in self.secrets:
            if len(secret) >= _SHORTEST:
                for spelling in _spellings(secret):
                    text = re.sub(re.escape(spelling), MASK, text, flags=re.IGNORECASE)
        if self._shows_secret(text):
            text = _BASE64.sub(self._base64, text)
        return _HIDDEN if self._shows_secret(text) or any(self._foreign(text)) else text

    def _without_items(self, text: str) -> str:
        """Return the text without the values that follow the name of a password."""
        masked = _FORM_ITEM.sub(self._form_item, _XML_ATTRIBUTE.sub(self._part, text))
        masked = _json_pattern(text).sub(self._json_item, masked)
        for pattern in (_PART, _XML_ITEM, *_NAMED_VALUES, _USER_INFO):
            masked = pattern.sub(self._part, masked)
        return self._without_path_items(masked) if text.startswith("/") else masked

    def _without_path_items(self, target: str) -> str:
        path, mark, query = target.partition("?")
        segments = path.split("/")
        for index, name in enumerate(segments[:-1]):
            if _is_name(_decoded(name)) and segments[index + 1] not in {"", self.own}:
                segments[index + 1] = MASK
        return "/".join(segments) + mark + query

    def _form_item(self, match: re.Match[str]) -> str:
        start, name, value = match.groups()
        if _is_name(_decoded(name)):
            return match[0] if _decoded(value) in {"", self.own, MASK} else f"{start}{name}={MASK}"
        if not _may_name_secret(value):
            return match[0]
        if ";" in value:
            value = _FORM_ITEM.sub(self._form_item, value)
        # A URL or a form in a value, with a short password that only its place reveals.
        short = any(len(each) < _SHORTEST for each in self._foreign(value))
        return f"{start}{name}={MASK if short else value}"

    def _json_item(self, match: re.Match[str]) -> str:
        with suppress(ValueError):
            if _json_text(match[2]) in {"", self.own, MASK}:
                return match[0]
        return f'{match[1]}"{MASK}"'

    def _part(self, match: re.Match[str]) -> str:
        if match[2].strip("\"'") in {"", self.own, MASK} or unquote_plus(match[2]) in {self.own, MASK}:
            return match[0]
        return f'{match[1]}"{MASK}"' if match[2].startswith('"') else match[1] + MASK

    def _base64(self, match: re.Match[str]) -> str:
        decoded = _base64_text(match[0])
        return MASK if any(len(each) >= _SHORTEST and each in decoded for each in self.secrets) else match[0]

    def _foreign(self, text: str) -> Iterator[str]:
        """Yield the passwords in a text that are not masked."""
        shown = {"", self.own, MASK}
        found = _secrets_in(text, self.own)
        return (each for each in found if each not in shown and each.strip("\"' \r\n") not in shown)

    def _shows_secret(self, text: str) -> bool:
        """Whether a secret can still be read in the text, in an encoding that no pattern found."""
        long = [secret for secret in self.secrets if len(secret) >= _SHORTEST]
        return any(secret in decoded for decoded in _decodings(text) for secret in long) if long else False


def _is_name(name: str) -> bool:
    """Whether a parameter or a header field with this name contains a password."""
    return _NAME.search(name.replace("\0", "")) is not None


def _json_pattern(text: str) -> re.Pattern[str]:
    return _LOOSE_ITEM if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")) else _JSON_ITEM


def _json_text(text: str) -> str:
    """Return the string of a JSON text, or the text of another value. A string may have single quotes."""
    if text.startswith("'"):
        return text.strip("'")
    found = json.loads(text)
    return found if isinstance(found, str) else text


# Each text of a request is checked several times.
@lru_cache(maxsize=32)
def _may_name_secret(text: str) -> bool:
    """Whether the name of a password may be in the text. Most requests have none."""
    text = text.replace("\0", "")
    for _ in range(_DEEPEST):
        if _HINT.search(text) is not None:
            return True
        if "%" not in text or (decoded := unquote(text)) == text:
            return False
        text = decoded
    return False


def _sessions(arrival: Arrival) -> Iterator[str]:
    for text in (arrival.target, arrival.body.decode("utf-8", "replace")):
        yield from (match[1] for match in _SESSION.finditer(text))


def _pairs(arrival: Arrival) -> list[tuple[str, str]]:
    """Return the parameters of the query and of the body, whatever the content type of the body is."""
    pairs = form_pairs(arrival.target.partition("?")[2])
    for each in dict.fromkeys((arrival.headers.get("content-type", ""), *_TYPES)):
        # A body that is not valid has no parameters. The patterns then find the password.
        with suppress(UnreadableBody, ValueError, LookupError):
            pairs += body_pairs(arrival.body, each, reads_all_bodies=True)
    return pairs


def _secrets(arrival: Arrival, own: str) -> Iterator[str]:
    """Yield the passwords in all parts of a request, also the password of the sandbox."""
    body = arrival.body.decode("utf-8", "replace")
    if _may_name_secret(arrival.target) or _may_name_secret(body):
        yield from (value for name, value in _pairs(arrival) if _is_name(name))
        yield from _secrets_in(arrival.target, own)
        yield from _secrets_in(body, own)
        for match in _LINE_ITEM.finditer(body):
            yield unquote_plus(match[2].strip("\"'"))
    for name, value in arrival.headers.items():
        yield from _secrets_in(value, own)
        for match in _CREDENTIALS.finditer(value):
            yield match[2]
            yield _base64_text(match[2]).partition(":")[2]
        if _is_name(name):
            yield unquote(value)


def _secrets_in(text: str, own: str, depth: int = 0) -> Iterator[str]:
    """Yield the passwords in a text in any format, also those in an encoded form within a value."""
    if depth > _DEEPEST or not _may_name_secret(text):
        return
    if own:
        # The parts of the sandbox's own password are no passwords.
        text = re.sub(rf"(?<=[=:\"'>/ ]){re.escape(own)}(?=[&\"'<,;/\s}}]|\Z)", MASK, text)
    items = list(_FORM_ITEM.finditer(text))
    for match in items:
        if _is_name(_decoded(match[2])):
            yield _decoded(match[3])
        elif match[3] != text:
            yield from _secrets_in(_decoded(match[3]), own, depth + 1)
    for pattern in (_PART, _XML_ITEM, _XML_ATTRIBUTE, *_NAMED_VALUES, _USER_INFO):
        yield from (match[2].strip('"') for match in pattern.finditer(text))
    for match in _json_pattern(text).finditer(text):
        with suppress(ValueError):
            yield _json_text(match[2])
    yield from _nested(text, own, depth)
    if _BINARY_ITEM.search(text):
        yield "a value in a binary format"
    for decoded in {html.unescape(text), text.replace('\\"', '"'), text if items else unquote(text)} - {text}:
        yield from _secrets_in(decoded, own, depth + 1)


def _nested(text: str, own: str, depth: int) -> Iterable[str]:
    """Yield the passwords at any depth of a JSON text."""
    try:
        waiting = [(False, json.loads(text.lstrip("\ufeff"), parse_int=str, parse_float=str))]
    except (ValueError, RecursionError):
        return
    while waiting:
        is_secret, value = waiting.pop()
        if isinstance(value, list):
            waiting += ((is_secret, each) for each in value)
        elif isinstance(value, dict):
            names = [each for key, each in value.items() if key.lower() != "value" and isinstance(each, str)]
            is_pair = any(map(_is_name, names))
            waiting += (
                (is_secret or _is_name(key) or (is_pair and key.lower() == "value"), each)
                for key, each in value.items()
            )
        elif isinstance(value, str) and is_secret:
            yield value
        elif isinstance(value, str) and value != text:
            yield from _secrets_in(value, own, depth + 1)


def _decoded(text: str) -> str:
    """Return a name or a value of a form without its escape sequences, also %uXXXX."""
    pairs = form_pairs(f"n={text}") if "&" not in text else []
    return pairs[0][1] if pairs else unquote_plus(text)


def _base64_text(text: str) -> str:
    """Return the text that is encoded in base64; "" if the text is not base64."""
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    with suppress(ValueError):
        return base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("utf-8", "replace")
    return ""


def _spellings(secret: str) -> list[str]:
    """Return the secret as it is, percent-encoded in several ways, and escaped as in JSON."""
    clean = secret.encode("utf-8", "replace").decode()
    raw = [
        secret,
        quote(clean, safe=""),
        quote_plus(clean),
        quote(clean),
        quote(clean, safe="!*'()~"),
        quote_plus(clean, safe="!*'()~"),
        "".join(f"%{byte:02X}" for byte in clean.encode()),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    ]
    return sorted(set(raw), key=len, reverse=True)


def _decodings(text: str) -> Iterator[str]:
    yield text
    for decode in (unquote, unquote_plus):
        once = decode(text)
        yield once
        yield decode(once)
    yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text).replace("\\/", "/")
    yield re.sub(r"%u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), unquote_plus(text))
    yield html.unescape(text)
    yield " ".join(_base64_text(match[0]) for match in _BASE64.finditer(unquote(text)))
