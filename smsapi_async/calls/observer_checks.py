"""Checks the observers of a client."""

import inspect
from collections.abc import Iterable
from typing import Any

from smsapi_async.errors import ValidationError
from smsapi_async.observers import Observer
from smsapi_async.privacy import type_name

_FUNCTION = "pass a function with one parameter, the event"
_LIST = "pass a list of functions with one parameter, the event"


def checked_observers(observers: object) -> tuple[Observer, ...]:
    """Check and return the observers of a client; None means that there are none.

    Raises:
        ValidationError: if the observers are no iterable, or one of them cannot be called with an event.
    """
    if observers is None:
        return ()
    if callable(observers) or isinstance(observers, str | bytes) or not isinstance(observers, Iterable):
        raise ValidationError("observers", type_name(observers), _LIST)
    checked = tuple(observers)
    for index, observer in enumerate(checked):
        hint = _hint_for(observer)
        if hint is not None:
            raise ValidationError(f"observers[{index}]", type_name(observer), hint)
    return checked


def _hint_for(observer: Any) -> str | None:  # noqa: ANN401 - the caller may pass any object
    """Return what to pass in place of an object that is no observer; None if it is an observer."""
    if not callable(observer):
        return _FUNCTION
    if inspect.isclass(observer):
        return "pass an object of this class, and not the class"
    # Nobody would await or iterate over the result.
    if any(map(_is_not_plain, (observer, getattr(observer, "__call__", None)))):  # noqa: B004
        return "pass a plain function: `def` without `async` and without `yield`"
    try:
        inspect.signature(observer).bind(None)
    except TypeError:
        return _FUNCTION
    except ValueError:
        # Some functions that are written in C have no signature.
        return None
    return None


def _is_not_plain(function: object) -> bool:
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
        or inspect.isgeneratorfunction(function)
    )
