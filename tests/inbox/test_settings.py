"""Tests of the settings, the positions and the checkpoints of an inbox."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import ValidationError
from smsapi_async.inbox import CallbackCheckpoint, InboxSettings, MemoryCheckpoint, Position, Progress
from smsapi_async.inbox.checkpoints import checked_checkpoint

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("every", 0),
        ("every", -1.5),
        ("every", float("nan")),
        ("every", float("inf")),
        ("every", True),
        ("every", "10"),
        ("every", None),
        ("every", timedelta(0)),
        ("overlap", timedelta(milliseconds=999)),
        ("overlap", 600),
        ("window", timedelta(0)),
        ("window", None),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: object) -> None:
    """An invalid value of a setting raises a `ValidationError` that names the setting."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValidationError) as caught:
        InboxSettings(**options)
    assert caught.value.parameter == name


def test_every_is_a_duration_or_seconds() -> None:
    """The value of the setting `every` is a `timedelta` or a number of seconds."""
    assert InboxSettings(every=timedelta(minutes=0.5)) == InboxSettings(every=30)


@given(moments, st.lists(st.tuples(st.text(max_size=5), moments), max_size=5), st.none() | moments)
def test_a_position_survives_as_text(until: datetime, ids: list[Any], since: datetime | None) -> None:
    """`to_json` converts a position to a text, and `from_json` converts this text to an equal position."""
    position = Position(until, tuple(ids), since)
    assert Position.from_json(position.to_json()) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"until": 1, "since": null, "ids": []}',
        '{"until": "2026-03-01T12:00:00", "since": null, "ids": []}',
        '{"until": "2026-03-01T12:00:00+00:00", "since": null, "ids": [["1"]]}',
        '{"until": "2026-03-01T12:00:00+00:00", "since": null, "ids": [["1", "2026-03-01T12:00:00"]]}',
        '{"until": "2026-03-01T12:00:00+00:00", "since": null, "ids": [[1, "2026-03-01T12:00:00+00:00"]]}',
    ],
)
def test_text_that_is_no_position_is_refused(text: str) -> None:
    """If a text does not describe a valid position, `Position.from_json` raises a `ValidationError`."""
    with pytest.raises(ValidationError):
        Position.from_json(text)


def test_a_naive_position_is_refused() -> None:
    """A naive datetime in a position raises a `ValidationError` that names the field of the datetime."""
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValidationError, match=r"Position\.until"):
        Position(naive)
    with pytest.raises(ValidationError, match=r"Position\.since"):
        Position(NOW, (), naive)
    with pytest.raises(ValidationError, match=r"Position\.ids"):
        Progress.resume(Position(NOW, (("1", naive),)), InboxSettings())


@pytest.mark.parametrize("ids", ["12", None, (1, 2), ("12",), ((1, NOW),)])
def test_ids_that_are_no_pairs_are_refused(ids: Any) -> None:
    """`Position.ids` must consist of pairs of an id and a datetime.

    Other values of `Position.ids` raise a `ValidationError`.
    """
    with pytest.raises(ValidationError, match=r"Position\.ids"):
        Progress.resume(Position(NOW, ids), InboxSettings())


def test_a_position_shows_the_number_of_its_ids() -> None:
    """The repr of a position shows the number of ids in the position, but not the ids."""
    assert "<1 ids>" in repr(Position(NOW, (("539187174", NOW),)))
    assert "539187174" not in repr(Position(NOW, (("539187174", NOW),)))


@pytest.mark.parametrize("checkpoint", [1, "run.db", MemoryCheckpoint, object()])
def test_what_cannot_keep_a_position_is_refused(checkpoint: object) -> None:
    """The argument `checkpoint` must be a checkpoint object or a function.

    Other values of `checkpoint` raise a `ValidationError`.
    """
    with pytest.raises(ValidationError) as caught:
        checked_checkpoint(checkpoint)
    assert caught.value.parameter == "checkpoint"


def test_checkpoints_are_taken_as_they_are_and_functions_wrapped() -> None:
    """A checkpoint object is used unchanged. A function is wrapped in a `CallbackCheckpoint`."""
    memory = MemoryCheckpoint()
    assert checked_checkpoint(None) is None
    assert checked_checkpoint(memory) is memory
    assert isinstance(checked_checkpoint(lambda _: None), CallbackCheckpoint)
