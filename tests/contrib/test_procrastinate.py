"""Tests of `smsapi_async.contrib.procrastinate`: periodic tasks that send, follow and receive messages."""

import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest

from smsapi_async import AsyncSmsClient, IncomingMessage, ValidationError
from smsapi_async.ledger import DeliverySummary, Ledger, Summary
from smsapi_async.postgres import aenqueue
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.tracking import Delivery
from tests.postgres.server import Server, shared_server, skip_without_server

procrastinate = pytest.importorskip("procrastinate")

from procrastinate.testing import InMemoryConnector  # noqa: E402

from smsapi_async.contrib import procrastinate as contrib  # noqa: E402

pytestmark = pytest.mark.anyio
NUMBER = "79031234567"
TEXT = "The code is 4711"
# The tests add the jobs. By itself, the worker adds a job once a year.
RARELY: dict[str, Any] = {"drain": "0 0 29 2 *", "follow": "0 0 29 2 *", "incoming": "0 0 29 2 *"}


@pytest.fixture
def anyio_backend() -> str:
    """Return the only backend of procrastinate."""
    return "asyncio"


@pytest.fixture
def server() -> Server:
    """Return the server of this process."""
    skip_without_server()
    return shared_server()


@pytest.fixture
def account() -> str:
    """Return the name of a new account."""
    return secrets.token_hex(8)


def client_of(sandbox: Sandbox) -> Callable[..., AsyncSmsClient]:
    """Return the function that the tasks call for a client."""
    return partial(
        AsyncSmsClient, sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="Shop"
    )


def app_with(ticks: Any) -> Any:
    """Return an app with the tasks of a blueprint, whose jobs are in memory."""
    app = procrastinate.App(connector=InMemoryConnector())
    app.add_tasks_from(ticks, namespace="smsapi")
    return app


async def tick(app: Any, name: str) -> None:
    """Add the job of a tick, and run a worker until the queue is empty."""
    await app.tasks[f"smsapi:{name}"].defer_async(timestamp=1)
    await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
    statuses = {job["status"] for job in app.connector.jobs.values()}
    assert statuses == {"succeeded"}


async def enqueue_one(server: Server, account: str) -> None:
    """Enqueue a message in a transaction, as a web backend does."""
    import psycopg  # noqa: PLC0415 - the package may be missing

    from smsapi_async import Message  # noqa: PLC0415

    async with await psycopg.AsyncConnection.connect(server.dsn()) as connection:
        await aenqueue(connection, Message(NUMBER, TEXT, source_address="Shop"), account=account)


async def test_drain_and_follow(
    server: Server, account: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A tick of `drain` sends the pending messages. A tick of `follow` records and passes on the deliveries.

    No job and no log contains a number, a text or the password of the database.
    """
    caplog.set_level("DEBUG")
    monkeypatch.setattr(contrib, "TICK_SECONDS", 20.0)
    deliveries: list[Delivery] = []

    async def on_delivery(delivery: Delivery) -> None:
        deliveries.append(delivery)

    sandbox = Sandbox(journey=lambda *_: [(timedelta(0), 0)])
    async with run_sandbox(sandbox), Ledger.postgres(server.dsn(), account=account) as ledger:
        app = app_with(
            contrib.blueprint(
                server.dsn(), account=account, client=client_of(sandbox), on_delivery=on_delivery,
                per_second=100,
                **RARELY,
            )
        )  # fmt: skip
        await enqueue_one(server, account)
        async with app.open_async():
            await tick(app, "drain")
            assert await ledger.summary() == Summary(accepted=1, segments=1)
            await tick(app, "follow")
        assert await ledger.deliveries_summary() == DeliverySummary(delivered=1)
        assert len(sandbox.account.messages) == 1
    assert [each.is_final for each in deliveries] == [True]
    assert [job["args"] for job in app.connector.jobs.values()] == [{"timestamp": 1}] * 2
    assert app.connector.jobs[1]["queueing_lock"] == f"smsapi drain {account}"
    texts = f"{app.connector.jobs} {caplog.text}"
    assert not any(secret in texts for secret in (NUMBER, TEXT, "s3cret"))


async def test_incoming(server: Server, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick of `incoming` passes on the new messages, and the next tick does not pass them on again."""
    monkeypatch.setattr(contrib, "TICK_SECONDS", 3.0)
    found: list[str] = []

    async def on_incoming(message: IncomingMessage) -> None:
        found.append(message.text)

    async with run_sandbox() as sandbox:
        app = app_with(
            contrib.blueprint(
                server.dsn(), account=account, client=client_of(sandbox), on_incoming=on_incoming, **RARELY
            )
        )
        async with app.open_async():
            await tick(app, "incoming")
            sandbox.receive(NUMBER, text="yes")
            await tick(app, "incoming")
            await tick(app, "incoming")
    assert found == ["yes"]


async def test_another_worker_follows(server: Server, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another worker holds the role, a tick of `follow` ends at once without an error."""
    monkeypatch.setattr(contrib, "_WAIT_FOR_ROLE", 0.1)
    async with (
        run_sandbox() as sandbox,
        Ledger.postgres(server.dsn(), account=account) as ledger,
        ledger.role("follow"),
    ):
        app = app_with(contrib.blueprint(server.dsn(), account=account, client=client_of(sandbox), **RARELY))
        async with app.open_async():
            with anyio.fail_after(10):
                await tick(app, "follow")


async def test_the_ticks_are_periodic(server: Server) -> None:
    """A worker adds the ticks by itself, and never twice while one is waiting."""

    async def handle(_: object) -> None:
        """Do nothing."""

    app = app_with(contrib.blueprint(server.dsn(), on_incoming=handle, drain="* * * * * */5"))
    crons = {each.task.name: each.cron for each in app.periodic_registry.periodic_tasks.values()}
    assert crons == {
        "smsapi:drain": "* * * * * */5",
        "smsapi:follow": "* * * * *",
        "smsapi:incoming": "* * * * *",
    }
    async with app.open_async():
        await app.tasks["smsapi:drain"].defer_async(timestamp=1)
        with pytest.raises(procrastinate.exceptions.AlreadyEnqueued):
            await app.tasks["smsapi:drain"].defer_async(timestamp=2)
    without = app_with(contrib.blueprint(server.dsn()))
    assert "smsapi:incoming" not in without.tasks


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"dsn": ""}, "dsn"),
        ({"account": ""}, "account"),
        ({"client": "client"}, "client"),
        ({"per_second": 0}, "per_second"),
        ({"on_delivery": 1}, "on_delivery"),
        ({"on_incoming": "handler"}, "on_incoming"),
    ],
)
async def test_wrong_arguments(options: dict[str, Any], name: str) -> None:
    """A wrong argument is refused when the blueprint is made, and not by each tick."""
    with pytest.raises(ValidationError, match=name):
        contrib.blueprint(**{"dsn": "postgresql://db.example/shop", **options})


def test_missing_procrastinate() -> None:
    """Without procrastinate, the import of the module says what to install."""
    program = (
        "import sys; sys.modules['procrastinate'] = None\n"
        "try:\n    import smsapi_async.contrib.procrastinate\n"
        "except ModuleNotFoundError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'procrastinate>=3'" in done.stdout


async def test_jobs_in_postgresql(server: Server, account: str) -> None:
    """With a real queue of procrastinate, a worker runs the ticks, and their rows contain only a time."""
    database = f"jobs_{account}"
    server.rows(f"CREATE DATABASE {database}")
    connector = procrastinate.PsycopgConnector(conninfo=server.dsn(database=database))
    app = procrastinate.App(connector=connector)
    async with run_sandbox() as sandbox:
        ticks = contrib.blueprint(server.dsn(), account=account, client=client_of(sandbox), **RARELY)
        app.add_tasks_from(ticks, namespace="smsapi")
        async with Ledger.postgres(server.dsn(), account=account):
            await enqueue_one(server, account)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            for name in ("drain", "follow"):
                await app.tasks[f"smsapi:{name}"].defer_async(timestamp=1)
            await app.run_worker_async(wait=False, install_signal_handlers=False)
        assert len(sandbox.account.messages) == 1
    rows = server.rows("SELECT status::text, args FROM procrastinate_jobs ORDER BY id", database=database)
    assert rows == [("succeeded", {"timestamp": 1})] * 2
