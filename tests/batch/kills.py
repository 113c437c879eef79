"""A program that kills a batch at random times and runs the batch again.

At the end, the program compares the ledger with the messages that the sandbox accepted. ``python -m
tests.batch.kills BATCHES KILLS SEED`` prints the totals.
"""

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
    """The result of batches that were killed and run again.

    Attributes:
        kills: the number of killed processes.
        duplicates: the number of surplus sends: a message that the sandbox accepted n times counts n - 1.
        unaccounted: the number of messages with a wrong outcome or without an outcome.
        unknown_requests: the number of requests with an unknown outcome.
        unknown: the number of messages with an unknown outcome.
        sent_but_unknown: the number of messages with an unknown outcome that the sandbox accepted.
    """

    kills: int = 0
    duplicates: int = 0
    unaccounted: int = 0
    unknown_requests: int = 0
    unknown: int = 0
    sent_but_unknown: int = 0


async def kill_and_resume(path: Path, kills: int, chance: random.Random) -> Tally:
    """Send one batch of 2,000 messages with one ledger in several processes, and return the result.

    Args:
        path: the path of the ledger file.
        kills: the number of processes to kill. After the last kill, one more process completes the batch.
        chance: the random generator that determines after how many outcomes a process is killed.
    """
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
    """Start the child process, and kill the process after a number of outcomes.

    Args:
        url: the base URL of the sandbox.
        path: the path of the ledger file.
        after: the number of outcomes after which the process is killed.

    Returns:
        True if the process was still running before the kill, otherwise False.
    """
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
    """Compare the outcomes in the ledger with the messages that the sandbox accepted.

    The numbers of duplicates, wrong outcomes and unknown outcomes are stored in `tally`.
    """
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
    """Run several batches, kill each batch several times, and print the totals.

    Args:
        batches: the number of batches to run.
        kills: the number of times that each batch is killed.
        seed: the seed of the random generator for the times of the kills.
        directory: the directory for the ledger files.

    Returns:
        The exit code of the program. The exit code is 0 if no message was sent twice, and each message has a
        correct outcome. The number of requests with an unknown outcome must also be at most the number of
        requests that were in flight at the kills.
    """
    chance = random.Random(seed)
    total = Tally()
    for number in range(batches):
        tally = await kill_and_resume(Path(directory) / f"{number}.db", kills, chance)
        for name, value in attrs.asdict(tally).items():
            setattr(total, name, getattr(total, name) + value)
    print(f"{batches} batches of {len(batch())} messages, {total.kills} kills")
    print(f"surplus sends: {total.duplicates}, messages without a correct outcome: {total.unaccounted}")
    in_flight = CONCURRENCY * total.kills
    print(f"messages with an unknown outcome: {total.unknown}, from {total.unknown_requests} requests")
    print(
        f"unknown messages that were sent: {total.sent_but_unknown}; "
        f"requests in flight at the kills: at most {in_flight}"
    )
    return 1 if total.duplicates or total.unaccounted or total.unknown_requests > in_flight else 0


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(anyio.run(main, int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), scratch))
