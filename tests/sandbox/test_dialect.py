"""A dialect chooses the variations of the gateway that a sandbox imitates."""

import copy
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest

import smsapi_async.sandbox
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.sandbox.support import START, Caller, logged_in, message, refused

pytestmark = pytest.mark.anyio

FIELDS = [field.name for field in attrs.fields(Dialect)]
MOSCOW = timezone(timedelta(hours=3))


async def caller_of(dialect: Dialect) -> Caller:
    """Return a caller that has logged in at a sandbox with a dialect."""
    return await logged_in(Sandbox(start=START, dialect=dialect))


def _pickled(dialect: Dialect) -> Dialect:
    pickled: Dialect = pickle.loads(pickle.dumps(dialect))  # noqa: S301 - the test made the pickle
    return pickled


async def test_the_contract_is_the_default() -> None:
    """A sandbox without a dialect follows the contract."""
    assert Sandbox().dialect == Dialect() == Dialect.CONTRACT
    assert Dialect.CONTRACT != Dialect.LATEST


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("latest", Dialect.LATEST),
        ("LATEST", Dialect.LATEST),
        ("contract", Dialect.CONTRACT),
        (Dialect.LATEST, Dialect.LATEST),
        (Dialect(version_2=True), Dialect(version_2=True)),
    ],
    ids=str,
)
async def test_a_dialect_by_name(given: Any, expected: Dialect) -> None:
    """`Sandbox` and `run_sandbox` accept a dialect and the name of a dialect."""
    assert Sandbox(dialect=given).dialect == expected
    async with run_sandbox(dialect=given) as sandbox:
        assert sandbox.dialect == expected


async def test_one_field() -> None:
    """Each field can be set alone, and all other fields keep their values."""
    for field in FIELDS:
        latest = getattr(Dialect.LATEST, field)
        changed = Dialect.CONTRACT.with_(**{field: latest})
        assert changed == Dialect(**{field: latest}) == attrs.evolve(Dialect.CONTRACT, **{field: latest})
        assert {name for name in FIELDS if getattr(changed, name) != getattr(Dialect.CONTRACT, name)} <= {
            field
        }


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, _pickled])
async def test_a_dialect_is_a_value(clone: Callable[[Dialect], Dialect]) -> None:
    """A copied or pickled dialect is equal, and no field can be assigned."""
    assert clone(Dialect.LATEST) == Dialect.LATEST
    assert hash(clone(Dialect.LATEST)) == hash(Dialect.LATEST)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Dialect.LATEST.version_2 = False  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Sandbox().dialect = Dialect.LATEST  # type: ignore[misc]


BAD = [
    ("gateway_time_zone", 3),
    ("gateway_time_zone", timedelta(hours=24)),
    ("accepts_trunk_prefix", None),
    ("trims_numbers", "yes"),
    ("bulk_by_time_zone", True),
    ("version_2", 1),
    ("most_recipients", 0),
    ("most_recipients", True),
    ("most_recipients", "2999"),
    ("strict_incoming_range", 0),
    ("incoming_date", "createDateUtc"),
    ("incoming_id", int),
    ("id_style", "roman"),
    ("finds_unescaped_ids", None),
    ("state_descriptions", []),
    ("refused_login_status", 404),
    ("expired_session_code", 5),
    ("unquoted_errors", "no"),
    ("reads_all_bodies", 2),
    ("accepts_post_to_read", None),
]


async def test_every_field_has_a_bad_value() -> None:
    """The list of bad values covers each field."""
    assert {field for field, _ in BAD} == set(FIELDS)


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_bad_values(field: str, value: object) -> None:
    """A wrong value is a `ValueError` whose message names the field."""
    with pytest.raises(ValueError, match=f"^{field} must be"):
        Dialect(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^{field} must be"):
        Dialect.LATEST.with_(**{field: value})


@pytest.mark.parametrize("dialect", ["newest", "", None, 2, {"version_2": True}], ids=repr)
async def test_bad_dialect(dialect: Any) -> None:
    """Anything else in place of a dialect is a `ValueError`."""
    with pytest.raises(ValueError, match="dialect must be a Dialect, 'contract' or 'latest'"):
        Sandbox(dialect=dialect)


async def test_arguments_of_the_sandbox_override_the_dialect() -> None:
    """Three fields are also arguments of `Sandbox`, and the arguments have priority over the dialect."""
    dialect = Dialect(expired_session_code=3, unquoted_errors=True, id_style="number")
    assert Sandbox(dialect=dialect).dialect == dialect
    sandbox = Sandbox(dialect=dialect, expired_session_code=4, unquoted_errors=False, id_style="digits")
    assert sandbox.dialect == Dialect.CONTRACT


async def test_the_table_of_the_documentation() -> None:
    """The table in the docstring of the package has the values of each field."""
    table = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", smsapi_async.sandbox.__doc__ or "", re.MULTILINE)
    shown = {field: values for field, *values in table}
    assert list(shown) == FIELDS
    assert shown.pop("gateway_time_zone") == ["GMT+03:00", "GMT+00:00"]
    assert {field: [value.strip('"') for value in values] for field, values in shown.items()} == {
        field: [str(getattr(dialect, field)) for dialect in (Dialect.CONTRACT, Dialect.LATEST)]
        for field in shown
    }


ZONES: list[tuple[tzinfo | timedelta, timedelta]] = [
    (MOSCOW, timedelta(hours=3)),
    (UTC, timedelta(0)),
    (timedelta(hours=7), timedelta(hours=7)),
    (ZoneInfo("Europe/Berlin"), timedelta(hours=1)),
]


@pytest.mark.parametrize(("zone", "offset"), ZONES, ids=str)
@pytest.mark.parametrize("resource", ["Sms/Send", "Sms/SendBulk"])
async def test_the_time_zone_of_the_gateway(
    zone: tzinfo | timedelta, offset: timedelta, resource: str
) -> None:
    """SendDate and the range of the statistics are in the time zone of the dialect."""
    caller = await caller_of(Dialect(gateway_time_zone=zone))
    fields = message(DestinationAddresses="79031234567", SendDate="2026-03-10T20:00:00")
    assert (await caller.post(resource, fields)).status_code == 200
    (accepted,) = caller.sandbox.account.messages
    due = datetime(2026, 3, 10, 20, tzinfo=UTC) - offset
    assert accepted.send_date == due
    local = START.replace(tzinfo=None) + offset
    for shift, total in ((-1, 1), (1, 0)):
        start = local + timedelta(seconds=shift)
        answer = await caller.get(
            "Sms/Statistics", startDateTime=f"{start}", endDateTime=f"{start + timedelta(hours=1)}"
        )
        assert answer.json()["Total"] == total


@pytest.mark.parametrize("dialect", [Dialect.CONTRACT, Dialect.LATEST], ids=["contract", "latest"])
async def test_by_time_zone_is_the_clock_of_the_recipient(dialect: Dialect) -> None:
    """The time zone of the gateway does not change the send date of Sms/SendByTimeZone."""
    caller = await caller_of(dialect)
    await caller.post("Sms/SendByTimeZone", message("79141234567", SendDate="2026-03-11T10:00:00"))
    (accepted,) = caller.sandbox.account.messages
    assert accepted.send_date == datetime(2026, 3, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize("number", ["89031234567", "+89031234567"])
async def test_the_trunk_prefix_8(number: str) -> None:
    """A number with the trunk prefix 8 is recorded with the country code 7, or refused."""
    caller = await caller_of(Dialect(accepts_trunk_prefix=True))
    await caller.send(number)
    assert [each.destination_address for each in caller.sandbox.account.messages] == ["79031234567"]
    assert len(caller.sandbox.account.sent_to("79031234567")) == 1
    strict = await caller_of(Dialect.LATEST.with_(accepts_trunk_prefix=False))
    assert refused(await strict.post("Sms/Send", message(number)))[:2] == (400, 6)


@pytest.mark.parametrize("number", ["8903123456", "890312345678", "84951234567", "8", "08903123456"])
async def test_other_numbers_with_8(number: str) -> None:
    """Other numbers that begin with 8 are treated the same in both dialects."""
    outcomes = []
    for dialect in (Dialect.CONTRACT, Dialect.LATEST):
        caller = await caller_of(dialect)
        answer = await caller.post("Sms/Send", message(number))
        recorded = [each.destination_address for each in caller.sandbox.account.messages]
        outcomes.append((answer.status_code, recorded))
        assert recorded in ([], [number])
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("number", [" 79031234567", "79031234567 ", "\t79031234567\r\n"])
async def test_white_space_around_a_number(number: str) -> None:
    """White space around a number is ignored, or the number is refused."""
    caller = await caller_of(Dialect(trims_numbers=True))
    await caller.send(number)
    assert [each.destination_address for each in caller.sandbox.account.messages] == ["79031234567"]
    strict = await caller_of(Dialect.LATEST.with_(trims_numbers=False))
    assert refused(await strict.post("Sms/Send", message(number)))[:2] == (400, 6)


async def test_a_plus_sign_that_is_not_encoded() -> None:
    """A `+` in a query is a space, and the gateway of the later documents accepts the number."""
    caller = await caller_of(Dialect.LATEST)
    query = f"SessionID={caller.session}&DestinationAddress=+79031234567&Data=Hi&SourceAddress=ACME"
    assert (await caller.request("POST", f"Sms/Send?{query}")).status_code == 200
    assert [each.destination_address for each in caller.sandbox.account.messages] == ["79031234567"]


@pytest.mark.parametrize("dialect", [Dialect.CONTRACT, Dialect.LATEST], ids=["contract", "latest"])
@pytest.mark.parametrize("separator", [",", ";", ", "])
async def test_a_list_in_one_parameter(dialect: Dialect, separator: str) -> None:
    """Several numbers in one parameter are one invalid number."""
    caller = await caller_of(dialect)
    numbers = separator.join(["79031234567", "79031234568"])
    answer = await caller.post("Sms/SendBulk", message(DestinationAddresses=numbers))
    assert refused(answer) == (400, 6, "Invalid destination address")


BULK = {
    "DestinationAddresses": ["79031234567", "79141234567"],
    "Data": "ы" * 71,
    "SourceAddress": "ACME",
    "SendDate": "2026-03-11T10:00:00",
}


async def test_a_bulk_by_time_zone() -> None:
    """Sms/SendByTimeZoneToAddresses sends at the local time of each recipient.

    The response is a flat list of segment ids, as for Sms/SendBulk.
    """
    caller = await caller_of(Dialect(bulk_by_time_zone="available"))
    answer = await caller.post("sms/sendbytimezonetoaddresses", BULK)
    assert answer.status_code == 200
    first, second = caller.sandbox.account.messages
    assert answer.json() == [*first.segment_ids, *second.segment_ids]
    assert len(answer.json()) == 4
    assert (first.send_date, second.send_date) == (
        datetime(2026, 3, 11, 7, tzinfo=UTC),
        datetime(2026, 3, 11, 0, tzinfo=UTC),
    )
    assert first.resource == "Sms/SendByTimeZoneToAddresses"
    assert (await caller.get("Sms/SendByTimeZoneToAddresses")).status_code == 405


async def test_a_bulk_by_time_zone_needs_a_date() -> None:
    """Sms/SendByTimeZoneToAddresses requires SendDate, and at least one number."""
    caller = await caller_of(Dialect(bulk_by_time_zone="available"))
    path = "Sms/SendByTimeZoneToAddresses"
    status, code, description = refused(await caller.post(path, {**BULK, "SendDate": ""}))
    assert (status, code) == (500, 9)
    assert "'sendDate'" in description
    assert refused(await caller.post(path, {**BULK, "DestinationAddresses": []}))[1] == 1
    assert caller.sandbox.account.messages == []


@pytest.mark.parametrize(("field", "status"), [("absent", 404), ("refused", 400)])
async def test_no_bulk_by_time_zone(field: Any, status: int) -> None:
    """A gateway without Sms/SendByTimeZoneToAddresses answers 404 or code 6, and accepts nothing.

    The account names the resource of the request, and a test can prepare a response.
    """
    caller = await caller_of(Dialect(bulk_by_time_zone=field))
    path = "Sms/SendByTimeZoneToAddresses"
    answer = await caller.post(path, BULK)
    assert answer.status_code == status
    if status == 400:
        assert refused(answer)[1] == 6
        assert refused(await caller.post(path, {}))[1] == 6
        stranger = Caller(caller.sandbox, "0" * 36)
        assert refused(await stranger.post(path, BULK))[1] == 3
    assert caller.sandbox.account.messages == []
    assert caller.sandbox.account.count(path, status=status) >= 1
    caller.sandbox.answer_next(path, body="[]")
    assert (await caller.post(path, BULK)).json() == []


@pytest.mark.parametrize("resource", ["Sms/SendBulk", "Sms/SendByTimeZoneToAddresses"])
async def test_the_largest_bulk(resource: str) -> None:
    """A bulk with more recipients than the gateway allows is refused with code 2."""
    dialect = Dialect.LATEST.with_(most_recipients=2)
    caller = await caller_of(dialect)
    assert (await caller.post(resource, BULK)).status_code == 200
    numbers = ["79031234567"] * 3
    answer = await caller.post(resource, {**BULK, "DestinationAddresses": numbers})
    assert refused(answer)[:2] == (400, 2)
    assert "2 addresses" in refused(answer)[2]
    assert len(caller.sandbox.account.messages) == 2


async def test_2999_recipients() -> None:
    """The gateway of the later documents accepts 2,999 recipients; the contract has no limit."""
    numbers = [f"79031{number:06}" for number in range(3000)]
    numbers = [f"{number[:-3]}001" for number in numbers]
    for dialect, count, status in (
        (Dialect.LATEST, 2999, 200),
        (Dialect.LATEST, 3000, 400),
        (Dialect.CONTRACT, 3000, 200),
    ):
        caller = await caller_of(dialect)
        answer = await caller.post("Sms/SendBulk", {**BULK, "DestinationAddresses": numbers[:count]})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"maxDateUTC": "2026-03-10"}, (500, 9)),
        ({"minDateUTC": "", "maxDateUTC": "2026-03-10"}, (500, 9)),
        ({"minDateUTC": "soon", "maxDateUTC": "2026-03-10"}, (500, 9)),
        ({"minDateUTC": "2025-03-10T08:59:59", "maxDateUTC": "2026-03-10"}, (400, 2)),
        ({"minDateUTC": "2026-03-10", "maxDateUTC": "2026-03-10"}, (400, 2)),
        ({"minDateUTC": "2026-03-10", "maxDateUTC": "2026-03-09"}, (400, 2)),
        ({"minDateUTC": "2025-03-10T09:00:00", "maxDateUTC": "2026-03-10T09:00:00"}, (200, None)),
        ({"minDateUTC": "2026-03-10T08:59:59", "maxDateUTC": "2026-03-10T09:00:00"}, (200, None)),
    ],
    ids=str,
)
async def test_the_range_of_incoming_messages(
    fields: dict[str, str], expected: tuple[int, int | None]
) -> None:
    """Sms/In requires both dates, a start of at most one year ago, and an end after the start."""
    caller = await caller_of(Dialect(strict_incoming_range=True))
    answer = await caller.get("Sms/In", **fields)
    assert (answer.status_code, caller.sandbox.account.arrivals[-1].code) == expected
    if expected[1] == 9:
        assert "null entry for parameter 'minDateUtc' of non-nullable type 'DateTime'" in refused(answer)[2]


async def test_one_year_before_a_leap_day() -> None:
    """On 29 February, one year ago is 28 February."""
    start = datetime(2028, 2, 29, 12, tzinfo=UTC)
    caller = await logged_in(Sandbox(start=start, dialect=Dialect.LATEST))
    for day, status in (("2027-02-28T12:00:00", 200), ("2027-02-28T11:59:59", 400)):
        answer = await caller.get("Sms/In", minDateUTC=day, maxDateUTC="2028-03-01")
        assert answer.status_code == status


async def test_the_contract_allows_any_range_of_incoming_messages() -> None:
    """In the contract, minDateUTC is optional, may be years ago, and may be equal to maxDateUTC."""
    caller = await caller_of(Dialect.CONTRACT)
    caller.sandbox.receive("79031234567", text="Hi")
    until = "2026-03-10T09:00:00"
    for fields in ({}, {"minDateUTC": "1999-01-01"}, {"minDateUTC": until}):
        assert len((await caller.get("Sms/In", maxDateUTC=until, **fields)).json()) == 1


@pytest.mark.parametrize("name", ["CreateDateUtc", "CreatedDateUtc", "CreationDateUtc"])
@pytest.mark.parametrize("kind", [int, str])
async def test_the_form_of_an_incoming_message(name: Any, kind: type) -> None:
    """The creation date of an incoming message has three names, and its id is an int or a str."""
    incoming_id: Any = "integer" if kind is int else "string"
    caller = await caller_of(Dialect(incoming_date=name, incoming_id=incoming_id))
    message_id = caller.sandbox.receive("79031234567", text="Hi")
    (incoming,) = (await caller.get("Sms/In", maxDateUTC="2026-03-11")).json()
    assert {key for key in incoming if key.endswith("DateUtc")} == {name}
    assert incoming[name] == f"/Date({int(START.timestamp()) * 1000})/"
    assert incoming["ID"] == message_id
    assert type(message_id) is kind


@pytest.mark.parametrize(("style", "kind"), [("digits", int), ("alphanumeric", str), ("number", str)])
async def test_ids_of_incoming_messages_follow_the_segment_ids(style: Any, kind: type) -> None:
    """Without `incoming_id`, the ids of incoming messages are integers for the id style "digits"."""
    assert type(Sandbox(dialect=Dialect(id_style=style)).receive("79031234567", text="Hi")) is kind


async def test_ids_with_the_number_of_the_recipient() -> None:
    """A segment id contains the recipient's number, the number of segments and the position."""
    caller = await caller_of(Dialect(id_style="number"))
    ids = await caller.send("+79160000000", "ы" * 71)
    assert [re.sub("-[0-9a-f]{8}-", "-########-", each) for each in ids] == [
        "SAR-GW01+79160000000-########-2-1",
        "SAR-GW01+79160000000-########-2-2",
    ]
    more = [*ids, *await caller.send("79160000000"), *await caller.send("79160000000")]
    assert len(set(more)) == 4
    caller.sandbox.advance(seconds=5)
    assert [(await caller.state(each))["State"] for each in more] == [0] * 4


WIRE = {
    "901": "Отправлено",
    "902": "Отправляется",
    "998": "Ожидание",
    "001": "Доставлено",
    "942": "Ошибка",
    "946": "Ошибка",
    "903": "Ошибка",
    "920": "Отправлено",
    "930": "Отправляется",
    "940": "Ожидание",
    "999": "Неизвестный",
    "955": "Неизвестный",
}


@pytest.mark.parametrize(("ending", "description"), WIRE.items())
async def test_descriptions_on_the_wire(ending: str, description: str) -> None:
    """StateDescription is one of six short descriptions, as in recorded answers."""
    caller = await caller_of(Dialect(state_descriptions="wire"))
    (segment_id,) = await caller.send(f"79031234{ending}")
    caller.sandbox.advance(seconds=5)
    assert (await caller.state(segment_id))["StateDescription"] == description


@pytest.mark.parametrize("style", ["document", "wire"])
async def test_a_state_without_description(style: Any) -> None:
    """A state that no document has is described as unknown."""
    sandbox = Sandbox(
        start=START, dialect=Dialect(state_descriptions=style), journey=lambda *_: [(timedelta(0), 77)]
    )
    caller = await logged_in(sandbox)
    (segment_id,) = await caller.send()
    assert (await caller.state(segment_id))["StateDescription"] == "Неизвестный"


SOAP = {"903": -3, "908": 8, "992": -200, "920": -20, "930": -30, "940": -40, "991": -100}
FINAL = {-3, 8, -200}


@pytest.mark.parametrize(("ending", "expected"), SOAP.items())
async def test_states_of_the_soap_document(ending: str, expected: int) -> None:
    """The states of the vendor's SOAP document are final failures, or expire with the validity.

    Sms/Statistics counts the failures as errors, and the others as in process.
    """
    caller = await caller_of(Dialect.CONTRACT)
    (segment_id,) = await caller.send(f"79031234{ending}", Validity=10)
    caller.sandbox.advance(seconds=5)
    state = await caller.state(segment_id)
    assert state["State"] == expected
    assert (state["ReportedDateUtc"] is not None) == (expected in FINAL)
    counts = (await caller.get("Sms/Statistics", startDateTime="2026-03-01", endDateTime="2026-03-11")).json()
    assert counts["Errors" if expected in FINAL else "InProcess"] == counts["TotalWithErrors"] == 1
    caller.sandbox.advance(hours=1)
    assert (await caller.state(segment_id))["State"] == (expected if expected in FINAL else 46)


@pytest.mark.parametrize("status", [401, 403])
async def test_the_status_of_a_refused_login(status: Any) -> None:
    """A refused login has the status 401 or 403, with code 4; an expired session keeps its own status."""
    caller = await caller_of(Dialect(refused_login_status=status))
    answer = await caller.request("GET", "user/sessionid", params={"login": "a", "password": "b"})
    assert refused(answer) == (status, 4, "Invalid user login or password")
    caller.sandbox.expire_sessions()
    assert refused(await caller.get("User/Balance")) == (401, 4, "SessionID expired")


async def test_allowed_source_addresses() -> None:
    """An account may hold several source addresses; the sandbox refuses all others with code 6."""
    caller = await logged_in(Sandbox(source_addresses=["ACME", "79160000000"]))
    outcomes = {}
    for source in ("ACME", "79160000000", "acme", "ACME ", "OTHER", "+79160000000"):
        answer = await caller.post("Sms/Send", message(SourceAddress=source))
        outcomes[source] = answer.status_code
        if answer.status_code != 200:
            assert refused(answer) == (400, 6, "Invalid source address")
    assert outcomes == {
        "ACME": 200,
        "79160000000": 200,
        "acme": 400,
        "ACME ": 400,
        "OTHER": 400,
        "+79160000000": 400,
    }


async def test_source_addresses_change_at_run_time() -> None:
    """A test may change the allowed source addresses."""
    caller = await logged_in()
    assert caller.sandbox.source_addresses is None
    await caller.send()
    caller.sandbox.source_addresses = {"OTHER"}
    assert caller.sandbox.source_addresses == ("OTHER",)
    assert refused(await caller.post("Sms/Send", message()))[1] == 6
    caller.sandbox.source_addresses = "ACME"
    await caller.send()
    caller.sandbox.source_addresses = ()
    assert refused(await caller.post("Sms/Send", message()))[1] == 6
    caller.sandbox.source_addresses = None
    await caller.send()


@pytest.mark.parametrize("source", ["", "Ромашка", "ABCDEFGHIJKL", "+79160000000", 79160000000, None])
async def test_bad_source_addresses(source: Any) -> None:
    """An invalid source address in the list is a `ValueError` that does not show the address."""
    with pytest.raises(ValueError, match=r"^source_addresses must contain only") as caught:
        Sandbox(source_addresses=["ACME", source])
    assert not source or str(source) not in str(caught.value)
