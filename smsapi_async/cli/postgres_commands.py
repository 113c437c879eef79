"""The commands under ``postgres``, and the command ``worker``, with their arguments and help texts."""

from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from smsapi_async.cli import options
from smsapi_async.cli.invocations import Invocation, uvloop_options
from smsapi_async.cli.ledger_places import split_account
from smsapi_async.cli.options import ENVIRONMENT, AccountOptions, AsJson
from smsapi_async.cli.output import Document
from smsapi_async.cli.postgres_views import QueueStatus, pause_document, pause_words, queue_of
from smsapi_async.cli.worker_run import WorkerPlan, WorkerResult, run_worker
from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.queue import Pause
from smsapi_async.postgres.schema import Initialized, account_names, create_tables
from smsapi_async.settings import CONCURRENCY

Dsn = Annotated[
    str,
    Parameter(
        env_var="SMSAPI_POSTGRES_DSN",
        help="The database: a URL such as postgresql://user@host/database, or a connection string of libpq. "
        "Other users of this computer can read a password in an argument; PGPASSWORD and the file .pgpass "
        "avoid this.",
    ),
]
AccountName = Annotated[
    str | None,
    Parameter(
        name="--account",
        help="The name of the account in the tables of the database. Default: main.",
    ),
]
_LAST_PORT = 65535

WebRole = Annotated[
    str | None,
    Parameter(
        help="Let this role of PostgreSQL enqueue messages, and do nothing else: the role for a web "
        "application. The role can add an account, and learns whether a key is in use. If the role does not "
        "exist, the command creates the role, without a password.",
    ),
]

postgres_app = App(name="postgres", help="Manage a PostgreSQL database with a ledger that many machines use.")


@postgres_app.command(
    name="init",
    help="Create the tables of this package in the schema smsapi, or change the tables of an older version. "
    "If the tables exist already, the command changes no table.",
)
def postgres_init(dsn: Dsn, /, *, web_role: WebRole = None, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(anyio.to_thread.run_sync, partial(create_tables, dsn, web_role=web_role)),
        document=_init_document,
        view=_init_view,
        as_json=as_json,
    )


def _init_document(done: Initialized) -> Document:
    document: Document = {
        "database": done.name,
        "version": done.version,
        "version_before": done.before or None,
    }
    if done.web_role is not None:
        return {**document, "web_role": done.web_role, "web_role_created": done.is_new_role}
    return document


def _init_view(done: Initialized) -> RenderableType:
    return Text("\n".join([_tables_line(done), *_role_lines(done)]))


def _tables_line(done: Initialized) -> str:
    if done.before == 0:
        return f"the tables of version {done.version} were created in {done.name}"
    if done.before < done.version:
        return f"{done.name} had tables of version {done.before}, and has version {done.version} now"
    return f"{done.name} has tables of version {done.version} already; nothing was changed"


def _role_lines(done: Initialized) -> list[str]:
    if done.web_role is None:
        return []
    created = f"the role {done.web_role} was created without a password"
    return [*([created] if done.is_new_role else []), f"the role {done.web_role} may enqueue messages"]


@postgres_app.command(
    name="status",
    help="Show whether the account is paused, and how many messages are in the queue and in each state. The "
    "command reads all messages of the account.",
)
def postgres_status(dsn: Dsn, /, *, account: AccountName = None, as_json: AsJson = False) -> Invocation[Any]:
    dsn, name = split_account(dsn, account)

    async def run() -> QueueStatus:
        async with Ledger.postgres(dsn, account=name, read_only=True) as ledger:
            queue = queue_of(ledger)
            return QueueStatus(name, await queue.paused(), await queue.queued(), await ledger.summary())

    return Invocation(run=run, document=QueueStatus.document, view=QueueStatus.view, as_json=as_json)


async def _check_account(dsn: str, name: str) -> None:
    """Check that an account exists. A ledger that may write would create an account with a misspelt name.

    Raises:
        LedgerError: if there is no account with this name.
    """
    async with Ledger.postgres(dsn, account=name, read_only=True):
        pass


@postgres_app.command(
    name="resume",
    help="End the pause of an account, so that the workers of all machines go on. First remove the cause of "
    "the pause.",
)
def postgres_resume(dsn: Dsn, /, *, account: AccountName = None, as_json: AsJson = False) -> Invocation[Any]:
    dsn, name = split_account(dsn, account)

    async def run() -> tuple[Pause | None]:
        await _check_account(dsn, name)
        async with Ledger.postgres(dsn, account=name) as ledger:
            # The result None would mean that the command has printed its output.
            return (await queue_of(ledger).resume(),)

    return Invocation(
        run=run,
        document=lambda ended: {"account": name, "resumed": ended[0] is not None, **pause_document(ended[0])},
        view=lambda ended: Text(_resumed(name, ended[0])),
        as_json=as_json,
    )


def _resumed(name: str, ended: Pause | None) -> str:
    if ended is None:
        return f"the account {name} was not paused"
    return f"the account {name} is not paused any more; it was {pause_words(ended)}"


@postgres_app.command(
    name="fence",
    help="Make all pending messages and all messages in flight unknown, so that no worker sends them. Run "
    "the command after a standby was promoted or a backup was restored, before the workers start: such a "
    "database may have lost the record of its last sends. Then use `smsapi-async ledger unknown`. "
    "Default: all accounts.",
)
def postgres_fence(dsn: Dsn, /, *, account: AccountName = None, as_json: AsJson = False) -> Invocation[Any]:
    dsn, name = split_account(dsn, account, default=None)

    async def run() -> dict[str, int]:
        if name is not None:
            await _check_account(dsn, name)
        names = [name] if name is not None else await anyio.to_thread.run_sync(account_names, dsn)
        fenced = {}
        for each in names:
            async with Ledger.postgres(dsn, account=each) as ledger:
                fenced[each] = await queue_of(ledger).fence()
        return fenced

    return Invocation(
        run=run,
        document=lambda fenced: {"messages": sum(fenced.values()), "accounts": fenced},
        view=lambda fenced: Text(f"{sum(fenced.values())} messages are unknown now"),
        as_json=as_json,
    )


def worker(
    dsn: Dsn,
    /,
    *,
    name: AccountName = None,
    per_second: Annotated[
        float | None,
        Parameter(
            help="The highest number of requests per second of all workers together. Pass the same number to "
            "each worker. Default: no limit."
        ),
    ] = None,
    concurrency: Annotated[
        int, Parameter(help="The highest number of requests in flight at the same time.")
    ] = CONCURRENCY,
    once: Annotated[
        bool, Parameter(negative="", help="End when no message is due, for example for cron.")
    ] = False,
    livez_port: Annotated[
        int | None,
        Parameter(
            help="The port of the health check, on all network interfaces. The answer to each request is 200 "
            "while the worker looks at its queue, also if it waits for a server, and otherwise 503."
        ),
    ] = None,
    livez_file: Annotated[
        str | None,
        Parameter(
            help="A file that the worker writes each time it looks at its queue, at most once a second. If "
            "the file is older than 30 seconds, the worker is not alive."
        ),
    ] = None,
    account: AccountOptions = ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    """Return the invocation of a worker.

    Raises:
        ValidationError: if an option is wrong.
    """
    dsn, in_tables = split_account(dsn, name)
    if per_second is not None:
        options.check_seconds("--per-second", per_second)
    if livez_port is not None and not 1 <= livez_port <= _LAST_PORT:
        raise ValidationError("--livez-port", str(livez_port), f"pass a number from 1 to {_LAST_PORT}")
    plan = WorkerPlan(
        dsn=dsn,
        name=in_tables,
        account=account,
        per_second=per_second,
        concurrency=concurrency,
        once=once,
        livez_port=livez_port,
        livez_file=livez_file,
    )
    shared = plan.shared()
    return Invocation(
        run=partial(run_worker, plan, shared, plan.client(shared)),
        document=WorkerResult.document,
        view=lambda result: Text(result.sentence()),
        as_json=as_json,
        failure=WorkerResult.failure,
        sends=True,
        backend_options=uvloop_options(),
    )
