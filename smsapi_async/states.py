"""The states of a segment (contract, table of states)."""

from enum import Enum, IntEnum

import attrs


class Phase(Enum):
    """What a state means to the sender. The names are those of SMPP's message states."""

    ENROUTE = "enroute"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"


class State(IntEnum):
    """The states that the contract names."""

    STOPPED = -98
    DELETED_BY_OLDER_CLIENT = -97
    QUEUED = -2
    SENT = -1
    DELIVERED = 0
    WRONG_SOURCE_ADDRESS = 10
    WRONG_DESTINATION_ADDRESS = 11
    DESTINATION_ADDRESS_NOT_ALLOWED = 41
    REJECTED_BY_SMS_CENTRE = 42
    EXPIRED = 46
    DELETED = 47
    REJECTED_BY_PLATFORM = 48
    REJECTED = 69
    UNKNOWN = 99
    NOT_IN_DATABASE = 255


@attrs.frozen
class Description:
    """A state's meaning, in English."""

    phase: Phase
    is_final: bool
    words: str


def _enroute(words: str) -> Description:
    return Description(Phase.ENROUTE, is_final=False, words=words)


def _failed(words: str) -> Description:
    return Description(Phase.FAILED, is_final=True, words=words)


TABLE: dict[int, Description] = {
    State.SENT: _enroute("sent: handed to the mobile network"),
    State.QUEUED: _enroute("queued"),
    State.STOPPED: _enroute("stopped"),
    State.DELIVERED: Description(Phase.DELIVERED, is_final=True, words="delivered to the subscriber"),
    State.WRONG_SOURCE_ADDRESS: _failed("wrong source address"),
    State.WRONG_DESTINATION_ADDRESS: _failed("wrong destination address"),
    State.DESTINATION_ADDRESS_NOT_ALLOWED: _failed("destination address not allowed"),
    State.REJECTED_BY_SMS_CENTRE: _failed("rejected by the SMS centre"),
    State.EXPIRED: _failed("expired: validity ran out"),
    State.DELETED: _failed("deleted"),
    State.DELETED_BY_OLDER_CLIENT: _failed("deleted"),
    State.REJECTED_BY_PLATFORM: _failed("rejected by the platform"),
    State.REJECTED: _failed("rejected"),
    State.UNKNOWN: Description(Phase.UNKNOWN, is_final=False, words="unknown"),
    State.NOT_IN_DATABASE: _enroute("not yet in the database, or older than 48 hours"),
}


def known_state(code: int) -> State | int:
    """The contract's name for a code, or the code as it came."""
    return State(code) if code in TABLE else code


def describe(code: int) -> Description:
    """What a code means; one outside the table is not final and never an error."""
    return TABLE.get(code) or _enroute(f"state {code}, not in the contract")
