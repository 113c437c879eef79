"""A program that kills batches at random times, changes the files of their ledgers, and runs them again.

At the end, the program compares the ledger with the messages that the sandbox accepted. ``python -m
tests.batch.kills BATCHES KILLS SEED`` prints the totals.
"""

import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import attrs
import sniffio

from smsapi_async import Accepted, Message, Outcome, Unknown
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.batch.child import COMPLETE, CONCURRENCY, HALTED, OUTCOME, REFUSED, batch, run_batch
from tests.batch.file_operations import AFTER, DURING, delete_all_during, is_in_use, restore_older_state
from tests.killable import Killable

# A process is killed after some sent messages, or after some time: at its start, during the opening of its
# ledger, or later.
_SENDS = 30
_SECONDS = 0.06
_BY_TIME = 0.4
# The part of the kills after which a run follows during which the files are changed.
_HALTED = 0.3
# The number of batches that `main` runs at the same time.
_AT_ONCE = 4


@attrs.define
class Tally:
    """The result of batches that were killed and run again.

    Attributes:
        kills: the number of killed processes.
        halts: the number of processes that halted because the files of their ledger were changed.
        refusals: the number of processes that were refused, and sent nothing.
        operations: how often each operation on the files was done.
        duplicates: the number of surplus sends: a message that the sandbox accepted n times counts n - 1.
        unaccounted: the number of messages with a wrong outcome or without an outcome.
        unknown_requests: the number of requests with an unknown outcome.
        unknown: the number of messages with an unknown outcome.
        sent_but_unknown: the number of messages with an unknown outcome that the sandbox accepted.
        mistakes: what a process did wrong, for example that it was not refused.
    """

    kills: int = 0
    halts: int = 0
    refusals: int = 0
    operations: Counter[str] = attrs.field(factory=Counter)
    duplicates: int = 0
    unaccounted: int = 0
    unknown_requests: int = 0
    unknown: int = 0
    sent_but_unknown: int = 0
    mistakes: list[str] = attrs.field(factory=list)

    def add(self, other: "Tally") -> None:
        """Add another result."""
        for field in attrs.fields(Tally):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @property
    def interruptions(self) -> int:
        """The number of runs that may have left requests in flight."""
        return self.kills + self.halts

    @property
    def is_right(self) -> bool:
        """Whether no message was sent twice, and each message has a correct outcome."""
        is_wrong = self.duplicates or self.unaccounted or self.mistakes
        return not is_wrong and self.unknown_requests <= CONCURRENCY * self.interruptions


class Runs:
    """Runs of one batch in child processes.

    Args:
        sandbox: the sandbox that accepts the messages.
        chance: the random generator for the times of the kills.
    """

    def __init__(self, sandbox: Sandbox, chance: random.Random) -> None:
        self.sandbox = sandbox
        self.tally = Tally()
        self._chance = chance

    def arrived(self) -> Counter[tuple[str, str]]:
        """Return how often the sandbox accepted each message."""
        return Counter((m.destination_address, m.text) for m in self.sandbox.account.messages)

    def child(self, path: Path, **options: Any) -> Killable:
        """Return a process that runs the batch."""
        backend = sniffio.current_async_library()
        version = 2 if self.sandbox.dialect.version_2 else 1
        return Killable(run_batch, backend, self.sandbox.base_url, path, api_version=version, **options)

    async def killed(self, path: Path) -> None:
        """Run the batch in a process that is killed at a random time, or is complete before."""
        options: dict[str, float] = {"kill_after_sends": self._chance.randint(0, _SENDS)}
        if self._chance.random() < _BY_TIME:
            options = {"kill_after_seconds": self._chance.uniform(0, _SECONDS)}
        with self.child(path, **options) as child:
            end = await _wait(child)
        self.tally.kills += end is None
        if end is not None and end[0] != COMPLETE:
            self._mistake(path, end)

    async def halted(self, path: Path, operation: Any) -> Path:
        """Run the batch, change the files after some sent messages, and wait for the end of the run."""
        with self.child(path) as child:
            end = await _wait(child, self._chance.randint(1, _SENDS))
            if end is None:
                before = {text for _, text in self.arrived()}
                undo = operation(path)
                self.tally.operations[operation.__name__] += 1
                end = await _wait(child)
                after = {text for _, text in self.arrived()}
                # A request that a killed process wrote may arrive late. Each task of this process may have
                # passed its claim before the change, and then sends one request.
                if len(after - before) > 2 * CONCURRENCY:
                    self._mistake(path, ("late", f"{len(after - before)} requests", operation.__name__))
                path = undo()
                self.tally.halts += end is not None and end[0] == HALTED
        if end is None or end[0] == REFUSED:
            self._mistake(path, end)
        return path

    async def refused(self, path: Path, words: str) -> None:
        """Run the batch. The run must be refused with these words.

        If the run sent a message, the message would be a duplicate as soon as the batch continues.
        """
        with self.child(path) as child:
            end = await _wait(child)
        if end is None or end[0] != REFUSED or not re.search(words, end[1]):
            self._mistake(path, ("not refused", words, end))
        self.tally.refusals += 1

    async def complete(self, path: Path, *, accept_copy: bool = False) -> None:
        """Run the batch. The run must not be refused."""
        with self.child(path, accept_copy=accept_copy) as child:
            end = await _wait(child)
        if end is None or end[0] != COMPLETE:
            self._mistake(path, end)

    async def compare(self, path: Path) -> None:
        """Compare the outcomes in the ledger with the messages that the sandbox accepted."""
        arrived, tally = self.arrived(), self.tally
        outcomes: dict[tuple[str, str], Outcome] = {}
        async with Ledger.sqlite(path, read_only=True) as ledger:
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

    def _mistake(self, path: Path, what: object) -> None:
        self.tally.mistakes.append(f"{path.name}, after {dict(self.tally.operations)}: {what}")


async def _wait(child: Killable, sends: float = float("inf")) -> Any:
    """Wait until a process has sent a number of messages, or has ended.

    Returns:
        How the run ended and the text of its error; None if it has not ended, or ended without a word.
    """
    seen = 0
    while seen < sends:
        event = await child.received()
        if event != OUTCOME:
            return event
        seen += 1
    return None


async def kill_and_resume(
    directory: Path, kills: int, chance: random.Random, dialect: Dialect = Dialect.CONTRACT
) -> Tally:
    """Send one batch with one ledger in several processes, and return the result.

    Args:
        directory: an empty directory for the ledger.
        kills: the number of processes to kill. After the last kill, another process completes the batch.
        chance: the random generator that determines when a process is killed, and what is done with the files
            of its ledger.
        dialect: the variations of the gateway. With version 2, the processes use version 2.
    """
    path = directory / "0" / "run.db"
    path.parent.mkdir()
    options: dict[str, Any] = {"login": "sandbox", "password": "sandbox-password", "dialect": dialect}
    async with run_sandbox(balance=10**6, **options) as sandbox:
        runs = Runs(sandbox, chance)
        while runs.tally.kills < kills and not runs.tally.mistakes:
            await runs.killed(path)
            if is_in_use(path):
                operation = chance.choice(AFTER)
                runs.tally.operations[operation.__name__] += 1
                path = await operation(runs, path)
            if chance.random() < _HALTED:
                path = await runs.halted(path, chance.choice(DURING))
        await runs.complete(path)
        path = await restore_older_state(runs, path)
        await runs.compare(path)
        runs.tally.duplicates = sum(count - 1 for count in runs.arrived().values())
    return runs.tally


async def delete_in_mid_run(directory: Path, chance: random.Random) -> Tally:
    """Delete all files of a ledger while its first run sends messages. The run must halt.

    The next run would begin a new ledger, and would send all messages again: the user decided so.
    """
    async with run_sandbox(balance=10**6, login="sandbox", password="sandbox-password") as sandbox:
        runs = Runs(sandbox, chance)
        await runs.halted(directory / "deleted.db", delete_all_during)
    return runs.tally


def _name(message: Message) -> tuple[str, str]:
    return message.destination_address, message.text


async def main(batches: int, kills: int, seed: int, directory: str) -> int:
    """Run several batches, kill each batch several times, and print the totals.

    Args:
        batches: the number of batches to run.
        kills: the number of times that each batch is killed.
        seed: the seed of the random generator.
        directory: the directory for the ledger files.

    Returns:
        The exit code of the program. The exit code is 0 if no message was sent twice, and each message has a
        correct outcome. The number of requests with an unknown outcome must also be at most the number of
        requests that were in flight at the kills.
    """
    total = Tally()
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def run_one(number: int) -> None:
        async with limiter:
            scratch = Path(directory, str(number))
            await anyio.Path(scratch).mkdir()
            chance = random.Random(f"{seed} {number}")
            total.add(await kill_and_resume(scratch, kills, chance))
            total.add(await delete_in_mid_run(scratch, chance))

    async with anyio.create_task_group() as tasks:
        for number in range(batches):
            tasks.start_soon(run_one, number)
    print(f"{batches} batches of {len(batch())} messages, {total.kills} kills, {total.halts} halted")
    print(f"operations on the files: {dict(sorted(total.operations.items()))}")
    print(f"runs that were refused and sent nothing: {total.refusals}")
    print(f"surplus sends: {total.duplicates}, messages without a correct outcome: {total.unaccounted}")
    print(f"messages with an unknown outcome: {total.unknown}, from {total.unknown_requests} requests")
    print(
        f"unknown messages that were sent: {total.sent_but_unknown}; "
        f"requests in flight at the kills: at most {CONCURRENCY * total.interruptions}"
    )
    print(*total.mistakes, sep="\n")
    return 0 if total.is_right else 1


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(anyio.run(main, int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), scratch))
