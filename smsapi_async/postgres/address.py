"""The address of a PostgreSQL database, and a name for the database without a password."""

import re
from typing import Any, Self

import attrs

from smsapi_async.errors import LedgerError, ValidationError
from smsapi_async.privacy import mask_word, type_name

EXTRA = "smsapi-async[postgres]"
"""The name of the extra that installs psycopg."""

# Without the settings after the second, a connection hangs for minutes or hours after the network has failed.
_DEFAULTS = {
    "application_name": "smsapi-async",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
# An `@` or `/` in a password that is not encoded makes a part of the password look like the host.
_HOST = re.compile(r"[A-Za-z0-9._:,\[\]-]+|/[A-Za-z0-9._/-]*")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
# An index entry of PostgreSQL has at most 2,704 bytes.
_LONGEST_ACCOUNT = 1000
# The beginning of a URL, also with a typing error after the colon, and a connection string of libpq.
_DATABASE = re.compile(
    r"\s*postgres(ql)?:|(.*\s)?(host|hostaddr|dbname|service|user|password)\s*=", re.IGNORECASE | re.DOTALL
)


@attrs.frozen(repr=False)
class Address:
    """The address of a database.

    Attributes:
        parameters: the connection parameters of libpq, with the password.
        name: the name of the database for texts, for example ``postgresql://db.example:5432/shop``. The name
            contains no user and no password.
    """

    parameters: dict[str, Any]
    name: str

    @classmethod
    def of(cls, dsn: str) -> Self:
        """Return the address from a URL or a connection string of libpq.

        Raises:
            ValidationError: if the text is not a connection string.
            LedgerError: if the extra ``postgres`` is not installed.
        """
        given = _parsed(checked_dsn(dsn))
        parameters = {**_DEFAULTS, **given}
        if "," in str(given.get("host") or given.get("hostaddr") or ""):
            # libpq then skips the standbys.
            parameters.setdefault("target_session_attrs", "read-write")
        return cls(parameters, _name(given))


def is_database(text: str) -> bool:
    """Return whether a text means a PostgreSQL database, and not the path of a file.

    The text may be wrong. An error about a file would show the text, and so its password.
    """
    return _DATABASE.match(text) is not None


def checked_dsn(dsn: object) -> str:
    """Check that a connection string is a text that is not empty.

    Raises:
        ValidationError: if the value is not a `str`, or is empty.
    """
    if not isinstance(dsn, str) or not dsn.strip():
        raise _refusal(dsn)
    return dsn


def checked_account(account: object) -> str:
    """Check the name of an account.

    Raises:
        ValidationError: if the name is not a `str`, is empty or too long, or contains control characters.
    """
    if type(account) is not str or not account or not account.isprintable():
        raise ValidationError("account", mask_word(account), "pass a name without control characters")
    if len(account.encode()) > _LONGEST_ACCOUNT:
        value = f"a name of {len(account)} characters"
        raise ValidationError("account", value, f"pass at most {_LONGEST_ACCOUNT} bytes")
    return account


def _refusal(dsn: object) -> ValidationError:
    hint = "pass a URL such as postgresql://user@host/database, or a connection string of libpq"
    return ValidationError("dsn", type_name(dsn), hint)


def _parsed(dsn: str) -> dict[str, Any]:
    try:
        from psycopg import ProgrammingError  # noqa: PLC0415 - the extra may be missing
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415
    except ImportError:
        problem: Exception = LedgerError(f"PostgreSQL needs an extra; run: pip install '{EXTRA}'")
    else:
        try:
            return dict(conninfo_to_dict(dsn))
        except (ProgrammingError, UnicodeEncodeError):
            # The text of the original error can contain a part of the password.
            problem = _refusal(dsn)
    raise problem


def _name(given: dict[str, Any]) -> str:
    host = str(given.get("host") or given.get("hostaddr") or "")
    database = str(given.get("dbname") or "")
    port = given.get("port")
    shown = host if not host or _HOST.fullmatch(host) else "<host>"
    if shown.startswith("/"):
        shown = f"[{shown}]"
    ending = "" if not database else database if _NAME.fullmatch(database) else "<database>"
    return f"postgresql://{shown}{f':{port}' if port and str(port).isdigit() else ''}/{ending}"
