"""The tables of the contract: resources, error codes and states."""

import re

import attrs

from smsapi_async.sandbox.dialect import StateDescriptions


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
_BULK = "System.String, System.String[], System.String, System.String"
_SLASHES = re.compile("/{2,}")

BASE_PATH = "/rest"
LOGIN = "User/SessionId"
# Only the vendor's later documents describe this resource as available.
BULK_BY_TIME_ZONE = "Sms/SendByTimeZoneToAddresses"
# The resources with several recipients, and the resources whose send date is in the local time of each
# recipient.
BULKS = frozenset({"Sms/SendBulk", BULK_BY_TIME_ZONE})
BY_TIME_ZONE = frozenset({"Sms/SendByTimeZone", BULK_BY_TIME_ZONE})

RESOURCES = {
    resource.name.lower(): resource
    for resource in (
        GatewayResource(LOGIN, "GET"),
        GatewayResource("User/Balance", "GET"),
        GatewayResource("Sms/Send", "POST"),
        GatewayResource(
            "Sms/SendByTimeZone",
            "POST",
            f"SendByTimeZone({_MANY}, DateTime, System.Nullable`1[System.Int32])",
        ),
        GatewayResource("Sms/SendBulk", "POST"),
        GatewayResource(
            BULK_BY_TIME_ZONE,
            "POST",
            f"SendByTimeZoneToAddresses({_BULK}, DateTime, System.Nullable`1[System.Int32])",
        ),
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
# contain the state -97 (contract, "States"). Only the document of the vendor's SOAP service contains the
# states -3, -20, -30, -40, -100, -200 and 8.
STATES = {
    -1: "Отправлено (передано в мобильную сеть)",
    -2: "В очереди",
    -3: "Неверная дата",
    -20: "Отправлено абоненту",
    -30: "Отправлено в шлюз",
    -40: "Ожидание",
    -97: "Удалено",
    -98: "Остановлено",
    -100: "Тарифицировано",
    -200: "Ошибка",
    0: "Доставлено абоненту",
    8: "Системная ошибка",
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
FINAL_STATES = frozenset({-200, -97, -3, 0, 8, 10, 11, 41, 42, 46, 47, 48, 69})

# The descriptions in recorded answers of the gateway. `description` uses "Ошибка" for the other final states,
# and "Неизвестный" for all other states.
_ON_THE_WIRE = {
    -1: "Отправлено",
    -2: "Отправляется",
    -20: "Отправлено",
    -30: "Отправляется",
    -40: "Ожидание",
    -98: "Ожидание",
    -100: "Ожидание",
    0: "Доставлено",
}

# The count of Sms/Statistics to which each state belongs. A state that is not in `COUNTED_AS` counts as
# `InProcess`.
COUNTED_AS = {
    -1: "Sent",
    -3: "Errors",
    -200: "Errors",
    0: "Delivered",
    8: "Errors",
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


def resource_at(path: str) -> tuple[str | None, int]:
    """Return the canonical name of the resource at a path, and the version of the interface, 1 or 2.

    The name is None if neither the contract nor a later document has a resource at this path. The result does
    not depend on the dialect of a sandbox.

    Args:
        path: the path of a request, in upper or lower case, with or without a final slash. Adjacent slashes
            are one slash, because a published client requests `/rest/v2//Sms/Send`.
    """
    path = _SLASHES.sub("/", path)
    # If other path segments precede the base path, `before` is not empty, and the path belongs to no
    # resource.
    before, found, name = path.lower().partition(f"{BASE_PATH}/")
    if before or not found:
        return None, 1
    version = 2 if f"{name}/".startswith("v2/") else 1
    resource = resource_named(name.removeprefix("v2/").removesuffix("/"))
    # Version 2 has no session ids.
    if resource is None or (version == 2 and resource.name == LOGIN):
        return None, version
    return resource.name, version


def description(state: int, style: StateDescriptions) -> str:
    """Return the value of `StateDescription` for a state, also for a state that `STATES` does not contain."""
    if style == "document":
        return STATES.get(state, STATES[UNKNOWN])
    if state in _ON_THE_WIRE:
        return _ON_THE_WIRE[state]
    return "Ошибка" if state in FINAL_STATES else "Неизвестный"


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
