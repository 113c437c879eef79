"""Measures workers that share a PostgreSQL ledger, and what the ledger costs. See also ``outbox``.

The benchmark starts a PostgreSQL server that waits for the disk at each commit. Each worker is a process. All
processes may use all cores, so PostgreSQL, the gateway and the workers compete for the cores of the machine.
"""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import attrs

from benchmarks import server
from benchmarks.batches import TEXT, send_many
from benchmarks.contenders import client
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate
from smsapi_async import AsyncSmsClient, Message
from smsapi_async.ledger import Ledger
from smsapi_async.postgres import Shared, enqueue
from tests.postgres.server import new_server

WORKERS = (1, 2, 4)
LATENCY = 0.05
# With 50 ms of latency, one worker at its default concurrency sends about 200 requests in a second.
ONE_TEXT, DIFFERENT_TEXTS, DIFFERENT_AFTER_LATENCY = 100_000, 10_000, 2_000
IN_LEDGER = 20_000
SPEED_UP = 2.0
RATE = "messages/s"
_SQLITE, _POSTGRES = "SQLite", "PostgreSQL"
_ROWS_PER_INSERT = 2_000

Make = Callable[[int], Message]


def _one_text(number: int) -> Message:
    return Message(f"7903{number:07}", TEXT, source_address="ACME")


def _different_text(number: int) -> Message:
    return Message(f"7903{number:07}", f"Ваш код: {number}", source_address="ACME")


@attrs.frozen
class _Case:
    """One column of the table of workers."""

    name: str
    make: Make
    count: int
    is_slow: bool


CASES = (
    _Case("one text", _one_text, ONE_TEXT, is_slow=False),
    _Case("different", _different_text, DIFFERENT_TEXTS, is_slow=False),
    _Case("one, 50 ms", _one_text, ONE_TEXT, is_slow=True),
    _Case("different, 50 ms", _different_text, DIFFERENT_AFTER_LATENCY, is_slow=True),
)


@contextmanager
def _postgres() -> Iterator[str]:
    """Run a PostgreSQL server that waits for the disk at each commit, and yield the URL of its database."""
    postgres, keeper = new_server("durable")
    try:
        yield postgres.dsn()
    finally:
        keeper.communicate("")


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let this process and its new child processes run on all cores during the block."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _connected(dsn: str) -> Any:  # noqa: ANN401 - psycopg may be missing
    import psycopg  # noqa: PLC0415

    return closing(psycopg.connect(dsn))


async def _create_account(dsn: str, account: str) -> None:
    async with Ledger.postgres(dsn, account=account):
        pass


def _enqueue_all(dsn: str, account: str, make: Make, count: int) -> None:
    asyncio.run(_create_account(dsn, account))
    messages = map(make, range(count))
    with _connected(dsn) as connection:
        while some := list(islice(messages, _ROWS_PER_INSERT)):
            enqueue(connection, some, account=account)
            connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _throughput(dsn: str, url: str, workers: int, case: _Case, count: int) -> float:
    """Return the messages per second that a number of workers send from a full queue."""
    account = secrets.token_hex(8)
    _enqueue_all(dsn, account, case.make, count)
    sent, seconds = _together([[dsn, account, url]] * workers)
    assert sent == count
    return count / seconds


def _together(arguments: Sequence[Sequence[str]]) -> tuple[int, float]:
    """Run processes of this module that begin at the same time.

    Args:
        arguments: the command-line arguments of each process.

    Returns:
        The sum of the numbers that the processes print, and the seconds until the last number.
    """
    command = [sys.executable, "-m", "benchmarks.machines"]
    processes = [
        subprocess.Popen([*command, *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        for each in arguments
    ]
    for process in processes:
        assert _line_of(process) == "ready"
    begin = perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    total = sum(int(_line_of(process)) for process in processes)
    seconds = perf_counter() - begin
    for process in processes:
        process.communicate()
    return total, seconds


def _line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def work(dsn: str, account: str, url: str) -> None:
    """Be one worker: wait for a line on standard input, send all pending messages, and print their number."""
    async with (
        Shared.postgres(dsn, account=account) as shared,
        AsyncSmsClient(
            "login", "password", base_url=url, source_address="ACME", session_store=shared.sessions
        ) as sms,
    ):
        await sms.send("79990000000", "warm")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        summary = await sms.send_pending(shared.ledger, once=True)
        print(summary.accepted, flush=True)


def _workers(dsn: str, url: str, options: Options) -> Table:
    rounds = min(options.rounds, 3)
    table = Table(
        "Workers that share a PostgreSQL ledger, gateway at once and after 50 ms", RATE, reference=_name(1)
    )
    with server.running(LATENCY) as slow_url, _all_cores():
        for case in CASES:
            address = slow_url if case.is_slow else url
            count = case.count // options.scale
            runs = {
                _name(workers): partial(_throughput, dsn, address, workers, case, count)
                for workers in WORKERS
            }
            for name, figures in alternate(runs, rounds).items():
                table.add(name, case.name, figures)
    column = CASES[-1].name
    ratio = table.ratio(_name(WORKERS[-1]), column) or 0.0
    table.goals.append(Goal(f"{_name(WORKERS[-1])} / {_name(1)}, {column}", ratio, SPEED_UP, "x"))
    table.notes.append(
        "Each worker is a process with the default concurrency, and has logged in before the measurement. One"
        f" text goes to 500 recipients in a request. This machine has {os.cpu_count()} cores for the workers,"
        " PostgreSQL and the gateway together."
    )
    return table


def _name(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"


async def _send(url: str, ledger: Ledger, make: Make, count: int) -> tuple[float, float]:
    async with client(url, "asyncio") as sms, ledger:
        await send_many(sms, [Message("79990000000", "warm")], None)
        watch = Stopwatch()
        await send_many(sms, map(make, range(count)), ledger)
        return watch.wall / count * 1e6, watch.cpu / count * 1e6


def _in_sqlite(url: str, make: Make, count: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="smsapi-benchmark-") as directory:
        return asyncio.run(_send(url, Ledger.sqlite(Path(directory, "ledger.db")), make, count))


def _in_postgres(dsn: str, url: str, make: Make, count: int) -> tuple[float, float]:
    return asyncio.run(_send(url, Ledger.postgres(dsn, account=secrets.token_hex(8)), make, count))


def _ledgers(dsn: str, url: str, options: Options) -> Table:
    table = Table("A batch with a ledger, cost a message", "us", reference=_SQLITE, higher_is_better=False)
    count = IN_LEDGER // options.scale
    with _all_cores():
        for name, make in {"one text": _one_text, "different": _different_text}.items():
            runs = {
                _SQLITE: partial(_in_sqlite, url, make, count),
                _POSTGRES: partial(_in_postgres, dsn, url, make, count),
            }
            for ledger, figures in alternate(runs, options.rounds).items():
                table.add(ledger, f"{name}, time", [wall for wall, _ in figures])
                table.add(ledger, f"{name}, CPU", [cpu for _, cpu in figures])
    table.notes.append("The CPU time is that of the sending process, without the PostgreSQL server.")
    return table


def run(url: str, options: Options) -> list[Table]:
    """Measure the throughput of several workers, and the cost of the ledger."""
    with _all_cores(), _postgres() as dsn:
        return [_workers(dsn, url, options), _ledgers(dsn, url, options)]


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
