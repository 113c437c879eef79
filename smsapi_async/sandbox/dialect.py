"""The variations of the gateway: in which points its documents and its answers differ from each other."""

from collections.abc import Callable
from datetime import timedelta, timezone, tzinfo
from typing import Any, ClassVar, Literal, Self, TypeAlias

import attrs

from smsapi_async.sandbox.steady import steady_repr

BulkByTimeZone: TypeAlias = Literal["absent", "refused", "available"]
IdStyle: TypeAlias = Literal["digits", "alphanumeric", "number"]
IncomingDate: TypeAlias = Literal["CreateDateUtc", "CreatedDateUtc", "CreationDateUtc"]
IncomingId: TypeAlias = Literal["integer", "string"]
StateDescriptions: TypeAlias = Literal["document", "wire"]

_Field: TypeAlias = "attrs.Attribute[Any]"
_Validator: TypeAlias = Callable[[object, _Field, Any], None]

# The gateway allows at most 2,999 recipients in one bulk request of version 2.
MOST_RECIPIENTS = 2999

_DAY = timedelta(days=1)


def _one_of(*values: object) -> _Validator:
    # Compare the types too, because True == 1 in Python.
    def check(_: object, field: _Field, value: object) -> None:
        if not any(type(value) is type(each) and value == each for each in values):
            *first, last = map(repr, values)
            raise ValueError(f"{field.name} must be {', '.join(first)} or {last}")

    return check


def _check_time_zone(_: object, field: _Field, value: object) -> None:
    if not isinstance(value, tzinfo):
        raise ValueError(f"{field.name} must be a tzinfo, or a timedelta of less than 24 hours")  # noqa: TRY004 - one kind of error for each field


def _check_count(_: object, field: _Field, value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{field.name} must be an int of at least 1, or None")


def _time_zone(value: tzinfo | timedelta) -> tzinfo:
    # Do not convert a timedelta that is too long for `timezone`. The validator then refuses the timedelta.
    return timezone(value) if isinstance(value, timedelta) and -_DAY < value < _DAY else value  # type: ignore[return-value]


_FLAG = _one_of(False, True)


@steady_repr
@attrs.frozen(kw_only=True)
class Dialect:
    """The variations of the gateway that a sandbox imitates.

    `Dialect.CONTRACT` follows the contract and is the default of a sandbox. `Dialect.LATEST` follows the
    later documents of the vendor and the answers that published clients recorded. The docstring of
    `smsapi_async.sandbox` has a table with the values of both. Each field can be set alone:

        Dialect(id_style="number")
        Dialect.LATEST.with_(refused_login_status=401)

    Attributes:
        gateway_time_zone: the time zone of SendDate for Sms/Send and Sms/SendBulk, and of the range of
            Sms/Statistics: a tzinfo. A timedelta is converted to a tzinfo with this offset from UTC.
        accepts_trunk_prefix: whether a Russian number with the trunk prefix 8 in place of the country code 7
            is accepted, for example 89031234567. The sandbox then records the number as 79031234567.
        trims_numbers: whether white space around a destination address is ignored. A `+` that is not
            percent-encoded in a query is a space.
        bulk_by_time_zone: whether the gateway has the resource Sms/SendByTimeZoneToAddresses: "available";
            "absent" for HTTP status 404, as for an unknown path; "refused" for code 6.
        version_2: whether the gateway has version 2 of the interface, below `/rest/v2`. Each request of
            version 2 contains Login and Password, and there are no session ids.
        most_recipients: the largest number of recipients of a bulk request; more are refused with code 2.
            None means no limit for version 1. Version 2 always has a limit: None means 2,999 there.
        strict_incoming_range: whether Sms/In requires minDateUTC (code 9), refuses a minDateUTC of more than
            one year ago (code 2), and refuses a maxDateUTC that is equal to minDateUTC (code 2).
        incoming_date: the name of the creation date of an incoming message.
        incoming_id: the type of the id of an incoming message: "integer" or "string". None means an integer
            for the id style "digits", and a string for the other id styles.
        id_style: the form of segment ids: "digits" for ids like "579700854169272358", "alphanumeric" for ids
            like "GW0261BA732A" and "SAR-W+84333", "number" for ids that contain the number of the recipient,
            like "SAR-GW01+79160000000-5f3b1972-2-1".
        finds_unescaped_ids: whether Sms/State also finds a segment id whose `+` the client did not escape, so
            that the gateway received a space. Published clients do this.
        state_descriptions: the value of StateDescription: "document" for the descriptions of the vendor's
            document, "wire" for the short descriptions in recorded answers, for example "Доставлено".
        refused_login_status: the HTTP status of the response to a wrong login or password: 401 or 403. The
            error code is 4 in both cases.
        expired_session_code: the error code for an expired session: 4 (HTTP status 401) or 3 (HTTP status
            400).
        unquoted_errors: whether the keys in error bodies are unquoted, as in the vendor's document.
        reads_all_bodies: whether the gateway also reads the parameters in JSON bodies, in multipart forms,
            and in the body of a GET request. Otherwise the gateway reads only the form of a POST request.
        accepts_post_to_read: whether the resources that are read with GET also accept POST: User/SessionId,
            User/Balance, Sms/State, Sms/In and Sms/Statistics.

    Raises:
        ValueError: if a field has a value that is not listed above. The message names the field.
    """

    CONTRACT: ClassVar["Dialect"]
    """The gateway as the contract describes the gateway; equal to ``Dialect()``."""

    LATEST: ClassVar["Dialect"]
    """The gateway as its later documents and recorded answers show the gateway."""

    gateway_time_zone: tzinfo = attrs.field(
        default=timezone(timedelta(hours=3)), converter=_time_zone, validator=_check_time_zone
    )
    accepts_trunk_prefix: bool = attrs.field(default=False, validator=_FLAG)
    trims_numbers: bool = attrs.field(default=False, validator=_FLAG)
    bulk_by_time_zone: BulkByTimeZone = attrs.field(
        default="absent", validator=_one_of("absent", "refused", "available")
    )
    version_2: bool = attrs.field(default=False, validator=_FLAG)
    most_recipients: int | None = attrs.field(default=None, validator=_check_count)
    strict_incoming_range: bool = attrs.field(default=False, validator=_FLAG)
    incoming_date: IncomingDate = attrs.field(
        default="CreateDateUtc", validator=_one_of("CreateDateUtc", "CreatedDateUtc", "CreationDateUtc")
    )
    incoming_id: IncomingId | None = attrs.field(default=None, validator=_one_of("integer", "string", None))
    id_style: IdStyle = attrs.field(default="digits", validator=_one_of("digits", "alphanumeric", "number"))
    finds_unescaped_ids: bool = attrs.field(default=False, validator=_FLAG)
    state_descriptions: StateDescriptions = attrs.field(
        default="document", validator=_one_of("document", "wire")
    )
    refused_login_status: Literal[401, 403] = attrs.field(default=401, validator=_one_of(401, 403))
    expired_session_code: Literal[3, 4] = attrs.field(default=4, validator=_one_of(3, 4))
    unquoted_errors: bool = attrs.field(default=False, validator=_FLAG)
    reads_all_bodies: bool = attrs.field(default=False, validator=_FLAG)
    accepts_post_to_read: bool = attrs.field(default=False, validator=_FLAG)

    def with_(self, **changes: Any) -> Self:  # noqa: ANN401 - the validators of the fields check the values
        """Return a copy of the dialect with other values for some fields.

        Args:
            changes: the names of the fields and their new values.

        Raises:
            TypeError: if the dialect has no field with such a name.
            ValueError: if a value is not valid for its field. The message names the field.
        """
        return attrs.evolve(self, **changes)

    @classmethod
    def named(cls, name: str) -> "Dialect":
        """Return the dialect with this name, "contract" or "latest", in upper or lower case.

        Raises:
            ValueError: if no dialect has this name.
        """
        dialects = {"contract": cls.CONTRACT, "latest": cls.LATEST}
        if name.lower() not in dialects:
            raise ValueError("dialect must be a Dialect, 'contract' or 'latest'")
        return dialects[name.lower()]

    def recipients_limit(self, version: int) -> int | None:
        """Return the largest number of recipients of a bulk request; None means no limit.

        Args:
            version: the version of the interface, 1 or 2.
        """
        return self.most_recipients or (MOST_RECIPIENTS if version == 2 else None)


Dialect.CONTRACT = Dialect()
Dialect.LATEST = Dialect(
    gateway_time_zone=timezone(timedelta(0)),
    accepts_trunk_prefix=True,
    trims_numbers=True,
    bulk_by_time_zone="available",
    version_2=True,
    most_recipients=MOST_RECIPIENTS,
    strict_incoming_range=True,
    incoming_date="CreatedDateUtc",
    id_style="number",
    finds_unescaped_ids=True,
    state_descriptions="wire",
    refused_login_status=403,
    reads_all_bodies=True,
    accepts_post_to_read=True,
)
