"""Reads the parameters of a request from a query and from the bodies that ASP.NET MVC reads."""

import json
import re
from collections.abc import Iterable, Iterator
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl, quote

FORM = "application/x-www-form-urlencoded"

# The vendor's C# client encodes a Cyrillic character as %uXXXX, because the client uses
# HttpValueCollection.ToString() of .NET Framework.
_DOTNET_ESCAPES = re.compile(r"(?:%u[0-9a-fA-F]{4})+")
# An item of a list: http_build_query of PHP writes `name[0]`, and jQuery writes `name[]`.
_ITEM = re.compile(r"(.+)\[([0-9]{0,9})\]", re.DOTALL)


class UnreadableBody(ValueError):
    """A body with the content type `application/json` is not valid JSON."""


def body_pairs(body: bytes, content_type: str, *, reads_all_bodies: bool) -> list[tuple[str, str]]:
    """Return the names and values of the parameters in a body, in their order, spelled as in the body.

    A body without a content type is read as a form. A body with another content type has no parameters,
    except that `reads_all_bodies` also reads multipart forms and JSON bodies.

    Args:
        body: the body of the request.
        content_type: the value of the header field `Content-Type`; empty if the request has none.
        reads_all_bodies: whether multipart forms and JSON bodies are read too.

    Raises:
        UnreadableBody: if the body is read as JSON, and is not valid JSON.
    """
    if not reads_all_bodies:
        is_form = not content_type or content_type.lower().startswith(FORM)
        return form_pairs(body.decode("utf-8", "replace")) if is_form else []
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in {"", FORM}:
        return form_pairs(body.decode("utf-8", "replace"))
    if media_type == "multipart/form-data":
        return list(_multipart_pairs(body, content_type))
    return list(_json_pairs(body)) if media_type == "application/json" else []


def form_pairs(encoded: str) -> list[tuple[str, str]]:
    """Return the names and values of a query or a form, in their order."""
    if "%u" in encoded:
        encoded = _DOTNET_ESCAPES.sub(_standard_escapes, encoded)
    return parse_qsl(encoded, keep_blank_values=True, errors="replace")


def _standard_escapes(match: re.Match[str]) -> str:
    # Each %uXXXX escape is one UTF-16 unit. Adjacent escapes are decoded together, because a surrogate pair
    # has two units.
    units = bytes.fromhex(match[0].replace("%u", ""))
    return quote(units.decode("utf-16-be", "replace"))


def _multipart_pairs(body: bytes, content_type: str) -> Iterator[tuple[str, str]]:
    header = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    form = BytesParser(policy=HTTP).parsebytes(header + body)
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        # A file is not a parameter.
        if isinstance(name, str) and part.get_filename() is None and not part.is_multipart():
            value = part.get_payload(decode=True)
            yield name, value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _json_pairs(body: bytes) -> Iterator[tuple[str, str]]:
    if not body.strip():
        return
    try:
        # Keep the digits of a number as they are in the body.
        document = json.loads(body.decode("utf-8-sig", "replace"), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise UnreadableBody("Invalid JSON primitive.") from None
    for name, value in document.items() if isinstance(document, dict) else ():
        if isinstance(value, list):
            yield from ((f"{name}[{index}]", _json_text(item)) for index, item in enumerate(value))
        else:
            yield name, _json_text(value)


# ASP.NET MVC reads an object in place of a text as null.
def _json_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    # A JSON text can contain one half of a surrogate pair, which cannot be encoded as UTF-8.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def collected(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Collect the values of each name, and the items of each list in the order of their indexes.

    As in ASP.NET MVC, a list ends before the first index that is missing. If a name occurs with and without
    indexes, the values without indexes are used.
    """
    fields: dict[str, list[str]] = {}
    items: dict[str, dict[int, str]] = {}
    for name, value in pairs:
        item = _ITEM.fullmatch(name)
        if item is None or not item[2]:
            fields.setdefault((item[1] if item else name).lower(), []).append(value)
        else:
            items.setdefault(item[1].lower(), {}).setdefault(int(item[2]), value)
    for name, by_index in items.items():
        listed = [by_index[index] for index in _first_indexes(by_index)]
        if listed:
            fields.setdefault(name, listed)
    return fields


def _first_indexes(by_index: dict[int, str]) -> Iterator[int]:
    index = 0
    while index in by_index:
        yield index
        index += 1
