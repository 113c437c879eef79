"""Masks the passwords of real accounts in the parts of a request that the page and the control API show.

A developer may point an application with real credentials at the sandbox. The sandbox then shows the request,
but not the password.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import attrs

from smsapi_async.sandbox.account import Arrival
from smsapi_async.sandbox.bodies import UnreadableBody, body_pairs, form_pairs

MASK = "••••••••"
"""The text in place of a password."""

# Also with a prefix: user_password, user[password], X-Password.
_NAMES = r"[\w.-]{0,40}(?:pass(?:word|wd|wort|phrase)?|pwd)[0-9]{0,3}"
_NAME = re.compile(rf"\s*(?:amp;)?(?:[\w.-]+\[)?{_NAMES}\]?(?:\[[^\]]*\])*\s*", re.IGNORECASE)
# The content types of bodies that may contain a password. The type in the request may be wrong.
_TYPES = ("application/x-www-form-urlencoded", "application/json", "text/plain")
# In a JSON text, also an incomplete one: the name, the colon, and a string or another value.
_JSON_ITEM = re.compile(rf'("{_NAMES}"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,}}\]]+)', re.IGNORECASE)
# The same with single quotes or no quotes, as in JavaScript. The text of an SMS may contain "password: 1".
_LOOSE_ITEM = re.compile(
    rf"""((?<![\w.-])["']?{_NAMES}["']?\s*:\s*)("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,}}\]]+)""",
    re.IGNORECASE,
)
# In a multipart form: the header of the part, and the content up to the next boundary.
_PART = re.compile(
    rf'(name\s*=\s*"?{_NAMES}"?[^\r\n]{{0,200}}(?:\r?\n[^\r\n]{{1,200}}){{0,4}}\r?\n\r?\n)(.*?)(?=\r?\n--|\Z)',
    re.IGNORECASE | re.DOTALL,
)
# In an XML document, for example of the vendor's SOAP service: the start tag, and the content.
_XML_ITEM = re.compile(
    rf"(<(?:\w+:)?{_NAMES}(?:\s[^<>]*)?>\s*(?:<!\[CDATA\[)?)((?<=CDATA\[).*?(?=\]\]>|\Z)|[^<]*)",
    re.IGNORECASE | re.DOTALL,
)
_XML_ATTRIBUTE = re.compile(rf"""(\s{_NAMES}\s*=\s*["'])((?<=")[^"]*|(?<=')[^']*)""", re.IGNORECASE)
# In the path of a target: /Password/secret. The text of an SMS may contain a link with such a path.
_PATH_ITEM = re.compile(rf"(/{_NAMES}/)([^/?&\s]+)", re.IGNORECASE)
_FORM_ITEM = re.compile(r"(^|[?&;/\s])([^=&;\s?/]{3,60})\s*=([^&\s]*)")
# A part of each name, and the beginning of an escape sequence in a JSON text.
_HINT = re.compile(r"pass|pwd|\\u", re.IGNORECASE)
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
# A shorter password would be found in words that have nothing to do with it.
_SHORTEST = 4
_HIDDEN = "(The sandbox hides this text, because it contains a password.)"


@attrs.frozen(repr=False)
class SecretMask:
    """Masks the passwords of one request.

    Attributes:
        own: the password of the sandbox, which is not masked.
        secrets: the other passwords in the request.
    """

    own: str
    secrets: tuple[str, ...]

    @classmethod
    def of(cls, arrival: Arrival, own: str) -> "SecretMask":
        """Return the mask for a request to a sandbox with the password `own`."""
        body = arrival.body.decode("latin-1")
        if not _may_name_secret(arrival.target) and not _may_name_secret(body):
            return cls(own, ())
        found = dict.fromkeys(value for value in _passwords(arrival) if value and value != own)
        return cls(own, tuple(sorted(found, key=len, reverse=True)))

    def value(self, name: str, value: str) -> str:
        """Return the value of a parameter, masked if it is a password."""
        if _is_name(name):
            return value if value in {"", self.own} else MASK
        return self.text(value)

    def header(self, name: str, value: str) -> str:
        """Return the value of a header field, masked if it may contain credentials."""
        return MASK if name.lower() in _SECRET_HEADERS or _is_name(name) else self.text(value)

    def text(self, text: str) -> str:
        """Return a target, a body or another text with all passwords masked."""
        if not self.secrets and not _may_name_secret(text):
            return text
        if "\0" in text and _HINT.search(text.replace("\0", "")):
            # The encoding of the text may be UTF-16.
            return _HIDDEN
        masked = _FORM_ITEM.sub(self._form_item, _XML_ATTRIBUTE.sub(self._part, text))
        masked = _json_pattern(text).sub(self._json_item, masked)
        masked = _XML_ITEM.sub(self._part, _PART.sub(self._part, masked))
        if text.startswith("/"):
            masked = _PATH_ITEM.sub(self._part, masked)
        for secret in self.secrets:
            if len(secret) >= _SHORTEST:
                for spelling in _spellings(secret):
                    masked = re.sub(re.escape(spelling), MASK, masked, flags=re.IGNORECASE)
        return _HIDDEN if self._shows_secret(masked) else masked

    def _form_item(self, match: re.Match[str]) -> str:
        if not _is_name(unquote_plus(match[2])) or unquote_plus(match[3]) in {"", self.own, MASK}:
            return match[0]
        return f"{match[1]}{match[2]}={MASK}"

    def _json_item(self, match: re.Match[str]) -> str:
        with suppress(ValueError):
            if _json_text(match[2]) in {"", self.own, MASK}:
                return match[0]
        return f'{match[1]}"{MASK}"'

    def _part(self, match: re.Match[str]) -> str:
        return match[0] if match[2] in {"", self.own, MASK} else match[1] + MASK

    def _shows_secret(self, text: str) -> bool:
        """Whether a password can still be read in the text, in an encoding that no pattern found."""
        long = [secret for secret in self.secrets if len(secret) >= _SHORTEST]
        return any(secret in decoded for decoded in _decodings(text) for secret in long) if long else False


def _is_name(name: str) -> bool:
    """Whether a parameter or a header field with this name contains a password."""
    return _NAME.fullmatch(name.replace("\0", "")) is not None


def _json_pattern(text: str) -> re.Pattern[str]:
    return _LOOSE_ITEM if text.lstrip().startswith(("{", "[")) else _JSON_ITEM


def _json_text(text: str) -> str:
    """Return the string of a JSON text, or the text of another value. A string may have single quotes."""
    if text.startswith("'"):
        return text.strip("'")
    found = json.loads(text)
    return found if isinstance(found, str) else text


def _may_name_secret(text: str) -> bool:
    """Whether the name of a password may be in the text. Most requests have none."""
    text = text.replace("\0", "")
    return _HINT.search(text) is not None or ("%" in text and _HINT.search(unquote(text)) is not None)


def _passwords(arrival: Arrival) -> Iterator[str]:
    content_type = arrival.headers.get("content-type", "")
    pairs = form_pairs(arrival.target.partition("?")[2])
    for each in (content_type, *_TYPES):
        # A body that is not valid has no parameters. The patterns then find the password.
        with suppress(UnreadableBody, ValueError, LookupError):
            pairs += body_pairs(arrival.body, each, reads_all_bodies=True)
    yield from (value for name, value in pairs if _is_name(name))
    text = arrival.body.decode("utf-8", "replace")
    for match in (*_PART.finditer(text), *_XML_ITEM.finditer(text), *_XML_ATTRIBUTE.finditer(text)):
        yield match[2]
    for match in _json_pattern(text).finditer(text):
        with suppress(ValueError):
            yield _json_text(match[2])
    yield from _nested(arrival.body)


def _nested(body: bytes) -> Iterable[str]:
    """Return the passwords at any depth of a JSON body."""
    try:
        waiting = [json.loads(body.decode("utf-8-sig", "replace"), parse_int=str, parse_float=str)]
    except (ValueError, RecursionError):
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            yield from (each for name, each in value.items() if isinstance(each, str) and _is_name(name))


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
