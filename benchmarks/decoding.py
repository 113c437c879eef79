"""Compares how fast this package, pydantic and plain `json.loads` decode 10,000 incoming messages."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from benchmarks.measure import Options, Stopwatch, Table, alternate
from smsapi_async.protocol.decoding import decode_incoming

COUNT = 10_000
LIMIT = "json.loads alone (upper bound)"
_DATE = re.compile(r"/Date\((\d+)\)/")


def _date(value: str) -> datetime:
    match = _DATE.fullmatch(value)
    if match is None:
        raise ValueError("not a date")
    return datetime.fromtimestamp(int(match[1]) / 1000, UTC)


class _Incoming(BaseModel):
    id: str = Field(alias="ID", coerce_numbers_to_str=True)
    text: str = Field(alias="Data")
    source_address: str = Field(alias="SourceAddress")
    destination_address: str = Field(alias="DestinationAddress")
    creation_date: Annotated[datetime, BeforeValidator(_date)] = Field(alias="CreateDateUtc")


def _body(count: int) -> bytes:
    rows = [
        {
            "Data": f"Ответ номер {index}",
            "SourceAddress": f"7903{index:07}",
            "DestinationAddress": "79160000000",
            "ID": index,
            "CreateDateUtc": f"/Date({1_294_045_911_213 + index})/",
        }
        for index in range(count)
    ]
    # The real gateway writes a backslash before each slash in a date, so the test data must do the same.
    return json.dumps(rows, ensure_ascii=False).replace('"/Date', r'"\/Date').replace(')/"', r')\/"').encode()


def _timed(decode: Callable[[bytes], Sequence[object]], body: bytes, count: int) -> float:
    """Measure the milliseconds to decode the body once, and check that the body has `count` messages."""
    watch = Stopwatch()
    messages = decode(body)
    milliseconds = watch.wall * 1000
    assert len(messages) == count
    return milliseconds


def run(_: str, options: Options) -> list[Table]:
    """Measure how many milliseconds each contender (decoder) needs to decode all messages."""
    count = COUNT // options.scale
    body = _body(count)
    by_pydantic = TypeAdapter(list[_Incoming]).validate_json
    # The comparison is fair only if this package and pydantic decode the messages to the same values.
    for ours, theirs in zip(decode_incoming(body), by_pydantic(body), strict=True):
        assert (ours.id, ours.text, ours.creation_date) == (theirs.id, theirs.text, theirs.creation_date)
    contenders: dict[str, Callable[[bytes], Sequence[object]]] = {
        LIMIT: json.loads,
        "smsapi-async": decode_incoming,
        "pydantic": by_pydantic,
    }
    runs = {name: lambda decode=decode: _timed(decode, body, count) for name, decode in contenders.items()}
    table = Table(f"Decoding {count:,} incoming messages", "ms", reference=LIMIT, higher_is_better=False)
    for name, values in alternate(runs, options.rounds * 3).items():
        table.add(name, "ms", values)
    return [table]
