"""Keeps private values out of the local variables that a traceback shows.

Programs such as Sentry and structlog write the local variables of each frame of a traceback to a log. The
functions of this package hold private values in objects with a masked `repr`. A *sealed* function also clears
the local variables of the frames below it when it raises an exception: a check or a transport must hold the
plain value for a moment.
"""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from types import FrameType
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])
_AsyncFunction = TypeVar("_AsyncFunction", bound=Callable[..., Coroutine[Any, Any, Any]])
HTTP_PACKAGES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "h11"})
"""The names of the packages of the HTTP libraries. This room and the guard look for the names in frames, and
import none of the packages. Both rooms are lower than the room `http`, so the names are here.
"""

# Only frames of these packages are cleared. In Python 3.12 and older, `FrameType.clear` ends a coroutine that
# is not finished, and a traceback may contain a frame of such a coroutine of the caller.
_CLEARED = HTTP_PACKAGES | {"smsapi_async"}


def sealed(function: _Function) -> _Function:
    """Clear the local variables of the function, and of the functions that it called, when it raises.

    Args:
        function: the function to change. A coroutine function needs `sealed_async`.
    """

    @wraps(function)
    def call(*arguments: object, **named: object) -> object:
        try:
            return function(*arguments, **named)
        except BaseException as error:
            clear_frames(error)
            del arguments, named
            raise

    return cast("_Function", call)


def sealed_async(function: _AsyncFunction) -> _AsyncFunction:
    """Change a coroutine function in the same way as `sealed` changes a function.

    Args:
        function: the coroutine function to change.
    """

    @wraps(function)
    async def call(*arguments: object, **named: object) -> object:
        try:
            return await function(*arguments, **named)
        except BaseException as error:
            clear_frames(error)
            del arguments, named
            raise

    return cast("_AsyncFunction", call)


def clear_frames(error: BaseException) -> None:
    """Clear the local variables of the finished frames in the traceback of an exception, and keep the lines.

    The frame of the function that calls this function is not finished, and keeps its local variables.
    """
    traceback = None if error.__traceback__ is None else error.__traceback__.tb_next
    while traceback is not None:
        if _package_of(traceback.tb_frame) in _CLEARED:
            with suppress(RuntimeError):
                traceback.tb_frame.clear()
        traceback = traceback.tb_next


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
