"""Builds events in a quarter of the time of their constructors.

The constructor of a frozen class calls `object.__setattr__` for each field. Each request has two events, and
an observer must cost little.
"""

from typing import Any

import attrs


def open_twin(kind: type) -> type[Any]:
    """Return a class with the slots of a frozen class, whose objects can be changed.

    The caller sets each field of an object, and then changes the class of the object to the frozen class.

    Args:
        kind: a frozen class of attrs with slots, without ``__weakref__``, validators and converters.
    """
    return type(f"Open{kind.__name__}", (), {"__slots__": tuple(field.name for field in attrs.fields(kind))})
