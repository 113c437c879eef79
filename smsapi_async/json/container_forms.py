"""The JSON forms of containers: arrays, dictionaries, and values that may be missing."""

import re
from collections.abc import Mapping
from typing import Any

from smsapi_async.json.leaf_forms import Form, WrongJson, json_type
from smsapi_async.privacy import type_name

_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,300})")


class ArrayForm(Form):
    """A tuple or list as an array.

    Args:
        kind: `tuple` or `list`, the type of the values that are read.
        item: the form of the items.
    """

    hint = "pass an array"

    def __init__(self, kind: type[tuple[object, ...]] | type[list[object]], item: Form) -> None:
        self._kind = kind
        self.item = item

    def write(self, value: object) -> object:
        """Return a list of the items as JSON data."""
        if not isinstance(value, tuple | list):
            raise WrongJson(type_name(value), f"pass a {self._kind.__name__}")
        return [self._part(self.item.write, index, each) for index, each in enumerate(value)]

    def read(self, data: object) -> object:
        """Return the items as a tuple or a list."""
        if not isinstance(data, list):
            raise WrongJson(json_type(data), self.hint)
        return self._kind([self._part(self.item.read, index, each) for index, each in enumerate(data)])

    @staticmethod
    def _part(convert: Any, index: int, value: object) -> object:  # noqa: ANN401 - a method of a form
        try:
            return convert(value)
        except WrongJson as error:
            raise error.under(index) from None


class MappingForm(Form):
    """A dictionary as an object. Keys that are numbers become texts.

    Args:
        key: the form of the keys.
        value: the form of the values.
    """

    hint = "pass an object"

    def __init__(self, key: Form, value: Form) -> None:
        self._key = key
        self.value = value

    def write(self, value: object) -> object:
        """Return a dictionary with texts as keys."""
        if not isinstance(value, Mapping):
            raise WrongJson(type_name(value), "pass a dict")
        return {str(self._key.write(key)): self.value.write(each) for key, each in value.items()}

    def read(self, data: object) -> object:
        """Return the dictionary with keys of their own type."""
        if not isinstance(data, dict):
            raise WrongJson(json_type(data), self.hint)
        return {self._read_key(key): self.value.read(each) for key, each in data.items()}

    def _read_key(self, key: object) -> object:
        try:
            return self._key.read(key)
        except WrongJson:
            if not isinstance(key, str) or not _WHOLE_NUMBER.fullmatch(key):
                raise
            return self._key.read(int(key))


class OrNullForm(Form):
    """A value that may have a wrong type. A value of a wrong type is written as null and read as None.

    The message of a rejected outcome can have such a value, and is rejected because of it. A program that
    writes the outcomes of a batch must not stop at such a message.

    Args:
        form: the form of values of the right type.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self.hint = form.hint

    def write(self, value: object) -> object:
        """Return the value as JSON data, or None if the value has a wrong type."""
        try:
            return self.form.write(value)
        except WrongJson:
            return None

    def read(self, data: object) -> object:
        """Return the value, or None."""
        return None if data is None else self.form.read(data)
