"""Options and arguments that several commands share: the account, dates, phone numbers, files."""

import getpass
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import attrs
from cyclopts import Group, Parameter

from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError
from smsapi_async.session import SessionStore
from smsapi_async.settings import environment_value

_STANDARD_INPUT = "-"
# A valid source address for `batch --dry-run`, which needs no account and sends nothing.
_ANY_SOURCE = "0"
_ACCOUNT = Group("Account", sort_key=1)

_SOURCE_ADDRESS_HELP = (
    "The source address: the name or number that the recipient's phone shows as the origin of the message. "
    "Default: the environment variable SMSAPI_SOURCE_ADDRESS."
)

DATE = "date and time with the UTC offset, for example 2026-01-28T16:00:00+03:00"

Date = Annotated[str | None, Parameter(help=f"A {DATE}.")]
SendDate = Annotated[
    str | None,
    Parameter(
        help=f"When the gateway sends the message: a {DATE}. With --by-time-zone, leave out the offset. "
        "Default: now."
    ),
]
Minutes = Annotated[
    int | None, Parameter(help="For how many minutes the gateway tries to deliver the message.")
]
ByTimeZone = Annotated[bool, Parameter(negative="", help="--send-date is the local time of the recipient.")]
AsJson = Annotated[
    bool, Parameter(name="--json", negative="", help="Print the result as JSON, for programs.")
]
LedgerFile = Annotated[str, Parameter(help="The file that `batch --ledger` wrote.")]
SourceAddress = Annotated[str | None, Parameter(help=_SOURCE_ADDRESS_HELP)]


# With `name="*"`, each field is an option without a prefix: `--login`, not `--connection.login`.
@Parameter(name="*", group=_ACCOUNT)
@attrs.frozen(kw_only=True)
class AccountOptions:
    """The gateway and the account that a command uses."""

    base_url: Annotated[
        str | None,
        Parameter(
            help="The URL of the gateway. Default: the environment variable SMSAPI_BASE_URL or, if this "
            "variable is not set, the URL of the vendor's gateway."
        ),
    ] = None
    login: Annotated[
        str | None,
        Parameter(
            help="The login of the account. Default: the environment variable SMSAPI_LOGIN. The password "
            "comes from the environment variable SMSAPI_PASSWORD. If this variable is not set, the "
            "command asks for the password."
        ),
    ] = None
    allow_plain_http: Annotated[
        bool,
        Parameter(
            negative="", help="Allow an http:// URL. Login and password are then sent without encryption."
        ),
    ] = False

    def client(self, session_store: SessionStore, **more: Any) -> AsyncSmsClient:  # noqa: ANN401
        """Return a client for the account.

        If the environment variable `SMSAPI_PASSWORD` is not set, ask for the password on the terminal.

        Args:
            session_store: the store for the session of the client.
            more: further keyword arguments of `AsyncSmsClient.from_env`.

        Raises:
            ValidationError: if a setting is missing or wrong.
        """
        login = self.login or environment_value("SMSAPI_LOGIN")
        if not login:
            raise ValidationError("login", "an unset value", "pass --login, or set SMSAPI_LOGIN")
        options: dict[str, Any] = {**more, "login": login, "password": _password(login)}
        if self.base_url is not None:
            options["base_url"] = self.base_url
        return AsyncSmsClient.from_env(
            **options, allow_plain_http=self.allow_plain_http, session_store=session_store
        )


ENVIRONMENT = AccountOptions()
"""The default of the account options: all settings come from environment variables."""


def _password(login: str) -> str:
    password = environment_value("SMSAPI_PASSWORD")
    if password:
        return password
    # `sys.stdin` is None in a process without a console (Python documentation, `sys.__stdin__`).
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            return getpass.getpass(f"Password of {login}: ")
        except EOFError:
            # The user pressed Ctrl-D at the prompt. The `ValidationError` below explains how to pass the
            # password.
            pass
    hint = "set SMSAPI_PASSWORD, or run the command in a terminal and type the password"
    raise ValidationError("SMSAPI_PASSWORD", "an unset value", hint)


def source_address(given: str | None, *, needed: bool = True) -> str:
    """Return the source address.

    Args:
        given: the value of ``--source-address``. If the value is None or empty, the function returns the
            value of the environment variable `SMSAPI_SOURCE_ADDRESS`.
        needed: whether messages will be sent and need a source address. If no messages will be sent, a
            placeholder replaces a missing source address.

    Raises:
        ValidationError: if messages will be sent, and neither the option nor the variable is set.
    """
    source = given or environment_value("SMSAPI_SOURCE_ADDRESS") or ("" if needed else _ANY_SOURCE)
    if not source:
        raise ValidationError(
            "source_address", "an unset value", "pass --source-address, or set SMSAPI_SOURCE_ADDRESS"
        )
    return source


def parse_optional_aware(name: str, text: str | None) -> datetime | None:
    """Return `parse_aware(name, text)`, or None if `text` is None."""
    return None if text is None else parse_aware(name, text)


def parse_aware(name: str, text: str) -> datetime:
    """Parse a date and time in ISO 8601 with an offset. Return an aware datetime with the same offset.

    Args:
        name: the name of the parameter, which the error shows.
        text: the date and time to parse.

    Raises:
        ValidationError: if `text` is not in ISO 8601, or if it has no offset.
    """
    hint = "pass ISO 8601 with an offset, such as 2026-01-28T16:00:00+03:00 or 2026-01-28T13:00:00Z"
    parsed = _parsed(name, text, hint)
    if parsed.utcoffset() is None:
        raise ValidationError(name, f"{text!r} (without an offset)", hint)
    return parsed


def parse_local(name: str, text: str | None) -> datetime:
    """Parse a date and time in ISO 8601 without an offset. Return a naive datetime.

    Args:
        name: the name of the parameter, which the error shows.
        text: the date and time in the recipient's local time.

    Raises:
        ValidationError: if `text` is None, if it is not in ISO 8601, or if it has an offset.
    """
    hint = "pass the recipient's local time in ISO 8601 without an offset, such as 2026-01-28T09:00:00"
    if text is None:
        raise ValidationError(name, "an unset value", hint)
    parsed = _parsed(name, text, hint)
    if parsed.tzinfo is not None:
        raise ValidationError(name, f"{text!r} (with an offset)", hint)
    return parsed


def check_seconds(name: str, number: float) -> None:
    """Check that `number` is a positive, finite number of seconds.

    Args:
        name: the name of the parameter, which the error shows.
        number: the number of seconds to check.

    Raises:
        ValidationError: if `number` is zero, negative, infinite or not a number.
    """
    if not 0 < number < float("inf"):
        raise ValidationError(name, str(number), "pass a positive number of seconds")


def _parsed(name: str, text: str, hint: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValidationError(name, "the value", hint) from None


def numbers(arguments: Iterable[str]) -> list[str]:
    """Return phone numbers in the order of the arguments.

    The argument ``-`` is replaced by the numbers on standard input, which are separated by spaces or line
    breaks.

    Raises:
        ValidationError: if an argument begins with a hyphen and is not ``-``; such an argument is probably a
            misspelt option.
    """
    found: list[str] = []
    for argument in arguments:
        if argument == _STANDARD_INPUT:
            found.extend(sys.stdin.read().split())
        elif argument.startswith("-"):
            hint = "pass phone numbers, or - for standard input"
            raise ValidationError("TO", "an argument that begins with a hyphen", hint)
        else:
            found.append(argument)
    return found


def input_name(name: str, argument: str) -> str:
    """Return `argument`: the name of a file, or ``-`` for standard input.

    Args:
        name: the name of the parameter, which the error shows.
        argument: the argument of the command line to check.

    Raises:
        ValidationError: if `argument` begins with a hyphen and is not ``-``; such an argument is probably a
            misspelt option.
    """
    if argument.startswith("-") and argument != _STANDARD_INPUT:
        hint = "pass a file, or - for standard input"
        raise ValidationError(name, "an argument that begins with a hyphen", hint)
    return argument
