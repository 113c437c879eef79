"""Kill a batch at random moments, take it up again, and hold the ledger against the sandbox's account."""

import random
import sys
from collections import Counter
from pathlib import Path

import anyio
import attrs

from smsapi_async import Accepted, Message, Outcome, Unknown
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.batch.child import CONCURRENCY, batch


@attrs.define
class Tally:
    """What a killed and resumed batch came to."""

    kills: int = 0
    duplicates: int = 0
    unaccounted: int = 0
    unknown_requests: int = 0
    unknown: int = 0
    sent_but_unknown: int = 0


async def kill_and_resume(path: Path, kills: int, chance: random.Random) -> Tally:
    """Run one batch of 2,000 on one ledger, killing it so many times before it may end."""
    tally = Tally()
    async with run_sandbox(balance=10**6, login="sandbox", password="sandbox-password") as sandbox:
        for _ in range(kills):
            tally.kills += await _run_and_kill(sandbox.base_url, path, chance.randint(0, 600))
        await anyio.run_process(_command(sandbox.base_url, path))
        await _compare(sandbox, path, tally)
    return tally


def _command(url: str, path: Path) -> list[str]:
    return [sys.executable, "-m", "tests.batch.child", url, str(path)]


async def _run_and_kill(url: str, path: Path, after: int) -> bool:
    """Kill the child once it has printed so many outcomes; whether it was still running."""
    seen = 0
    async with await anyio.open_process(_command(url, path), stderr=None) as process:
        assert process.stdout is not None
        async for dots in process.stdout:
            seen += len(dots)
            if seen >= after:
                break
        running = process.returncode is None
        if running:
            process.kill()
        await process.wait()
    return running


async def _compare(sandbox: Sandbox, path: Path, tally: Tally) -> None:
    arrived = Counter((m.destination_address, m.text) for m in sandbox.account.messages)
    tally.duplicates = sum(count - 1 for count in arrived.values())
    outcomes: dict[tuple[str, str], Outcome] = {}
    async with Ledger.sqlite(path) as ledger:
        async for recorded in ledger.outcomes():
            outcomes[_name(recorded.message)] = recorded
    unknown_texts = set()
    for message in batch():
        outcome = outcomes.get(_name(message))
        was_sent = arrived[_name(message)] > 0
        if isinstance(outcome, Unknown):
            tally.unknown += 1
            tally.sent_but_unknown += was_sent
            unknown_texts.add(message.text)
        elif not isinstance(outcome, Accepted) or not was_sent:
            tally.unaccounted += 1
    tally.unknown_requests = len(unknown_texts)


def _name(message: Message) -> tuple[str, str]:
    return message.destination_address, message.text


async def main(batches: int, kills: int, seed: int, directory: str) -> int:
    """Run so many batches with so many kills each; print the account of it all."""
    chance = random.Random(seed)
    total = Tally()
    for number in range(batches):
        tally = await kill_and_resume(Path(directory) / f"{number}.db", kills, chance)
        for name, value in attrs.asdict(tally).items():
            setattr(total, name, getattr(total, name) + value)
    print(f"{batches} batches of {len(batch())} messages, {total.kills} kills")
    print(f"duplicates: {total.duplicates}, unaccounted: {total.unaccounted}")
    in_flight = CONCURRENCY * total.kills
    print(f"unknown: {total.unknown} messages of {total.unknown_requests} requests")
    print(
        f"of the unknown had been sent: {total.sent_but_unknown}; in flight at the kills: at most {in_flight}"
    )
    return 1 if total.duplicates or total.unaccounted or total.unknown_requests > in_flight else 0


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(anyio.run(main, int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), scratch))
