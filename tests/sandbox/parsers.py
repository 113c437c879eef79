"""How the published clients read a response. Each function fails if the client could not read the response.

The functions state which part of the response a client uses. They are not the code of the clients.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from tests.sandbox.recordings import Reply

ReadsText: TypeAlias = Callable[[Reply], str]
ReadsNumber: TypeAlias = Callable[[Reply], float]
ReadsIds: TypeAlias = Callable[[Reply], Sequence[str]]
ReadsState: TypeAlias = Callable[[Reply], int]
ReadsMessages: TypeAlias = Callable[[Reply], Sequence[str]]
ReadsCounts: TypeAlias = Callable[[Reply], dict[str, int]]

_STATE_DATES = ("CreationDateUtc", "SubmittedDateUtc", "ReportedDateUtc", "TimeStampUtc")


# Session ids.


def session_in_json(reply: Reply) -> str:
    """A JSON string."""
    session = reply.json()
    assert isinstance(session, str)
    return session


def session_of_36_characters(reply: Reply) -> str:
    """A JSON string of exactly 36 characters."""
    session = session_in_json(reply)
    assert len(session) == 36
    return session


def session_without_quotes(reply: Reply) -> str:
    """The body without its quotation marks."""
    return reply.text.replace('"', "")


def session_between_quotes(reply: Reply) -> str:
    """The body without its first and its last byte."""
    return reply.text[1:-1]


def session_by_position(reply: Reply) -> str:
    """The characters 1 to 36 of the body."""
    return reply.text[1:37]


def session_in_body_of_38(reply: Reply) -> str:
    """The characters 1 to 36 of a body that has exactly 38 characters."""
    assert len(reply.text.strip()) == 38
    return reply.text.strip()[1:37]


def session_by_expression(reply: Reply) -> str:
    """The text that a regular expression finds: word characters in quotation marks, and nothing else."""
    found = re.fullmatch(r'"(\w+)"', reply.text, re.ASCII)
    assert found
    return found[1]


# Balances.


def balance_in_json(reply: Reply) -> float:
    """A JSON number, not a string."""
    balance = json.loads(reply.text, parse_float=Decimal)
    assert isinstance(balance, int | Decimal)
    assert not isinstance(balance, bool)
    return float(balance)


def balance_in_text(reply: Reply) -> float:
    """The body as a decimal number."""
    return float(Decimal(reply.text.replace('"', "")))


def whole_balance(reply: Reply) -> float:
    """A JSON number, of which the client keeps the integer part."""
    return int(balance_in_json(reply))


# Segment ids.


def array_of_ids(reply: Reply) -> list[str]:
    """A JSON array of strings."""
    ids = reply.json()
    assert isinstance(ids, list)
    assert all(isinstance(each, str) and each for each in ids)
    return ids


def first_id(reply: Reply) -> list[str]:
    """The first element of a JSON array, which must not be empty."""
    ids = array_of_ids(reply)
    assert ids[0]
    return ids[:1]


def success_only(reply: Reply) -> list[str]:
    """A response of a 2xx status; the client does not read the body."""
    assert 200 <= reply.status < 300
    return []


def ids_of_two(reply: Reply) -> list[str]:
    """A JSON array whose length is divisible by the number of recipients."""
    ids = array_of_ids(reply)
    assert len(ids) % 2 == 0
    return ids


# States.


def state_in_json(reply: Reply) -> int:
    """An object whose State is a JSON integer, and that has no Code."""
    answer = reply.json()
    assert "Code" not in answer
    assert type(answer["State"]) is int
    state: int = answer["State"]
    return state


def dates_by_expression(reply: Reply) -> int:
    """All four dates contain digits that are milliseconds, and Price is a number."""
    answer = json.loads(reply.text, parse_float=Decimal)
    for name in _STATE_DATES:
        found = re.search(r"\d+", answer[name])
        assert found
        assert _is_recent(int(found[0]) // 1000)
    assert Decimal(answer["Price"]) > 0
    return state_in_json(reply)


def dates_by_slice(reply: Reply) -> int:
    """Each date that is not null has the seconds at the positions 6 to 15."""
    answer = reply.json()
    for name in _STATE_DATES:
        assert answer[name] is None or _is_recent(int(answer[name][6:16]))
    return state_in_json(reply)


def date_between_brackets(reply: Reply) -> int:
    """TimeStampUtc has the milliseconds from position 6 to the position before the last two characters."""
    assert _is_recent(int(reply.json()["TimeStampUtc"][6:-2]) // 1000)
    return state_in_json(reply)


def dates_of_dotnet(reply: Reply) -> int:
    """Each date is null or has the form of .NET, and Price is null or a number. TimeStampUtc is not null."""
    answer: dict[str, Any] = json.loads(reply.text, parse_float=Decimal)
    for name in _STATE_DATES:
        assert answer[name] is None or re.fullmatch(r"/Date\(-?\d+\)/", answer[name])
    assert answer["TimeStampUtc"]
    assert isinstance(answer["Price"], Decimal | int | None)
    return state_in_json(reply)


def delivered_by_description(reply: Reply) -> int:
    """StateDescription is exactly "Доставлено" for a delivered message, and Price is a number."""
    answer = reply.json()
    assert float(answer["Price"]) > 0
    return 0 if answer["StateDescription"] == "Доставлено" else 99


# Incoming messages and statistics.


def incoming_texts(reply: Reply) -> list[str]:
    """An array of objects with Data, SourceAddress, DestinationAddress and ID."""
    return [_incoming_text(each) for each in reply.json()]


def incoming_with_creation_date(reply: Reply) -> list[str]:
    """As `incoming_texts`; the date is named CreationDateUtc and has the form of .NET."""
    assert all(re.fullmatch(r"/Date\(\d+\)/", each["CreationDateUtc"]) for each in reply.json())
    return incoming_texts(reply)


def counts(reply: Reply) -> dict[str, int]:
    """An object of counts; the six counts of the contract are JSON integers."""
    answer = reply.json()
    names = ("Sent", "Delivered", "Errors", "InProcess", "Expired", "Rejected")
    assert all(type(answer[name]) is int for name in names)
    return {name: answer[name] for name in names}


def _incoming_text(answer: dict[str, Any]) -> str:
    assert isinstance(answer["SourceAddress"], str)
    assert isinstance(answer["DestinationAddress"], str)
    assert isinstance(answer["ID"], str | int)
    text: str = answer["Data"]
    return text


def _is_recent(seconds: int) -> bool:
    return datetime.fromtimestamp(seconds, UTC).year == 2026
