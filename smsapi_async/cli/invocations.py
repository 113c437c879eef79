"""What a command is, once its arguments are understood: something to carry out, and how to print it."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

import attrs
from rich.console import RenderableType

from smsapi_async.cli.exit_codes import CommandFailure
from smsapi_async.cli.options import Connection
from smsapi_async.cli.output import Document
from smsapi_async.client import AsyncSmsClient
from smsapi_async.session import MemorySessionStore, Session

_Result = TypeVar("_Result")


@attrs.frozen(kw_only=True)
class Invocation(Generic[_Result]):
    """A command to carry out.

    Attributes:
        run: carries it out; None means that it has printed what there was to say.
        document: the result for programs.
        view: the result for people.
        as_json: which of the two is printed.
        failure: the exit code of the result, and a line for standard error; None means that all is well.
        may_have_sent: asked when the job ends without a result: whether a message may be on its way.
        backend: the event loop it runs on.
        backend_options: AnyIO's options for that loop.
    """

    run: Callable[[], Coroutine[Any, Any, _Result]]
    document: Callable[[_Result], Document] = lambda _: {}
    view: Callable[[_Result], RenderableType] = lambda _: ""
    as_json: bool
    failure: Callable[[_Result], CommandFailure | None] = lambda _: None
    may_have_sent: Callable[[], bool] = lambda: False
    backend: str = "asyncio"
    backend_options: Mapping[str, object] = attrs.field(factory=dict)


def fastest_loop() -> dict[str, object]:
    """The options of a long run on asyncio: uvloop, where the extra ``speed`` brought it.

    Only the command line does this, whose loop it is; the library runs on whatever loop its caller chose.
    """
    return {"use_uvloop": find_spec("uvloop") is not None}


class ObservedSessionStore(MemorySessionStore):
    """Knows whether there was a session yet: without one, no message can have been written.

    Attributes:
        is_filled: whether there was one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_filled = False

    async def save(self, session: Session) -> None:
        """Keep it, and remember that there was one."""
        self.is_filled = True
        await super().save(session)


def gateway_invocation(
    connection: Connection,
    call: Callable[[AsyncSmsClient], Awaitable[_Result]],
    document: Callable[[_Result], Document],
    view: Callable[[_Result], RenderableType],
    *,
    as_json: bool,
    sends: bool = False,
) -> Invocation[_Result]:
    """A job that is one call, or a few, on the account of a gateway.

    Raises:
        ValidationError: the connection's settings are missing or wrong.
    """
    store = ObservedSessionStore()
    client = connection.client(store)

    async def run() -> _Result:
        async with client as sms:
            return await call(sms)

    return Invocation(
        run=run,
        document=document,
        view=view,
        as_json=as_json,
        may_have_sent=lambda: sends and store.is_filled,
    )
