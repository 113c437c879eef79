"""The client makes each call with each variant of the gateway that its documents describe."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import attrs
import pytest

from smsapi_async import AsyncSmsClient, Message, Phase, State
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from smsapi_async.sandbox.journeys import Journey
from tests.client.tools import ManualClock, client_for

pytestmark = pytest.mark.anyio
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = START + timedelta(days=1)
NUMBER, OTHER = "79031234567", "79131234567"
MOSCOW = timezone(timedelta(hours=3))


@attrs.frozen
class Variant:
    """A variant of the gateway, and the settings of a client for this variant."""

    dialect: Dialect
    version: int = 1
    zone: tzinfo = MOSCOW

    @property
    def options(self) -> dict[str, Any]:
        """The settings of a client for this variant."""
        is_possible = self.dialect.bulk_by_time_zone == "available"
        return {
            "api_version": self.version,
            "gateway_time_zone": self.zone,
            "bulk_by_time_zone": is_possible,
            "clock": ManualClock(),
        }


VARIANTS = {
    "contract": Variant(Dialect.CONTRACT),
    "latest": Variant(Dialect.LATEST, zone=UTC),
    "latest, version 2": Variant(Dialect.LATEST, version=2, zone=UTC),
    "version 2 alone": Variant(Dialect(version_2=True), version=2),
    "third spelling of the date": Variant(Dialect.LATEST.with_(incoming_date="CreationDateUtc"), zone=UTC),
    "ids of letters": Variant(Dialect(id_style="alphanumeric")),
    "code 3": Variant(Dialect(expired_session_code=3, unquoted_errors=True)),
}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    """Return one of the variants."""
    return VARIANTS[request.param]


@pytest.fixture
async def sandbox(anyio_backend: str, variant: Variant) -> AsyncIterator[Sandbox]:
    """Serve a sandbox with the dialect of the variant."""
    async with run_sandbox(start=START, dialect=variant.dialect) as running:
        yield running


@pytest.fixture
async def sms(sandbox: Sandbox, variant: Variant) -> AsyncIterator[AsyncSmsClient]:
    """Yield a client with the settings of the variant."""
    async with client_for(sandbox, **variant.options) as client:
        yield client


async def test_sends(sms: AsyncSmsClient, sandbox: Sandbox, variant: Variant) -> None:
    """Each way to send a message reaches the recipient at the right time."""
    local = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001
    await sms.send(NUMBER, "one", send_date=LATER)
    await sms.send_bulk([NUMBER, OTHER], "two", send_date=LATER)
    await sms.send_by_time_zone(OTHER, "three", send_date=local)
    batch = [Message(number, "four", send_date=local, by_time_zone=True) for number in (NUMBER, OTHER)]
    async with sms.send_many(batch, linger=60) as outcomes:
        assert [type(outcome).__name__ async for outcome in outcomes] == ["Accepted"] * 2
    there = {NUMBER: datetime(2026, 3, 2, 6, tzinfo=UTC), OTHER: datetime(2026, 3, 2, 2, tzinfo=UTC)}
    assert sorted(
        (each.text, each.destination_address, each.send_date) for each in sandbox.account.messages
    ) == [
        ("four", NUMBER, there[NUMBER]),
        ("four", OTHER, there[OTHER]),
        ("one", NUMBER, LATER),
        ("three", OTHER, there[OTHER]),
        ("two", NUMBER, LATER),
        ("two", OTHER, LATER),
    ]
    assert {arrival.version for arrival in sandbox.account.arrivals} == {variant.version}
    assert sandbox.account.logins == (1 if variant.version == 1 else 0)


async def test_reads(sms: AsyncSmsClient, sandbox: Sandbox) -> None:
    """Balance, state, incoming messages and statistics are the same with each variant."""
    assert await sms.balance() == Decimal("10000.00")
    receipt = await sms.send(NUMBER, "Hello")
    sandbox.receive(NUMBER, text="Привет")
    sandbox.advance(minutes=1)
    state = await sms.state(receipt.segment_ids[0])
    assert (state.state, state.phase, state.is_final) == (State.DELIVERED, Phase.DELIVERED, True)
    [message] = await sms.incoming()
    assert (message.text, message.source_address, message.creation_date) == ("Привет", NUMBER, START)
    found = await sms.statistics(START - timedelta(hours=1), START + timedelta(hours=1))
    assert found.delivered == 1


async def test_an_expired_session(sms: AsyncSmsClient, sandbox: Sandbox, variant: Variant) -> None:
    """After the end of a session, the client logs in once more; version 2 has no session that could end."""
    await sms.send(NUMBER, "one")
    sandbox.expire_sessions()
    await sms.send(NUMBER, "two")
    assert [message.text for message in sandbox.account.messages] == ["one", "two"]
    assert sandbox.account.logins == (2 if variant.version == 1 else 0)


@pytest.mark.parametrize("number", ["89031234567", "+79031234567", "79031234567"])
async def test_writings_of_a_number(sms: AsyncSmsClient, sandbox: Sandbox, number: str) -> None:
    """A Russian number with the trunk prefix 8 reaches the same recipient, whatever the gateway accepts."""
    receipt = await sms.send(number, "Hello")
    assert receipt.message.destination_address == NUMBER
    assert [message.destination_address for message in sandbox.account.messages] == [NUMBER]


@pytest.mark.parametrize(
    ("code", "phase", "is_final"),
    [
        (-3, Phase.FAILED, True),
        (8, Phase.FAILED, True),
        (-200, Phase.FAILED, True),
        (-20, Phase.ENROUTE, False),
        (-30, Phase.ENROUTE, False),
        (-40, Phase.ENROUTE, False),
        (-100, Phase.ENROUTE, False),
        (-777, Phase.ENROUTE, False),
    ],
)
async def test_states_of_the_other_service(code: int, phase: Phase, is_final: Any) -> None:
    """The states that only another service of the vendor documents have a meaning, and decide a delivery."""
    steps: Journey = [(timedelta(0), code)]
    async with (
        run_sandbox(dialect="latest", journey=lambda _message, _index: steps) as sandbox,
        client_for(sandbox) as sms,
    ):
        receipt = await sms.send(NUMBER, "Hello")
        state = await sms.state(receipt.segment_ids[0])
        assert (state.state, state.phase, state.is_final) == (code, phase, is_final)
        delivery = await sms.wait_delivered(receipt, timeout=20 if is_final else 0.05)
        assert (delivery.phase, delivery.is_final) == (phase, is_final)


@pytest.mark.parametrize("words", ["Доставлено", "Ошибка", "", "delivered"])
async def test_the_description_of_a_state_decides_nothing(words: str) -> None:
    """The client reads the number of a state, whatever the description says."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        body = f'{{"State": 46, "StateDescription": "{words}"}}'
        sandbox.answer_next("Sms/State", 200, body)
        state = await sms.state("1")
    assert (state.state, state.phase) == (State.EXPIRED, Phase.FAILED)
    assert state.state_description == words
