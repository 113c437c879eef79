"""The tables of the contract: resources, error codes and states."""

import attrs


@attrs.frozen
class GatewayResource:
    """One resource (contract, "Resources").

    Attributes:
        name: the name of the resource, spelled as in the contract.
        method: the HTTP method that the resource accepts.
        action: the signature of the .NET method. The error description for a missing date quotes `action`.
    """

    name: str
    method: str
    action: str = ""


_MANY = "System.String, System.String, System.String, System.String"

RESOURCES = {
    resource.name.lower(): resource
    for resource in (
        GatewayResource("User/SessionId", "GET"),
        GatewayResource("User/Balance", "GET"),
        GatewayResource("Sms/Send", "POST"),
        GatewayResource(
            "Sms/SendByTimeZone",
            "POST",
            f"SendByTimeZone({_MANY}, DateTime, System.Nullable`1[System.Int32])",
        ),
        GatewayResource("Sms/SendBulk", "POST"),
        GatewayResource("Sms/State", "GET"),
        GatewayResource("Sms/In", "GET", "In(System.String, DateTime, DateTime)"),
        GatewayResource("Sms/Statistics", "GET", "Statistics(System.String, DateTime, DateTime)"),
    )
}

# The HTTP status of each error code (contract, "Codes").
HTTP_STATUS = {1: 400, 2: 400, 3: 400, 4: 401, 5: 403, 6: 400, 7: 403, 8: 500, 9: 500}

# The usual error description (the value of `Desc`) for each error code.
DESCRIPTIONS = {
    1: "Argument cannot be null or empty",
    2: "Invalid argument",
    3: "Invalid session id",
    4: "Unauthorized access",
    5: "Not enough credits",
    6: "Invalid operation",
    7: "Forbidden",
    8: "Gateway error",
    9: "Internal server error",
}

SENT = -1
QUEUED = -2
DELIVERED = 0
EXPIRED = 46
UNKNOWN = 255

# The value of `StateDescription` for each state, as in the vendor's document. The vendor's document does not
# contain the state -97 (contract, "States").
STATES = {
    -1: "Отправлено (передано в мобильную сеть)",
    -2: "В очереди",
    -97: "Удалено",
    -98: "Остановлено",
    0: "Доставлено абоненту",
    10: "Неверно введен адрес отправителя",
    11: "Неверно введен адрес получателя",
    41: "Недопустимый адрес получателя",
    42: "Отклонено смс-центром",
    46: "Просрочено (истек срок жизни сообщения)",
    47: "Удалено",
    48: "Отклонено Платформой",
    69: "Отклонено",
    99: "Неизвестный",
    255: "Неизвестный",
}

# A segment never changes from a final state to another state. The states -98 and 99 are not final (contract,
# "States").
FINAL_STATES = frozenset({-97, 0, 10, 11, 41, 42, 46, 47, 48, 69})

# The count of Sms/Statistics to which each state belongs. A state that is not in `COUNTED_AS` counts as
# `InProcess`.
COUNTED_AS = {
    -1: "Sent",
    0: "Delivered",
    10: "Errors",
    11: "Errors",
    41: "Errors",
    42: "Rejected",
    46: "Expired",
    47: "Rejected",
    -97: "Rejected",
    48: "Rejected",
    69: "Rejected",
}

COUNTS = ("Sent", "Delivered", "Errors", "InProcess", "Expired", "Rejected")


def resource_named(name: str) -> GatewayResource | None:
    """Return the resource with this name, in upper or lower case, or None for an unknown name."""
    return RESOURCES.get(name.lower())


def canonical_name(name: str | None) -> str | None:
    """Return the canonical spelling of a resource name. If `name` is None, return None.

    Raises:
        ValueError: if the gateway has no resource with this name.
    """
    if name is None:
        return None
    resource = resource_named(name.strip("/"))
    if resource is None:
        raise ValueError(
            f"unknown resource {name!r}; the gateway has {[each.name for each in RESOURCES.values()]}"
        )
    return resource.name
