"""A parsed command: the function that executes the command, and the functions that print the result."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

import attrs
from rich.console import RenderableType

from smsapi_async.cli.exit_codes import CommandFailure
from smsapi_async.cli.options import AccountOptions
from smsapi_async.cli.output import Document
from smsapi_async.client import AsyncSmsClient
from smsapi_async.session import MemorySessionStore, Session

_Result = TypeVar("_Result")


@attrs.frozen(kw_only=True)
class Invocation(Generic[_Result]):
    """A parsed command that can be executed.

    Attributes:
        run: a function that executes the command and returns the result. The result None means that the
            command has already printed its output.
        document: a function that converts the result to JSON data, for programs.
        view: a function that converts the result to tables, for people.
        as_json: whether the JSON data is printed in place of the tables.
        is_stream: whether the command prints many JSON documents, each on one line. An error is then one more
            line.
        failure: a function that gets the result and returns the exit code and the error line, or None if the
            command succeeded.
        sends: whether the command sends messages. The errors of other commands say nothing about sending.
        may_have_sent: a function that returns whether a message may have been sent, called if `run` raises an
            exception.
        backend: the backend that runs the command, ``asyncio`` or ``trio``.
        backend_options: the options of the backend, as `anyio.run` accepts them.
    """

    run: Callable[[], Coroutine[Any, Any, _Result]]
    document: Callable[[_Result], Document] = lambda _: {}
    view: Callable[[_Result], RenderableType] = lambda _: ""
    as_json: bool
    is_stream: bool = False
    failure: Callable[[_Result], CommandFailure | None] = lambda _: None
    sends: bool = False
    may_have_sent: Callable[[], bool] = lambda: False
    backend: str = "asyncio"
    backend_options: Mapping[str, object] = attrs.field(factory=dict)


def uvloop_options() -> dict[str, object]:
    """Return the options of the asyncio backend for a long run: use uvloop if uvloop is installed.

    The extra ``speed`` installs uvloop. Only the command line chooses the event loop. The library always
    runs on the event loop of its caller.
    """
    return {"use_uvloop": find_spec("uvloop") is not None}


class ObservedSessionStore(MemorySessionStore):
    """A session store that remembers whether the client ever saved a session.

    With version 1 of the HTTP API, each send needs a session. If no session was saved, no message can have
    been sent.

    Attributes:
        is_filled: whether the client has ever saved a session.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_filled = False

    async def save(self, session: Session) -> None:
        """Store the session, and set `is_filled`."""
        self.is_filled = True
        await super().save(session)


def gateway_invocation(
    account: AccountOptions,
    call: Callable[[AsyncSmsClient], Awaitable[_Result]],
    document: Callable[[_Result], Document],
    view: Callable[[_Result], RenderableType],
    *,
    as_json: bool,
    sends: bool = False,
) -> Invocation[_Result]:
    """Return a command that opens a client, makes one or a few calls, and closes the client.

    Args:
        account: the options that name the gateway and the account.
        call: a function that gets the open client, makes the calls and returns the result.
        document: a function that converts the result to JSON data.
        view: a function that converts the result to tables.
        as_json: whether the result is printed as JSON.
        sends: whether `call` sends messages, so that an error may leave the outcome of a send unknown.

    Raises:
        ValidationError: if a setting of the account is missing or wrong.
    """
    store = ObservedSessionStore()
    client = account.client(store)

    async def run() -> _Result:
        async with client as sms:
            return await call(sms)

    return Invocation(
        run=run,
        document=document,
        view=view,
        as_json=as_json,
        sends=sends,
        may_have_sent=lambda: sends and (store.is_filled or not account.uses_sessions),
    )
