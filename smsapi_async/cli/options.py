"""What the commands are given: the gateway's account, dates, numbers."""

import getpass
import os
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import attrs
from cyclopts import Group, Parameter

from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError
from smsapi_async.session import SessionStore

_STANDARD_INPUT = "-"
_ANY_SOURCE = "0"
_ACCOUNT = Group("Account", sort_key=1)

AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document.")]
LedgerFile = Annotated[str, Parameter(help="The file that `batch --ledger` wrote.")]
SourceAddress = Annotated[str | None, Parameter(help="The sender; else SMSAPI_SOURCE_ADDRESS.")]


@Parameter(name="*", group=_ACCOUNT)
@attrs.frozen(kw_only=True)
class Connection:
    """Which gateway, and whose account."""

    base_url: Annotated[
        str | None, Parameter(help="The gateway's address; else SMSAPI_BASE_URL, else the vendor's.")
    ] = None
    login: Annotated[
        str | None,
        Parameter(help="The account's login; else SMSAPI_LOGIN. The password: SMSAPI_PASSWORD, or a prompt."),
    ] = None
    allow_plain_http: Annotated[
        bool, Parameter(negative="", help="Let the password go in the clear to an http:// address.")
    ] = False

    def client(self, session_store: SessionStore, **more: Any) -> AsyncSmsClient:  # noqa: ANN401
        """A client of that account; asks for the password on a terminal where the environment has none.

        Args:
            session_store: where it keeps its session.
            more: further options of the client.

        Raises:
            ValidationError: a setting is missing or wrong.
        """
        login = self.login or os.environ.get("SMSAPI_LOGIN")
        if not login:
            raise ValidationError("login", "an unset value", "pass --login, or set SMSAPI_LOGIN")
        options: dict[str, Any] = {**more, "login": login, "password": _password(login)}
        if self.base_url is not None:
            options["base_url"] = self.base_url
        return AsyncSmsClient.from_env(
            **options, allow_plain_http=self.allow_plain_http, session_store=session_store
        )


def _password(login: str) -> str:
    password = os.environ.get("SMSAPI_PASSWORD")
    if password:
        return password
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            return getpass.getpass(f"Password of {login}: ")
        except EOFError:
            pass
    hint = "set SMSAPI_PASSWORD, or call this from a terminal and type it"
    raise ValidationError("SMSAPI_PASSWORD", "an unset value", hint)


def source_address(given: str | None, *, needed: bool = True) -> str:
    """The sender, from the option or the environment; any where none is needed.

    Raises:
        ValidationError: neither names one.
    """
    source = given or os.environ.get("SMSAPI_SOURCE_ADDRESS") or ("" if needed else _ANY_SOURCE)
    if not source:
        raise ValidationError(
            "source_address", "an unset value", "pass --source-address, or set SMSAPI_SOURCE_ADDRESS"
        )
    return source


def optional_moment(name: str, text: str | None) -> datetime | None:
    """`moment`, or None where none was given."""
    return None if text is None else moment(name, text)


def moment(name: str, text: str) -> datetime:
    """An aware datetime.

    Raises:
        ValidationError: the text is no date in ISO 8601 with an offset.
    """
    hint = "pass ISO 8601 with an offset, such as 2026-01-28T16:00:00+03:00 or 2026-01-28T13:00:00Z"
    parsed = _parsed(name, text, hint)
    if parsed.utcoffset() is None:
        raise ValidationError(name, f"{text!r} (without an offset)", hint)
    return parsed


def wall_clock(name: str, text: str | None) -> datetime:
    """A naive datetime.

    Raises:
        ValidationError: there is none, or it has an offset.
    """
    hint = "pass the recipient's wall clock in ISO 8601 without an offset, such as 2026-01-28T09:00:00"
    if text is None:
        raise ValidationError(name, "an unset value", hint)
    parsed = _parsed(name, text, hint)
    if parsed.tzinfo is not None:
        raise ValidationError(name, f"{text!r} (with an offset)", hint)
    return parsed


def check_seconds(name: str, number: float) -> None:
    """Refuse what is no duration.

    Raises:
        ValidationError: the number is not positive, or has no end.
    """
    if not 0 < number < float("inf"):
        raise ValidationError(name, str(number), "pass a positive number of seconds")


def _parsed(name: str, text: str, hint: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValidationError(name, "the value", hint) from None


def numbers(arguments: Iterable[str]) -> list[str]:
    """The numbers given, with ``-`` replaced by those on standard input, however spaced.

    Raises:
        ValidationError: an argument is a misspelt option.
    """
    found: list[str] = []
    for argument in arguments:
        if argument == _STANDARD_INPUT:
            found.extend(sys.stdin.read().split())
        elif argument.startswith("-"):
            raise ValidationError("TO", "an argument with a hyphen", "pass numbers, or - for standard input")
        else:
            found.append(argument)
    return found


def input_name(name: str, argument: str) -> str:
    """The name of a file, or ``-`` for standard input.

    Raises:
        ValidationError: it is a misspelt option.
    """
    if argument.startswith("-") and argument != _STANDARD_INPUT:
        hint = "pass a file, or - for standard input"
        raise ValidationError(name, "an argument with a hyphen", hint)
    return argument
