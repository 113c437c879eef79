"""The template for the texts of a batch. Column values are inserted; no expression is evaluated."""

import re
from collections.abc import Collection, Mapping
from typing import Self

import attrs

from smsapi_async.cli.tables.headings import column_list
from smsapi_async.errors import ValidationError

# An error shows 40 characters of the name of a column.
_LENGTH_SHOWN = 40
# A literal brace, a column name in braces, or a single brace. A column name has no braces.
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@attrs.frozen
class Field:
    """A place in a template for the value of a column.

    Attributes:
        column: the name of the column.
        default: the text for an empty value; None means that an empty value is an error.
    """

    column: str
    default: str | None = attrs.field(default=None, repr=False)

    def value(self, values: Mapping[str, str]) -> str:
        """Return the value of the column, or the default if the value is empty.

        Args:
            values: the values of the row by column name.

        Raises:
            ValidationError: if the value is empty or missing, and there is no default.
        """
        value = values.get(self.column, "")
        if value:
            return value
        if self.default is None:
            shown = self.column[:_LENGTH_SHOWN]
            hint = f"fill the cell, or write a default into the text, for example {{{shown}|client}}"
            raise ValidationError(shown, "an empty value", hint)
        return self.default


@attrs.frozen
class Template:
    """A template: literal text with column names.

    Attributes:
        parts: pairs of a literal text and the content of the braces that follow the text, or None if no
            braces follow. After `for_columns`, the second part is a `Field`.
        option: the option that the template comes from.
    """

    parts: tuple[tuple[str, str | Field | None], ...] = attrs.field(
        repr=lambda parts: f"<{len(parts)} parts>"
    )
    option: str = "--text"

    @classmethod
    def parse(cls, text: str, option: str = "--text") -> Self:
        """Parse a template, for example ``"Hello, {name|friend}!"``. ``{{`` and ``}}`` are literal braces.

        Args:
            text: the template.
            option: the option that the template comes from, for the errors.

        Raises:
            ValidationError: if a brace is single, or if braces are empty.
        """
        parts: list[tuple[str, str | Field | None]] = []
        literal, end = "", 0
        for braces in _BRACES.finditer(text):
            literal += text[end : braces.start()]
            end = braces.end()
            if braces[0] in {"{{", "}}"}:
                literal += braces[0][0]
            elif braces[1] is None:
                raise ValidationError(option, "a single brace", "write {{ or }} for a brace")
            elif not braces[1].partition("|")[0].strip():
                hint = "write a column name in braces, such as {name}; write {{ or }} for a literal brace"
                raise ValidationError(option, "braces without a column name", hint)
            else:
                parts.append((literal, braces[1]))
                literal = ""
        literal += text[end:]
        return cls((*parts, *([(literal, None)] if literal or not parts else [])), option)

    @property
    def is_fixed(self) -> bool:
        """Whether all rows have the same text: the template has no column names."""
        return all(field is None for _, field in self.parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns in the template, each name once. Call `for_columns` first."""
        return tuple(dict.fromkeys(field.column for _, field in self.parts if isinstance(field, Field)))

    def for_columns(self, columns: Collection[str]) -> Self:
        """Return the template with a `Field` for each pair of braces.

        A name is compared with the columns as it is and, if no column has this name, without regard to case
        and to spaces around the name. If a column has the whole content of the braces as its name, a ``|`` in
        it belongs to the name, and otherwise a default follows the first ``|``.

        Args:
            columns: the names of the columns of the table.

        Raises:
            ValidationError: if the table does not have a column of the template.
        """
        parts = tuple(
            (literal, self._field(field, columns) if isinstance(field, str) else field)
            for literal, field in self.parts
        )
        return attrs.evolve(self, parts=parts)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text for one row.

        Args:
            values: the values of the row by column name, without spaces around them.

        Raises:
            ValidationError: if the row has no value for a column of the template, and there is no default.
        """
        return "".join(
            [
                literal + field.value(values) if isinstance(field, Field) else literal
                for literal, field in self.parts
            ]
        )

    def _field(self, content: str, columns: Collection[str]) -> Field:
        name = _found(content, columns)
        if name is not None:
            return Field(name)
        given, bar, default = content.partition("|")
        name = _found(given, columns)
        if name is None:
            shown = given.strip()[:_LENGTH_SHOWN]
            raise ValidationError(
                self.option, f"the column {shown!r}", f"the columns are {column_list(list(columns))}"
            )
        return Field(name, default if bar else None)


def _found(given: str, columns: Collection[str]) -> str | None:
    """Return the name of the only column that is meant, or None."""
    if given in columns or (given := given.strip()) in columns:
        return given
    same = [column for column in columns if column.casefold() == given.casefold()]
    return same[0] if len(same) == 1 else None
