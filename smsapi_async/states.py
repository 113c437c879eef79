"""The states of a segment and their meanings (contract, "States")."""

from enum import Enum, IntEnum

import attrs


class Phase(Enum):
    """The phase of a segment or a message. The protocol SMPP also uses the names of all phases except FAILED.

    Attributes:
        ENROUTE: the gateway accepted the segment or message, and the phase may still change.
        DELIVERED: the segment or message was delivered to the recipient. The phase DELIVERED is final.
        FAILED: the segment, or at least one segment of the message, will not be delivered. The phase FAILED
            is final.
        UNKNOWN: the gateway does not know the result of the delivery, or no longer knows the result.
    """

    ENROUTE = "enroute"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"


class State(IntEnum):
    """The states of a segment (contract, "States").

    The contract defines no state -200, -100, -40, -30, -20, -3 or 8. Another service of the vendor uses them.
    """

    ERROR = -200
    CHARGED = -100
    STOPPED = -98
    DELETED_BY_OLDER_CLIENT = -97
    WAITING = -40
    SENT_TO_GATEWAY = -30
    SENT_TO_RECIPIENT = -20
    DATE_MISREAD = -3
    QUEUED = -2
    SENT = -1
    DELIVERED = 0
    SYSTEM_ERROR = 8
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
    """The meaning of a state of a segment.

    Attributes:
        phase: the phase of a segment in this state.
        is_final: True if the gateway does not change the state any more.
        meaning: the meaning of the state, as an English text.
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
    State.SENT_TO_RECIPIENT: _enroute("sent to the recipient"),
    State.SENT_TO_GATEWAY: _enroute("sent to the gateway"),
    State.WAITING: _enroute("waiting"),
    State.CHARGED: _enroute("charged"),
    State.DATE_MISREAD: _failed("date misread"),
    State.SYSTEM_ERROR: _failed("system error"),
    State.ERROR: _failed("error"),
}


def known_state(code: int) -> State | int:
    """Return the `State` for a state number of the gateway, or the number if the number is not known."""
    return State(code) if code in TABLE else code


def describe(code: int) -> Description:
    """Return the meaning of a state. A number that is not known has the phase ENROUTE, not final."""
    return TABLE.get(code) or _enroute(f"state {code}, not in the contract")
