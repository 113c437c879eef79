"""A program that sends batches through a fault proxy.

The program compares the outcomes with the messages that the sandbox accepted. ``python -m tests.batch.chaos
--scripts 2000`` runs 2,000 random scripts and prints the totals. With ``--variant "version 2"``, each request
contains the login and the password.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

import anyio
import attrs

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    BatchHalted,
    Message,
    Outcome,
    Rejected,
    RetryPolicy,
    Timeouts,
    Unknown,
)
from smsapi_async.http.choice import Kind
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.ledger.tools import PLACES, Place
from tests.variants import VARIANTS, Variant

TIMEOUTS = Timeouts(connect=0.15, read=0.15)
RETRY = RetryPolicy(attempts=2, initial=0.001, maximum=0.001)
RUNS = 40
FAULTS = [fault for fault in Fault if fault not in {Fault.SLOW_BYTES, Fault.LATE_ANSWER}]
"""The faults that a script may use: all kinds except `SLOW_BYTES` and `LATE_ANSWER`.

`SLOW_BYTES` makes a script slower and does not break an exchange. With `LATE_ANSWER`, a response can arrive
after the client has written the next request. An HTTP/1.1 client cannot detect that this response belongs to
the earlier request. ``tests/client/test_proof.py`` tests a late response that arrives before the next
request.
"""
VERSION_1 = VARIANTS["version 1"]
_LOCAL_TIME = datetime(2030, 1, 28, 9, 0)  # noqa: DTZ001 - the local time of each recipient


@attrs.define
class Report:
    """The totals of several scripts. A script is one batch with its own fault plan.

    Attributes:
        scripts: the number of scripts that ran.
        messages: the number of messages in these scripts.
        requests: the number of requests that arrived at the sandbox, over all scripts.
        runs: the number of batch runs. A script with a ledger may need several runs.
        duplicates: the number of messages that the sandbox accepted more than once.
        lost: the number of messages with a wrong outcome or without an outcome.
        accepted: the number of messages with the outcome `Accepted`.
        rejected: the number of messages with the outcome `Rejected`.
        unknown: the number of messages with the outcome `Unknown`.
        faults: a dictionary from the name of each fault to the number of requests with this fault.
    """

    scripts: int = 0
    messages: int = 0
    requests: int = 0
    runs: int = 0
    duplicates: int = 0
    lost: int = 0
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    faults: dict[str, int] = attrs.field(factory=dict)


class Disagreement(AssertionError):
    """Raised if the outcome of a message does not agree with the messages that the sandbox accepted."""


def batch_of(texts: Sequence[str], bad: Sequence[int] = (), variant: Variant = VERSION_1) -> list[Message]:
    """Return a batch with one message for each text, in which each message has its own recipient.

    Args:
        texts: the texts of the messages.
        bad: the indexes of the messages that the gateway must refuse.
        variant: the variant of the interface, which decides whether the messages have a local time.
    """
    send_date = _LOCAL_TIME if variant.local_bulks else None
    return [
        Message(
            f"790{index:05}{'806' if index in bad else '012'}",
            text,
            send_date=send_date,
            by_time_zone=variant.local_bulks,
            key=f"key-{index}",
        )
        for index, text in enumerate(texts)
    ]


def compare(batch: Sequence[Message], outcomes: dict[str, Outcome], sandbox: Sandbox, report: Report) -> None:
    """Compare the outcome of each message with the messages that the sandbox accepted.

    Args:
        batch: the messages of the batch that was sent.
        outcomes: a dictionary from the key of each message to the outcome of the message.
        sandbox: the sandbox that received the batch.
        report: the totals, to which the function adds the numbers of this batch.

    Raises:
        Disagreement: if the sandbox accepted a message twice, or if the outcome of a message is wrong.
    """
    for message in batch:
        outcome = outcomes.get(message.key or "")
        accepted = sandbox.account.sent_to(message.destination_address)
        if len(accepted) > 1:
            report.duplicates += 1
            raise Disagreement(f"the sandbox accepted a message {len(accepted)} times: {message}")
        right = (Accepted, Unknown) if accepted else (Rejected, Unknown, type(None))
        if not isinstance(outcome, right):
            report.lost += 1
            raise Disagreement(
                f"the sandbox accepted a message {len(accepted)} times, "
                f"but its outcome is {outcome!r}: {message}"
            )
        if (
            isinstance(outcome, Accepted)
            and not outcome.unattributed
            and outcome.segment_ids != accepted[0].segment_ids
        ):
            raise Disagreement(f"the outcome has the segment ids of another message: {outcome!r}")
        report.accepted += isinstance(outcome, Accepted)
        report.rejected += isinstance(outcome, Rejected)
        report.unknown += isinstance(outcome, Unknown)


async def run_script(
    batch: Sequence[Message],
    plan: FaultPlan,
    report: Report,
    place: Place | None = None,
    unknown_limit: int = 1000,
    transport: Kind | None = None,
    variant: Variant = VERSION_1,
) -> None:
    """Send a batch through a fault proxy, and compare the outcomes with the messages the sandbox accepted.

    Args:
        batch: the messages to send.
        plan: the plan that determines the fault of each request through the proxy.
        report: the totals, to which the function adds the numbers of this batch.
        place: the place of the ledger. With a ledger, the batch is repeated until the batch is complete. None
            means one run without a ledger.
        unknown_limit: the number of successive requests with an unknown outcome after which a batch halts.
        transport: the name of the HTTP transport. None means that the client chooses the HTTP transport.
        variant: the variant of the interface.

    Raises:
        Disagreement: if the sandbox accepted a message twice, if an outcome is wrong or missing, or if the
            batch is not complete after the last run.
    """
    outcomes: dict[str, Outcome] = {}
    async with run_sandbox(dialect=variant.dialect) as sandbox:
        port = int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0])
        async with run_fault_proxy("127.0.0.1", port, plan, idle_delay=0.001) as proxy:
            for _ in range(RUNS if place is not None else 1):
                report.runs += 1
                sms = _client(sandbox, proxy.base_url, transport, variant)
                done = await _run(batch, sms, outcomes, place, unknown_limit)
                compare(batch, outcomes, sandbox, report if done or place is None else Report())
                if done and len(outcomes) != len(batch):
                    report.lost += len(batch) - len(outcomes)
                    raise Disagreement(
                        f"the batch is complete, but {len(batch) - len(outcomes)} messages have no outcome"
                    )
                if done:
                    break
            for entry in proxy.history:
                name = Fault(entry[2]).value
                report.faults[name] = report.faults.get(name, 0) + 1
        report.requests += sandbox.account.count()
    report.scripts += 1
    report.messages += len(batch)
    if place is not None and not done:
        raise Disagreement(f"the batch is not complete after {RUNS} runs")


def _client(sandbox: Sandbox, base_url: str, transport: Kind | None, variant: Variant) -> AsyncSmsClient:
    return AsyncSmsClient(
        sandbox.login,
        sandbox.password,
        source_address="ACME",
        base_url=base_url,
        timeouts=TIMEOUTS,
        retry=RETRY,
        concurrency=3,
        transport=transport,
        **variant.options,
    )


async def _run(
    batch: Sequence[Message],
    sms: AsyncSmsClient,
    outcomes: dict[str, Outcome],
    place: Place | None,
    unknown_limit: int,
) -> bool:
    """Run the batch once, and return True if the batch is complete, or False if the batch halted."""
    options = {"recipients_per_request": 5, "unknown_limit": unknown_limit, "linger": 0.001}
    async with sms:
        try:
            if place is None:
                async with sms.send_many(batch, **options) as results:  # type: ignore[arg-type]
                    async for outcome in results:
                        outcomes[_key(outcome)] = outcome
            else:
                async with (
                    place() as ledger,
                    sms.send_many(batch, ledger=ledger, **options) as results,  # type: ignore[arg-type]
                ):
                    async for outcome in results:
                        outcomes[_key(outcome)] = outcome
        except BatchHalted as halted:
            if place is None and halted.pending != len(batch) - len(outcomes):
                raise Disagreement(
                    f"`BatchHalted.pending` is {halted.pending}, but {len(outcomes)} messages have an outcome"
                ) from halted
            return False
    return True


def _key(outcome: Outcome) -> str:
    assert outcome.message.key is not None
    return outcome.message.key


def resource_of(variant: Variant, resource: str | None) -> str | None:
    """Return the resource of a variant that does what a resource of version 1 does; None if there is none."""
    if variant.local_bulks:
        local = {"Sms/Send": "Sms/SendByTimeZone", "Sms/SendBulk": "Sms/SendByTimeZoneToAddresses"}
        resource = local.get(resource or "", resource)
    has_no_login = variant.options.get("api_version") == 2 and resource == "user/sessionid"
    return None if has_no_login else resource


def random_script(seed: int, variant: Variant = VERSION_1) -> tuple[list[Message], FaultPlan, int]:
    """Return a random batch, a random fault plan and a random `unknown_limit`.

    Two calls with equal arguments return equal batches, equal plans and equal limits.
    """
    chance = random.Random(seed)
    size = chance.randint(1, 30)
    texts = [chance.choice(["one", "two", "three", f"text {index}"]) for index in range(size)]
    bad = [index for index in range(size) if chance.random() < 0.05]
    faults = [chance.choice([Fault.PASS, *FAULTS]) for _ in range(chance.randint(0, 15))]
    resource = resource_of(variant, chance.choice([None, "Sms/Send", "Sms/SendBulk", "user/sessionid"]))
    plan = FaultPlan.script(faults, resource=resource)
    return batch_of(texts, bad, variant), plan, chance.choice([1, 3, 1000])


async def main(scripts: int, first_seed: int, transport: Kind | None, variant: str, ledger: str) -> int:
    """Run one script (batch with faults) for each seed, every second script with a ledger; print the totals.

    Args:
        scripts: the number of scripts to run.
        first_seed: the random seed of the first script. The seed of each next script is higher by 1.
        transport: the name of the HTTP transport of all clients. None means that each client chooses.
        variant: the name of the variant of the interface.
        ledger: the implementation of the ledger; a key of `PLACES`.

    Returns:
        The exit code of the program: 0 if all outcomes are correct, otherwise 1.
    """
    report = Report()
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(first_seed, first_seed + scripts):
            batch, plan, limit = random_script(seed, VARIANTS[variant])
            folder = Path(directory) / str(seed)
            folder.mkdir()
            place = PLACES[ledger](folder) if seed % 2 else None
            try:
                await run_script(batch, plan, report, place, limit, transport, VARIANTS[variant])
            except Disagreement as error:
                print(f"seed {seed}: {error}", file=sys.stderr)
    faults = ", ".join(f"{name} {count}" for name, count in sorted(report.faults.items()))
    print(
        f"{report.scripts} scripts in {report.runs} runs, "
        f"{report.messages} messages, {report.requests} requests"
    )
    print(f"accepted {report.accepted}, rejected {report.rejected}, unknown {report.unknown}")
    print(f"{variant}; transport: {transport or 'the default transport'}; faults: {faults}")
    print(f"messages accepted twice: {report.duplicates}, messages without a correct outcome: {report.lost}")
    return 1 if report.duplicates or report.lost or report.scripts < scripts else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--transport", choices=get_args(Kind), default=None)
    parser.add_argument("--variant", choices=list(VARIANTS), default="version 1")
    parser.add_argument("--ledger", choices=list(PLACES), default="sqlite")
    given = parser.parse_args()
    sys.exit(
        anyio.run(
            main,
            given.scripts,
            given.seed,
            given.transport,
            given.variant,
            given.ledger,
            backend=given.backend,
        )
    )
