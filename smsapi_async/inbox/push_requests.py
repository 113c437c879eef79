"""Reads a pushed message from an HTTP request. The module does no I/O."""

import email
import json
import re
from collections.abc import Mapping
from email.message import Message as MimeMessage
from urllib.parse import parse_qsl

import attrs

from smsapi_async.models import IncomingMessage
from smsapi_async.privacy import mask_text, sealed, steady_repr
from smsapi_async.protocol.texts import well_formed

_LONGEST_ID = 255
_MOST_PARAMETERS = 100
# A number, or the name of a sender: printable ASCII characters without spaces at the ends.
_NUMBER = re.compile(r"[!-~](?:[ -~]{0,30}[!-~])?", re.ASCII)


@steady_repr
@attrs.frozen
class PushedMessage(IncomingMessage):
    """An incoming message that the gateway pushed to an `IncomingReceiver`.

    A pushed message is an `IncomingMessage`, so one function can handle the messages of an `Inbox` and of a
    receiver. ``id`` is the id that ``Sms/In`` gives to the same message. ``destination_address`` is the
    number of the account, or an empty text if the gateway did not tell the number. ``creation_date`` is None,
    because the gateway does not push a date.

    Attributes:
        prefix: the keyword by which the gateway assigned the message to the account; empty if the gateway did
            not push a keyword.
    """

    prefix: str = attrs.field(default="", repr=mask_text)


class BadPush(Exception):
    """A request that contains no message.

    Args:
        status: the HTTP status of the response.
        reason: what is wrong with the request. The text contains nothing of the request.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(status, reason)


@sealed
def read_push(query: bytes, content_type: str, body: bytes) -> PushedMessage:
    """Return the message of a push.

    Upper case and lower case in the names of parameters are equal. If the body and the query contain a
    parameter of the same name, the parameter of the body is used.

    Args:
        query: the query of the URL, percent-encoded.
        content_type: the value of the header ``Content-Type``; an empty text means a form.
        body: the body of the request: a form, a multipart form, or a JSON object.

    Raises:
        BadPush: if the request contains no message, or is not UTF-8.
    """
    try:
        given = {**_query(query.decode()), **_fields(content_type, body)}
    except (ValueError, RecursionError):
        # A UnicodeDecodeError is a ValueError. Its text contains the body.
        raise BadPush(400, "the parameters are not UTF-8 or malformed") from None
    return PushedMessage(
        id=_checked_id(given),
        text=_required(given, "text"),
        source_address=_number(_required(given, "sourcePhone"), "sourcePhone"),
        destination_address=_number(given.get("number", ""), "number") if given.get("number") else "",
        creation_date=None,
        prefix=given.get("prefix", ""),
    )


def _fields(content_type: str, body: bytes) -> dict[str, str]:
    kind, _, options = content_type.partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", options, re.IGNORECASE)
    if charset is not None and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise BadPush(415, "the body is not UTF-8")
    match kind.strip().lower():
        case _ if not body:
            return {}
        case "" | "application/x-www-form-urlencoded":
            return _query(body.decode())
        case "application/json":
            return _json(body)
        case "multipart/form-data":
            return _multipart(content_type, body)
    raise BadPush(415, "the content type is neither a form nor JSON")


def _query(encoded: str) -> dict[str, str]:
    pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    # The first value of a repeated parameter counts.
    return {name.lower(): value for name, value in reversed(pairs)}


def _json(body: bytes) -> dict[str, str]:
    fields: object = json.loads(body.decode("utf-8-sig"))
    if not isinstance(fields, dict):
        raise BadPush(400, "the JSON document is not an object")
    texts = {}
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            continue
        texts[name.lower()] = "" if value is None else well_formed(str(value))
    return texts


def _multipart(content_type: str, body: bytes) -> dict[str, str]:
    document = email.message_from_bytes(
        b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body
    )
    parts: object = document.get_payload()
    texts: dict[str, str] = {}
    for part in parts if isinstance(parts, list) else []:
        name = part.get_param("name", header="content-disposition") if isinstance(part, MimeMessage) else None
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            texts.setdefault(name.lower(), content.decode())
    if not texts:
        raise BadPush(400, "the multipart form has no parameters")
    return texts


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name.lower())
    if value is None:
        raise BadPush(400, f"the parameter {name} is missing")
    return value


def _checked_id(given: Mapping[str, str]) -> str:
    id_ = _required(given, "messageId").strip()
    if not id_ or len(id_) > _LONGEST_ID:
        raise BadPush(400, "the parameter messageId is empty or too long")
    return id_


def _number(value: str, name: str) -> str:
    # A plus sign that is not percent-encoded is a space after decoding.
    number = value.strip()
    if not _NUMBER.fullmatch(number):
        raise BadPush(400, f"the parameter {name} is not a number")
    return number
