"""JSON text of earlier and later versions of the package.

``recorded/0.7.json`` contains the JSON of `EXAMPLES` as version 0.7 wrote it. Never change a recorded file
or an example. If a later version writes another form, record a new file with
``python -m tests.models_json.test_versions 0.8``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from smsapi_async import Delivery, Message, Outcome, Receipt, SmsApiError, ValidationError, from_json, to_json
from smsapi_async.errors import NotEnoughCredits, OutcomeUnknown
from tests.models_json.values import EXAMPLES, MESSAGE, RECEIPT

FOLDER = Path(__file__).parent / "recorded"
RECORDED: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))
}
ERRORS = [NotEnoughCredits(5, "no credits", 403, 2.5), OutcomeUnknown("no answer", 9, 500, "fault")]


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version, values in RECORDED.items() for name in values]
)
def test_recorded_values(version: str, name: str) -> None:
    """A program that was updated reads the JSON that its earlier version stored."""
    recorded = RECORDED[version][name]
    if name == "errors":
        errors = from_json(recorded, list[SmsApiError])
        assert [(type(error), error.args) for error in errors] == [
            (type(error), error.args) for error in ERRORS
        ]
    else:
        assert from_json(recorded, type(EXAMPLES[name])) == EXAMPLES[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_form_of_today_is_recorded(name: str) -> None:
    """If this version writes another form than the recorded one, the new form is recorded, too."""
    forms = [values[name] for values in RECORDED.values() if name in values]
    assert json.loads(to_json(EXAMPLES[name])) in forms


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not name.startswith("Message")])
def test_unknown_fields_are_ignored(name: str) -> None:
    """During an update, an old worker reads the results of a new worker, which may have more fields."""

    def with_more(data: Any) -> Any:
        if isinstance(data, list):
            return [*map(with_more, data)]
        if not isinstance(data, dict) or "type" not in data:
            return data
        return {**{key: with_more(value) for key, value in data.items()}, "flash": {"new": [1]}}

    value = EXAMPLES[name]
    assert from_json(with_more(json.loads(to_json(value))), type(value)) == value


def test_an_unknown_field_of_a_message_is_refused() -> None:
    """A misspelt `send_date` of a message that will be sent is an error: it would be sent at once."""
    data = {"destination_address": "79031234567", "text": "x", "sendDate": "2030-01-01T12:00:00Z"}
    for kind, given in ((Message, data), (list[Message], [data]), (Message | None, data)):
        with pytest.raises(ValidationError, match=r"sendDate: an unknown field"):
            from_json(json.dumps(given), kind)  # type: ignore[arg-type]
    receipt = {**json.loads(to_json(RECEIPT)), "message": data}
    assert from_json(receipt, Receipt).message == Message("79031234567", "x")


@pytest.mark.parametrize("name", EXAMPLES)
def test_missing_fields_have_their_defaults(name: str) -> None:
    """The JSON of an old version lacks the fields that a new version adds with a default."""
    value = EXAMPLES[name]
    data = json.loads(to_json(value))
    defaults = {}
    for field in attrs.fields(type(value)):
        if field.default is not attrs.NOTHING:
            del data[field.name]
            is_factory = isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
            defaults[field.name] = field.default.factory() if is_factory else field.default
    assert from_json(data, type(value)) == attrs.evolve(value, **defaults)


def test_only_the_tag_of_an_outcome_is_required() -> None:
    """JSON that another program writes needs the field `type` only for an outcome."""
    data = json.loads(to_json(EXAMPLES["Delivery"]))
    for part in (data, data["receipt"], data["receipt"]["message"], data["states"][0]):
        del part["type"]
    assert from_json(data, Delivery) == EXAMPLES["Delivery"]
    outcome = json.loads(to_json(EXAMPLES["Unknown"]))
    del outcome["message"]["type"]
    assert from_json(outcome, Outcome) == EXAMPLES["Unknown"]
    assert from_json({**json.loads(to_json(MESSAGE)), "type": "Message"}, Message) == MESSAGE


if __name__ == "__main__":
    texts = {name: json.loads(to_json(value)) for name, value in EXAMPLES.items()}
    texts["errors"] = json.loads(to_json(ERRORS))
    shown = json.dumps(texts, ensure_ascii=False, indent=1) + "\n"
    (FOLDER / f"{sys.argv[1]}.json").write_text(shown)
