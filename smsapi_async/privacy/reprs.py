"""A `repr` that never raises an error: a traceback with local variables calls `repr` of each value."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

_Class = TypeVar("_Class", bound=type[Any])


def steady_repr(cls: _Class) -> _Class:
    """Change the `repr` of a class so that it names only the class if the object is not complete.

    An object is not complete if its constructor raised an error, or if it was made without its constructor.

    Args:
        cls: the class to change.
    """
    complete = cast("Callable[[object], str]", cls.__repr__)

    @wraps(complete)
    def __repr__(self: object) -> str:  # noqa: N807 - this function becomes the method
        try:
            return complete(self)
        except Exception:  # noqa: BLE001 - a value of the caller may raise any error
            return f"<incomplete {type(self).__name__}>"

    cls.__repr__ = __repr__  # type: ignore[assignment]
    return cls
