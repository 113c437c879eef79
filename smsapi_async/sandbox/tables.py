"""The tables of the gateway's document: resources, error codes, states."""

import attrs


@attrs.frozen
class GatewayResource:
    """One row of the table of resources; `action` is the method a missing date names in its error."""

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

HTTP_STATUS = {1: 400, 2: 400, 3: 400, 4: 401, 5: 403, 6: 400, 7: 403, 8: 500, 9: 500}

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

FINAL_STATES = frozenset({-97, 0, 10, 11, 41, 42, 46, 47, 48, 69})

# Which count of Sms/Statistics a state belongs to; every other state is in process.
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
    """The resource of that name in any case, or None."""
    return RESOURCES.get(name.lower())


def canonical_name(name: str | None) -> str | None:
    """The canonical spelling of a resource's name; an unknown one raises ValueError."""
    if name is None:
        return None
    resource = resource_named(name.strip("/"))
    if resource is None:
        raise ValueError(
            f"unknown resource {name!r}; the gateway has {[each.name for each in RESOURCES.values()]}"
        )
    return resource.name
