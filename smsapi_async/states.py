"""The states of a segment and their meanings (contract, "States")."""

from enum import Enum, IntEnum

import attrs


class Phase(Enum):
    """The phase of a segment or a message. The protocol SMPP also uses the names of all phases except FAILED.

    Attributes:
        ENROUTE: accepted by the gateway, and not final.
        DELIVERED: delivered to the recipient. This phase is final.
        FAILED: the segment, or at least one segment of the message, will not be delivered. This phase is
            final.
        UNKNOWN: the gateway does not know the result, or no longer knows the result.
    """

    ENROUTE = "enroute"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"


class State(IntEnum):
    """The states that the contract defines (contract, "States")."""

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
    """The meaning of a state.

    Attributes:
        phase: the phase of a segment in this state.
        is_final: True if the gateway does not change the state any more.
        meaning: the meaning in English.
    """

    phase: Phase
    is_final: bool
    meaning: str


def _enroute(meaning: str) -> Description:
    return Description(Phase.ENROUTE, is_final=False, meaning=meaning)


def _failed(meaning: str) -> Description:
    return Description(Phase.FAILED, is_final=True, meaning=meaning)


TABLE: dict[int, Description] = {
    State.SENT: _enroute("sent: handed to the mobile network"),
    State.QUEUED: _enroute("queued"),
    State.STOPPED: _enroute("stopped"),
    State.DELIVERED: Description(Phase.DELIVERED, is_final=True, meaning="delivered to the subscriber"),
    State.WRONG_SOURCE_ADDRESS: _failed("wrong source address"),
    State.WRONG_DESTINATION_ADDRESS: _failed("wrong destination address"),
    State.DESTINATION_ADDRESS_NOT_ALLOWED: _failed("destination address not allowed"),
    State.REJECTED_BY_SMS_CENTRE: _failed("rejected by the SMS centre"),
    State.EXPIRED: _failed("expired: validity ran out"),
    State.DELETED: _failed("deleted"),
    State.DELETED_BY_OLDER_CLIENT: _failed("deleted"),
    State.REJECTED_BY_PLATFORM: _failed("rejected by the platform"),
    State.REJECTED: _failed("rejected"),
    State.UNKNOWN: Description(Phase.UNKNOWN, is_final=False, meaning="unknown"),
    State.NOT_IN_DATABASE: _enroute("not yet in the database, or older than 48 hours"),
}


def known_state(code: int) -> State | int:
    """Return the `State` for a number of the gateway, or the number if it is not in the contract."""
    return State(code) if code in TABLE else code


def describe(code: int) -> Description:
    """Return the meaning of a state. A number that is not in the contract is enroute and not final."""
    return TABLE.get(code) or _enroute(f"state {code}, not in the contract")
