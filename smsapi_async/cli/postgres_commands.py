"""The commands under ``postgres`` with their arguments and help texts."""

from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.options import AsJson
from smsapi_async.cli.output import Document
from smsapi_async.postgres.schema import Initialized, create_tables

Dsn = Annotated[
    str,
    Parameter(
        env_var="SMSAPI_POSTGRES_DSN",
        help="The database: a URL such as postgresql://user@host/database, or a connection string of libpq. "
        "Other users of this computer can read a password in an argument; PGPASSWORD and the file .pgpass "
        "avoid this.",
    ),
]

postgres_app = App(name="postgres", help="Prepare a PostgreSQL database for a ledger that many machines use.")


@postgres_app.command(
    name="init",
    help="Create the tables of this package in the schema smsapi, or change the tables of an older version. "
    "If the tables exist already, the command changes nothing.",
)
def postgres_init(dsn: Dsn, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(anyio.to_thread.run_sync, create_tables, dsn),
        document=_init_document,
        view=_init_view,
        as_json=as_json,
    )


def _init_document(done: Initialized) -> Document:
    return {"database": done.name, "version": done.version, "version_before": done.before or None}


def _init_view(done: Initialized) -> RenderableType:
    if done.before == 0:
        return Text(f"the tables of version {done.version} were created in {done.name}")
    if done.before < done.version:
        return Text(f"{done.name} had tables of version {done.before}, and has version {done.version} now")
    return Text(f"{done.name} has tables of version {done.version} already; nothing was changed")
