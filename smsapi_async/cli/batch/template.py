"""The text of a batch's messages: a template over the columns. It is data, and nothing in it is evaluated."""

from collections.abc import Collection, Mapping
from string import Formatter
from typing import Self

import attrs

from smsapi_async.errors import ValidationError

_OPTION = "--text"
_NAMES_SHOWN = 30
_LENGTH_SHOWN = 40


def listed(columns: Collection[str]) -> str:
    """The names of columns for an error's line."""
    names = [f"{name[:_LENGTH_SHOWN]!r}" for name in columns if name]
    more = [f"and {len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return ", ".join(names[:_NAMES_SHOWN] + more)


@attrs.frozen
class Template:
    """Literal text and the columns between.

    Attributes:
        parts: literal text and the column that follows it, or None.
    """

    parts: tuple[tuple[str, str | None], ...] = attrs.field(repr=lambda parts: f"<{len(parts)} parts>")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A template such as ``"Hello, {name}!"``; ``{{`` and ``}}`` stand for the braces themselves.

        Raises:
            ValidationError: a brace is single, or something else than a column's name stands in braces.
        """
        try:
            parsed = list(Formatter().parse(text))
        except ValueError:
            raise ValidationError(_OPTION, "a single brace", "write {{ and }} for braces") from None
        parts = []
        for literal, name, specification, conversion in parsed:
            if specification or conversion or (name is not None and not _is_plain(name)):
                hint = "write the name of a column alone, such as {name}; {{ and }} stand for braces"
                raise ValidationError(_OPTION, "what stands in braces", hint)
            parts.append((literal, name))
        return cls(tuple(parts))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it names, each once."""
        return tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def check(self, columns: Collection[str]) -> None:
        """Refuse a column that is not there.

        Raises:
            ValidationError: one is not.
        """
        for name in self.columns:
            if name not in columns:
                raise ValidationError(
                    _OPTION, f"the column {name[:_LENGTH_SHOWN]!r}", f"the columns are {listed(columns)}"
                )

    def fill(self, values: Mapping[str, str]) -> str:
        """The text for one row.

        Raises:
            ValidationError: the row has no value for one of the columns.
        """
        missing = next((name for name in self.columns if name not in values), None)
        if missing is not None:
            raise ValidationError(missing, "a missing value", "give each row all columns of the text")
        return "".join(literal if name is None else literal + values[name] for literal, name in self.parts)


def _is_plain(name: str) -> bool:
    return bool(name.strip()) and not name.isdecimal() and not any(mark in name for mark in ".[]{}")
