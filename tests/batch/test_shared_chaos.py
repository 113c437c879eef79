"""Tests that run batches and single sends of the same messages at once, through faults and cancellations."""

import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Literal

import anyio
import pytest

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    BatchHalted,
    Message,
    Outcome,
    Receipt,
    RetryPolicy,
    SmsApiError,
    Timeouts,
    Unknown,
)
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.batch.test_send_many import number
from tests.client.tools import client_of_version, port_of
from tests.ledger.tools import PLACES

pytestmark = pytest.mark.anyio
FAULTS = [
    Fault.CLOSE_AFTER_PASS,
    Fault.CLOSE_AFTER_READ,
    Fault.REFUSE,
    Fault.ERROR_500,
    Fault.ERROR_502_AFTER_PASS,
]
COUNT = 24


class _Senders:
    """Senders of the same messages that run at the same time, each with its own order and its own end.

    Attributes:
        outcomes: the outcomes and receipts of all senders.
    """

    def __init__(self, sms: AsyncSmsClient, ledger: Ledger, chance: random.Random) -> None:
        self._sms = sms
        self._ledger = ledger
        self._chance = chance
        self.outcomes: list[Outcome | Receipt] = []
        self.messages = [
            Message(number(index), f"text {index % 3}", source_address="ACME", key=str(index))
            for index in range(COUNT)
        ]

    async def run(self) -> None:
        """Run three batches and 12 single sends, of which some are cancelled."""
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(self._batch, self._some(COUNT), self._chance.choice([1, 2, 30, 99, 99]))
            for message in self._some(12):
                group.start_soon(self._send, message, self._chance.choice([0.005, 60, 60]))

    def _some(self, count: int) -> list[Message]:
        return self._chance.sample(self.messages, count)

    async def _batch(self, messages: list[Message], end: int) -> None:
        """Send a batch, and leave the batch after a number of outcomes."""
        options = {
            "recipients_per_request": self._chance.randint(1, 9),
            "max_in_flight": self._chance.randint(1, 20),
        }
        batch = self._sms.send_many(
            messages, ledger=self._ledger, linger=0.001, grace=1, unknown_limit=4, **options
        )
        try:
            async with batch:
                async for outcome in batch:
                    self.outcomes.append(outcome)
                    end -= 1
                    if not end:
                        break
        except BatchHalted:
            pass
        self.outcomes += batch.unread

    async def _send(self, message: Message, seconds: float) -> None:
        """Send one message, and cancel the call after a time."""
        with anyio.move_on_after(seconds), suppress(SmsApiError):
            receipt = await self._sms.send(
                message.destination_address, message.text, key=message.key, ledger=self._ledger
            )
            self.outcomes.append(receipt)


async def _check(sandbox: Sandbox, ledger: Ledger, senders: _Senders) -> None:
    """Compare the outcomes of all senders, and the ledger, with the messages that the sandbox accepted."""
    sent = {message.destination_address: message.segment_ids for message in sandbox.account.messages}
    assert Counter(message.destination_address for message in sandbox.account.messages) == Counter(
        sent.keys()
    )
    states = dict(
        zip(
            [message.destination_address for message in senders.messages],
            await ledger.states(senders.messages),
            strict=True,
        )
    )
    assert set(states.values()) <= {"accepted", "unknown"}
    assert all(state == "unknown" for address, state in states.items() if address not in sent)
    for outcome in senders.outcomes:
        address = outcome.message.destination_address
        if isinstance(outcome, Unknown):
            assert states[address] == "unknown"
        else:
            assert isinstance(outcome, Accepted | Receipt)
            assert outcome.segment_ids == sent[address]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize(("block", "dialect"), [(0, "contract"), (1, "contract"), (2, "latest")])
async def test_senders_that_share_messages(
    tmp_path: Path, kind: str, anyio_backend: str, block: int, dialect: Literal["contract", "latest"]
) -> None:
    """Whatever breaks, no message is sent twice, nobody waits for ever, and all senders agree in the end."""
    for seed in range(block * 5, block * 5 + 5):
        chance = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        place = PLACES[kind](folder)
        plan = FaultPlan.script([chance.choice([Fault.PASS, *FAULTS]) for _ in range(15)])
        async with (
            run_sandbox(dialect=dialect) as sandbox,
            run_fault_proxy("127.0.0.1", port_of(sandbox), plan) as proxy,
            client_of_version(
                sandbox,
                base_url=proxy.base_url,
                concurrency=4,
                timeouts=Timeouts(connect=1, read=1),
                retry=RetryPolicy(attempts=2, initial=0.001, maximum=0.001),
            ) as sms,
            place() as ledger,
        ):
            senders = _Senders(sms, ledger, chance)
            await senders.run()
            # The last run is complete: no message stays pending.
            for _ in range(20):
                await senders._batch(senders.messages, 99)
                if not (await ledger.summary()).pending:
                    break
            await _check(sandbox, ledger, senders)
