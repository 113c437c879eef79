"""The template for the texts of a batch. Column values are inserted; no expression is evaluated."""

from collections.abc import Collection, Mapping
from string import Formatter
from typing import Self

import attrs

from smsapi_async.errors import ValidationError

_OPTION = "--text"
# An error line shows at most 30 column names, and 40 characters of each name.
_NAMES_SHOWN = 30
_LENGTH_SHOWN = 40


def column_list(columns: Collection[str]) -> str:
    """Return the names of columns for an error line."""
    names = [f"{name[:_LENGTH_SHOWN]!r}" for name in columns if name]
    more = [f"and {len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return ", ".join(names[:_NAMES_SHOWN] + more)


@attrs.frozen
class Template:
    """A template: literal text with column names.

    Attributes:
        parts: pairs of a literal text and the name of the column that follows the text, or None if no column
            follows.
    """

    parts: tuple[tuple[str, str | None], ...] = attrs.field(repr=lambda parts: f"<{len(parts)} parts>")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a template, for example ``"Hello, {name}!"``. ``{{`` and ``}}`` are literal braces.

        Raises:
            ValidationError: if a brace is single, or if the braces contain something other than a column
                name.
        """
        try:
            parsed = list(Formatter().parse(text))
        except ValueError:
            raise ValidationError(_OPTION, "a single brace", "write {{ or }} for a brace") from None
        parts = []
        for literal, name, specification, conversion in parsed:
            if specification or conversion or (name is not None and not _is_plain(name)):
                hint = (
                    "write only a column name in braces, such as {name}; write {{ or }} for a literal brace"
                )
                raise ValidationError(_OPTION, "the content of the braces", hint)
            parts.append((literal, name))
        return cls(tuple(parts))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns in the template, each name once."""
        return tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def check(self, columns: Collection[str]) -> None:
        """Check that the table has all columns of the template.

        Args:
            columns: the names of the columns of the table.

        Raises:
            ValidationError: if the table does not have a column of the template.
        """
        for name in self.columns:
            if name not in columns:
                raise ValidationError(
                    _OPTION, f"the column {name[:_LENGTH_SHOWN]!r}", f"the columns are {column_list(columns)}"
                )

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text for one row.

        Args:
            values: the values of the row by column name.

        Raises:
            ValidationError: if the row has no value for a column of the template.
        """
        missing = next((name for name in self.columns if name not in values), None)
        if missing is not None:
            raise ValidationError(
                missing, "a missing value", "give each row a value for all columns in the text"
            )
        return "".join(literal if name is None else literal + values[name] for literal, name in self.parts)


def _is_plain(name: str) -> bool:
    # `str.format` would evaluate `{a.b}` and `{a[0]}`, and would read `{0}` and `{}` as positions. In a
    # template, braces contain only a column name.
    return bool(name.strip()) and not name.isdecimal() and not any(mark in name for mark in ".[]{}")
