"""Tests that search all events of a whole run for private values."""

import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from smsapi_async import InvalidCredentials, MemorySessionStore, Message, NotSent, SmsApiError
from smsapi_async.ledger import Ledger
from smsapi_async.observers import ClientStats, Event
from smsapi_async.sandbox import run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.client.tools import client_for, port_of
from tests.observers.tools import Collected

pytestmark = pytest.mark.anyio
NUMBERS = [f"7903123456{index}" for index in range(6)]
TEXT = "Код 4821, никому не говорите"
SOURCE = "SecretShop"
KEY = "login attempt of Ann"


async def _run(tmp_path: Path, seen: Collected) -> list[str]:
    """Make calls that succeed, fail and are refused. Return the private values."""
    store = MemorySessionStore()
    async with (
        run_sandbox() as sandbox,
        run_fault_proxy("127.0.0.1", port_of(sandbox), FaultPlan.script([])) as proxy,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
    ):
        options: dict[str, Any] = {
            "base_url": proxy.base_url,
            "source_address": SOURCE,
            "observers": [seen],
            "session_store": store,
        }
        async with client_for(sandbox, **options) as sms:
            receipt = await sms.send(NUMBERS[0], TEXT, key=KEY, ledger=ledger)
            await sms.state(receipt.segment_ids[0])
            for fault in (Fault.RESET_AFTER_PASS, Fault.ERROR_500, Fault.TOO_MANY_REQUESTS_429):
                proxy.plan = FaultPlan.script([fault], resource="Sms/Send")
                with pytest.raises(SmsApiError):
                    await sms.send(NUMBERS[1], TEXT)
            messages = [Message(number, TEXT) for number in NUMBERS] + [Message("7", TEXT)]
            async with sms.send_many(messages, ledger=ledger) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 7
            sandbox.receive(NUMBERS[0], text=TEXT)
            async with sms.watch_incoming(since=sandbox.now().replace(year=2020)) as incoming:
                message = await anext(incoming)
        proxy.refuse_connections(True)
        async with client_for(sandbox, **options) as sms:
            with pytest.raises(NotSent):
                await sms.send(NUMBERS[2], TEXT)
        async with client_for(sandbox, observers=[seen], password="wrong-Pa55word") as sms:
            with pytest.raises(InvalidCredentials):
                await sms.send(NUMBERS[0], TEXT)
        ids = [each for one in sandbox.account.messages for each in one.segment_ids]
        session = await store.load()
        assert session is not None
        secrets = [
            session.session_id.reveal(),
            sandbox.login,
            sandbox.password,
            "wrong-Pa55word",
            TEXT,
            "никому",
            SOURCE,
            KEY,
            "Ann",
        ]
        return [*secrets, *NUMBERS, *(number[1:] for number in NUMBERS), *ids, str(message.id)]


async def test_no_event_has_a_private_value(anyio_backend: str, tmp_path: Path) -> None:
    """No event of a whole run shows a secret, a number, a text, a key or an id, in any form."""
    seen = Collected()
    private = await _run(tmp_path, seen)
    kinds = {type(event) for event in seen.events}
    assert len(kinds) >= 6
    shown = "\n".join(
        f"{event!r} {event} {attrs.asdict(event)} {pickle.loads(pickle.dumps(event))}"  # noqa: S301
        for event in seen.events
    )
    assert len(private) > 20
    assert all(private)
    assert [value for value in private if value in shown] == []


@pytest.mark.parametrize("kind", [*Event.__args__, ClientStats], ids=lambda kind: str(kind.__name__))
def test_events_are_frozen_and_small(kind: Any) -> None:
    """An event has slots, cannot be changed, and has only fields of numbers, words and mappings."""
    event = kind(**{field.name: 1 for field in attrs.fields(kind)})
    assert not hasattr(event, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, attrs.fields(kind)[0].name, 2)
    assert all(field.kw_only for field in attrs.fields(kind))
