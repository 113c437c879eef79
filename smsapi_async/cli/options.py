"""Options and arguments that several commands share: the account, dates, phone numbers, files."""

import getpass
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import attrs
from cyclopts import Group, Parameter, Token

from smsapi_async.client import AsyncSmsClient
from smsapi_async.contrib.phonenumbers import normalize_number
from smsapi_async.errors import ValidationError
from smsapi_async.session import SessionStore
from smsapi_async.variables import environment_value

HYPHENATED = "an argument that begins with a hyphen"
"""The value of the error of an argument that is probably a misspelt option."""
_STANDARD_INPUT = "-"
_AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
# A number of a list on one line has no spaces.
_WHOLE_NUMBER = re.compile(r"\+?[0-9]{7,}", re.ASCII)
_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
# The send date may be this far in the past, because the clocks of computers differ.
_SLACK = timedelta(minutes=1)
# A valid source address for `batch --dry-run`, which needs no account and sends nothing.
_ANY_SOURCE = "0"
_ACCOUNT = Group("Account", sort_key=1)

_SOURCE_ADDRESS_HELP = (
    "The source address: the name or number that the recipient's phone shows as the origin of the message. "
    "Default: the environment variable SMSAPI_SOURCE_ADDRESS."
)

DATE = "date and time with the UTC offset, for example 2026-01-28T16:00:00+03:00"
DAY = f"date, for example 2026-01-28, or a {DATE}"

Since = Annotated[
    str | None,
    Parameter(
        help=f"A {DAY}. A date without a time means the beginning of the day in the time zone of this "
        "computer."
    ),
]
Until = Annotated[
    str | None,
    Parameter(
        help=f"A {DAY}. A date without a time means the end of the day in the time zone of this computer."
    ),
]
SendDate = Annotated[
    str | None,
    Parameter(
        help=f"When the gateway sends the message: a {DATE}. With --by-time-zone, leave out the offset. "
        "A time in the past is refused. Default: now."
    ),
]
Minutes = Annotated[
    int | None, Parameter(help="For how many minutes the gateway tries to deliver the message.")
]
ByTimeZone = Annotated[bool, Parameter(negative="", help="--send-date is the local time of the recipient.")]
Region = Annotated[
    str,
    Parameter(
        help="The country in which numbers without a country code are read, as two letters of ISO 3166."
    ),
]
AsJson = Annotated[
    bool, Parameter(name="--json", negative="", help="Print the result as JSON, for programs.")
]


def _amount(_: object, tokens: Sequence[Token]) -> Decimal:
    """Return an amount of money; cyclopts reports a `ValueError` as a wrong value of the option."""
    if not _AMOUNT.fullmatch(tokens[0].value):
        raise ValueError("no amount")
    return Decimal(tokens[0].value)


_LEDGER_HELP = (
    "The file that `batch --ledger` wrote, or a PostgreSQL database: postgresql://user@host/database. The "
    "parameter ?account=NAME names another account of the database than main."
)
Amount = Annotated[Decimal, Parameter(converter=_amount)]
"""An amount of money: not negative, without exponent. `Decimal` alone also accepts NaN and infinity."""
LedgerFile = Annotated[str, Parameter(help=_LEDGER_HELP)]
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
            negative="",
            help="Allow an http:// URL. Login and password are then sent without encryption. Default: the "
            "environment variable SMSAPI_ALLOW_PLAIN_HTTP.",
        ),
    ] = False
    proxy: Annotated[
        str | None,
        Parameter(
            help="The URL of a proxy for all requests, for example http://127.0.0.1:3128 or "
            "socks5://127.0.0.1:1080. Default: no proxy."
        ),
    ] = None
    ca_file: Annotated[
        str | None,
        Parameter(help="A file with PEM certificates that are trusted instead of the public certificates."),
    ] = None
    api_version: Annotated[
        Literal[1, 2],
        Parameter(help="The version of the gateway's HTTP API. Version 2 uses no session."),
    ] = 1
    gateway_time_zone: Annotated[
        str | None,
        Parameter(
            help="The time zone in which the gateway reads send dates: an offset such as +00:00, or a name "
            "such as Europe/Moscow. Later documents of the vendor say +00:00. Default: +03:00."
        ),
    ] = None
    # `configuration` reads these two options before the other options have their values.
    config: Annotated[
        str | None,
        Parameter(
            help="A configuration file with values of options: see `smsapi-async help configuration`. "
            "Default: the environment variable SMSAPI_CONFIG or, if this variable is not set, the usual file."
        ),
    ] = None
    profile: Annotated[
        str | None,
        Parameter(
            help="The profile in the configuration file. Default: the environment variable SMSAPI_PROFILE."
        ),
    ] = None

    def client(self, session_store: SessionStore, **more: Any) -> AsyncSmsClient:  # noqa: ANN401
        """Return a client for the account.

        If the environment variable `SMSAPI_PASSWORD` is not set, ask for the password on the terminal.

        Args:
            session_store: the store for the session of the client. Version 2 of the HTTP API uses no store.
            more: further keyword arguments of `AsyncSmsClient.from_env`.

        Raises:
            ValidationError: if a setting is missing or wrong.
        """
        login = self.login or environment_value("SMSAPI_LOGIN")
        if not login:
            raise ValidationError("login", "an unset value", "pass --login, or set SMSAPI_LOGIN")
        options: dict[str, Any] = {**more, "login": login, "password": _password(login)}
        for name in ("base_url", "proxy", "ca_file"):
            if getattr(self, name) is not None:
                options[name] = getattr(self, name)
        if self.gateway_time_zone is not None:
            options["gateway_time_zone"] = parse_time_zone("gateway_time_zone", self.gateway_time_zone)
        if self.uses_sessions:
            options["session_store"] = session_store
        if self.allow_plain_http:
            # Without the option, `from_env` reads the environment variable.
            options["allow_plain_http"] = True
        return AsyncSmsClient.from_env(**options, api_version=self.api_version)

    @property
    def uses_sessions(self) -> bool:
        """Whether the client logs in. Version 2 of the HTTP API has no sessions."""
        return self.api_version == 1


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


def parse_send_date(text: str | None, *, by_time_zone: bool, now: datetime | None = None) -> datetime | None:
    """Parse the value of ``--send-date``.

    Args:
        text: the date and time; None means that the message is sent at once.
        by_time_zone: whether the time is the local time of the recipient.
        now: the current time, aware; None means the time of the system clock.

    Returns:
        A naive datetime with `by_time_zone`, an aware datetime without it, or None.

    Raises:
        ValidationError: if `text` is not in ISO 8601, has no time of day, has an offset with `by_time_zone`
            or no offset without it, or if the time is more than a minute in the past. With `by_time_zone`,
            the time must be in the past in each time zone.
    """
    name = "send_date"
    if text is not None and _DAY.fullmatch(text):
        # A message at midnight is rarely the user's wish, so a date alone does not say when to send.
        hint = "add the time of day, for example 2026-01-28T16:00:00"
        raise ValidationError(name, "a date without a time", hint if by_time_zone else f"{hint}+03:00")
    if by_time_zone:
        local = parse_local(name, text)
        # The time zone UTC-12 is the last time zone in which a local time begins.
        latest: datetime | None = local.replace(tzinfo=timezone(-timedelta(hours=12)))
        found: datetime | None = local
    else:
        found = latest = parse_optional_aware(name, text)
    if latest is not None and latest < (now or datetime.now(UTC)) - _SLACK:
        hint = "pass a later time, or no time to send now"
        raise ValidationError(name, f"{text!r} (in the past)", hint)
    return found


def parse_time_zone(name: str, text: str) -> tzinfo:
    """Parse a time zone: an offset such as ``+03:00``, or a name of the time zone database.

    Args:
        name: the name of the parameter, which the error shows.
        text: the time zone to parse.

    Raises:
        ValidationError: if `text` is neither an offset nor a known name.
    """
    try:
        if _OFFSET.fullmatch(text):
            return datetime.strptime(text, "%z").tzinfo or UTC
        return ZoneInfo(text)
    except (LookupError, ValueError, OSError):
        # `ZoneInfo` raises a subclass of `KeyError` for an unknown name.
        hint = "pass an offset such as +03:00, or a name such as Europe/Moscow"
        raise ValidationError(name, repr(text[:40]), hint) from None


def parse_moment(
    name: str, text: str, *, day: Literal["begins", "ends"], zone: tzinfo | None = None
) -> datetime:
    """Parse a date, or a date and time with an offset. Return an aware datetime.

    Args:
        name: the name of the parameter, which the error shows.
        text: the date, or the date and time, in ISO 8601.
        day: whether a date without a time means the first or the last second of the day.
        zone: the time zone of a date without a time; None means the time zone of this computer.

    Raises:
        ValidationError: if `text` is not in ISO 8601, or if a date and time has no offset.
    """
    hint = (
        "pass a date such as 2026-01-28, or a date and time with an offset such as 2026-01-28T16:00:00+03:00"
    )
    if not _DAY.fullmatch(text):
        return _with_offset(name, text, hint)
    try:
        date = datetime.fromisoformat(text)
        if day == "begins":
            return _in_zone(date, zone)
        # The days of a change to or from summer time have 23 or 25 hours, so the end of the day is one second
        # before the beginning of the next day.
        return _in_zone(date + timedelta(days=1), zone).astimezone(UTC) - timedelta(seconds=1)
    except (ValueError, OverflowError, OSError):
        raise ValidationError(name, "the value", hint) from None


def _in_zone(midnight: datetime, zone: tzinfo | None) -> datetime:
    # Without an argument, `astimezone` uses the time zone of this computer.
    return midnight.astimezone() if zone is None else midnight.replace(tzinfo=zone)


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
    return _with_offset(name, text, hint)


def _with_offset(name: str, text: str, hint: str) -> datetime:
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


def number(argument: str, region: str, parameter: str = "TO") -> str:
    """Return a phone number in international format.

    Args:
        argument: the number as the user wrote it.
        region: the country in which a number without a country code is read.
        parameter: the name of the parameter, which the error shows.

    Raises:
        ValidationError: if the argument is not certainly one phone number, or if the region is unknown.
    """
    try:
        return normalize_number(argument, region)
    except ValidationError as error:
        name = parameter if error.parameter == "number" else error.parameter
        raise ValidationError(name, error.value, error.hint) from None


def numbers(arguments: Iterable[str], region: str) -> list[str]:
    """Return phone numbers in international format, in the order of the arguments.

    The argument ``-`` is replaced by the numbers on standard input, which are separated by line breaks, or by
    spaces if the parts of a line are numbers without spaces.

    Args:
        arguments: the numbers as the user wrote them.
        region: the country in which numbers without a country code are read.

    Raises:
        ValidationError: if an argument is not certainly one phone number, or begins with a hyphen and is not
            ``-``; such an argument is probably a misspelt option.
    """
    return [number(each, region, f"TO[{index}]") for index, each in enumerate(_given_numbers(arguments))]


def _given_numbers(arguments: Iterable[str]) -> list[str]:
    found: list[str] = []
    for argument in arguments:
        if argument == _STANDARD_INPUT:
            for line in sys.stdin.read().splitlines():
                parts = line.split()
                found.extend(parts if all(map(_WHOLE_NUMBER.fullmatch, parts)) else [line])
        elif argument.startswith("-"):
            hint = "pass phone numbers, or - for standard input"
            raise ValidationError("TO", HYPHENATED, hint)
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
        raise ValidationError(name, HYPHENATED, hint)
    return argument
