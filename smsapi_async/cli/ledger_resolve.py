"""The command ``ledger resolve``: record whether unknown messages were sent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import attrs
from anyio import to_thread
from rich.console import RenderableType
from rich.text import Text

from smsapi_async.cli.csv_output import original
from smsapi_async.cli.ledger_places import check_ledger_exists, existing_ledger
from smsapi_async.cli.output import Document
from smsapi_async.cli.tables.rows import BadRow, Row, open_table
from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger, Resolution
from smsapi_async.ledger.keys import redacted_key

# The words without case. Excel writes true and false in its language, and a number perhaps with decimals.
_YES = ("yes", "true", "1", "1.0", "sent", "да", "истина", "отправлено")
_NO = ("no", "false", "0", "0.0", "not sent", "нет", "ложь", "не отправлено")
_SENT = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)
_COLUMNS = ("key", "sent", "segment_ids")
_ROWS_AT_ONCE = 500


@attrs.frozen(kw_only=True)
class Choice:
    """The arguments of ``ledger resolve``: which messages, and whether they were sent.

    Attributes:
        keys: the keys of the messages.
        is_all: whether all unknown messages are meant.
        source: the path of a file with a row for each message, or ``-`` for standard input; or None.
        sent: whether the messages were sent. None only with `source`, whose rows say it.
        segment_ids: the segment ids of the only message in `keys`, if they are known.

    Raises:
        ValidationError: if the arguments contradict each other, or if an argument is missing.
    """

    keys: Sequence[str] = ()
    is_all: bool = False
    source: str | None = None
    sent: bool | None = None
    segment_ids: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        ways = bool(self.keys) + self.is_all + (self.source is not None)
        if not ways:
            raise ValidationError("KEY", "an unset value", "pass keys, --all, or --from with a file")
        if ways > 1:
            hint = "pass keys, or --all, or --from; only one of the three"
            raise ValidationError("KEY", "this combination of options", hint)
        if self.source is None and self.sent is None:
            raise ValidationError("--sent", "an unset value", "pass --sent or --not-sent")
        if self.source is not None and self.sent is not None:
            hint = (
                "leave the option out; the column sent of the file says for each message whether it was sent"
            )
            raise ValidationError("--sent", "the option together with --from", hint)
        if self.segment_ids:
            self._check_segment_ids()

    def _check_segment_ids(self) -> None:
        if not self.sent and self.source is None:
            hint = "leave the option out; a message that was not sent has no segment ids"
            raise ValidationError("--segment-id", "the option together with --not-sent", hint)
        if len(self.keys) != 1:
            hint = "pass exactly one key; for several messages, use the column segment_ids of --from"
            raise ValidationError("--segment-id", "the option without a single key", hint)


@attrs.frozen
class Resolved:
    """The numbers of messages that ``ledger resolve`` has changed.

    Attributes:
        accepted: how many messages are recorded as sent.
        pending: how many messages are recorded as not sent.
        left: how many rows of a file have no value in the column ``sent``; their messages stay unknown.
    """

    accepted: int = 0
    pending: int = 0
    left: int = 0


async def resolve(path: str, choice: Choice) -> Resolved:
    """Record whether messages with an unknown outcome were sent. Nothing is recorded after an error.

    Args:
        path: the path of the ledger file.
        choice: the messages, and whether they were sent.

    Raises:
        ValidationError: if the ledger file does not exist, if a row of the file is wrong, or if the ledger
            has no unknown message for a key.
        LedgerError: if the file is not a ledger or cannot be written, or if another process has the ledger
            open for writing.
    """
    check_ledger_exists(path)
    given, left = ([], 0) if choice.is_all else await _given(choice)
    async with existing_ledger(path) as ledger:
        if choice.is_all:
            count = await ledger.resolve_all(sent=bool(choice.sent))
            return Resolved(accepted=count) if choice.sent else Resolved(pending=count)
        await _check_unknown(ledger, given)
        await ledger.resolve_many(each.resolution for each in given)
    sent = sum(each.resolution.sent for each in given)
    return Resolved(accepted=sent, pending=len(given) - sent, left=left)


def resolve_document(resolved: Resolved) -> Document:
    """Return the numbers of changed messages as JSON data."""
    return attrs.asdict(resolved)


def resolve_view(resolved: Resolved) -> RenderableType:
    """Return a sentence for each new state."""
    lines = []
    if resolved.accepted or not (resolved.pending or resolved.left):
        lines.append(f"recorded as accepted: {resolved.accepted:,}; these messages are not sent again")
    if resolved.pending:
        lines.append(f"recorded as pending: {resolved.pending:,}; the next run sends these messages")
    if resolved.left:
        lines.append(f"still unknown: {resolved.left:,}; these rows have no value in the column sent")
    return Text("\n".join(lines))


@attrs.frozen
class _Given:
    """A resolution, with the place of its key for an error: the parameter and the words for the value."""

    resolution: Resolution
    parameter: str
    place: str


async def _given(choice: Choice) -> tuple[list[_Given], int]:
    """Return the resolutions, and the number of rows without an answer."""
    left = 0
    if choice.source is not None:
        given, left = await to_thread.run_sync(_read, choice.source, abandon_on_cancel=True)
    else:
        places = [f"key {index + 1} of {len(choice.keys)}" for index in range(len(choice.keys))]
        given = [
            _Given(Resolution(key, bool(choice.sent), choice.segment_ids), "KEY", place)
            for key, place in zip(choice.keys, places, strict=True)
        ]
    # A redacted ledger has a hash in place of the number, so two forms of a key can name one message.
    seen: set[str] = set()
    for each in given:
        key = redacted_key(each.resolution.key)
        if key in seen:
            raise ValidationError(each.parameter, each.place, "the same key occurs above; pass each key once")
        seen.add(key)
    return given, left


async def _check_unknown(ledger: Ledger, given: Iterable[_Given]) -> None:
    """Check that each key belongs to an unknown message, before anything is recorded."""
    missing = {form: each for each in given for form in _forms(each.resolution.key)}
    async for message in ledger.unknown():
        found = missing.get(message.key)
        if found is not None:
            for form in _forms(found.resolution.key):
                missing.pop(form, None)
    for each in missing.values():
        hint = "the ledger has no unknown message with this key; `ledger unknown` lists the keys"
        raise ValidationError(each.parameter, each.place, hint)


def _forms(key: str) -> set[str]:
    return {key, redacted_key(key)}


def _read(source: str) -> tuple[list[_Given], int]:
    """Read a file with the columns ``key`` and ``sent``, and perhaps ``segment_ids``.

    Returns:
        The resolutions, and the number of rows without a value in the column ``sent``.
    """
    given: list[_Given] = []
    left = 0
    try:
        table = open_table(source)
        try:
            names = _names(table.columns)
            while rows := table.block(_ROWS_AT_ONCE):
                for row in rows:
                    resolution = _resolution(row, names)
                    left += resolution is None
                    given += [] if resolution is None else [resolution]
        finally:
            table.close()
    except ValidationError as error:
        # The functions that read a table name the argument of another command.
        raise ValidationError("--from", error.value, error.hint) from None
    return given, left


def _names(columns: Sequence[str]) -> dict[str, str]:
    """Return the names of the columns in the file, for key, sent and segment_ids."""
    names: dict[str, str] = {}
    for column in columns:
        known = column.strip().casefold()
        if known in names and known in _COLUMNS:
            raise ValidationError("--from", f"the repeated column {known}", "rename one of the columns")
        names[known] = column
    for known in ("key", "sent"):
        if known not in names:
            hint = "the file needs the columns key and sent, and may have the column segment_ids"
            raise ValidationError("--from", f"a file without the column {known}", hint)
    return names


def _resolution(row: Row | BadRow, names: Mapping[str, str]) -> _Given | None:
    """Return the resolution of a row, or None if the row has no value in the column ``sent``."""
    if isinstance(row, BadRow):
        raise ValidationError("--from", f"line {row.line}", row.reason)
    key, answer, ids = (_value(row, names.get(known)) for known in _COLUMNS)
    if not answer:
        return None
    if not key:
        raise _wrong(row, "key", "write the key of the message")
    sent = _SENT.get(" ".join(answer.casefold().replace("-", " ").replace("_", " ").split()))
    if sent is None:
        raise _wrong(row, "sent", "write yes or no, or leave the value empty")
    segment_ids = ids.split()
    if segment_ids and not sent:
        raise _wrong(
            row, "segment_ids", "leave the value empty; a message that was not sent has no segment ids"
        )
    return _Given(Resolution(key, sent, segment_ids), "--from", f"line {row.line}, column key")


def _value(row: Row, name: str | None) -> str:
    return "" if name is None else original(row.values.get(name, "").strip())


def _wrong(row: Row, column: Literal["key", "sent", "segment_ids"], hint: str) -> ValidationError:
    return ValidationError("--from", f"line {row.line}, column {column}", hint)
