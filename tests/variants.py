"""The variants of the gateway's interface over which whole test suites run."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

import attrs

from smsapi_async.sandbox import Dialect


@attrs.frozen
class Variant:
    """A gateway, and the settings of a client for this gateway.

    Attributes:
        dialect: the variations of the gateway.
        options: the settings of `AsyncSmsClient`.
        local_bulks: whether the messages of a batch have a local time, and the batch may send bulks.
    """

    dialect: Dialect
    options: Mapping[str, Any] = attrs.field(factory=dict)
    local_bulks: bool = False


_LATEST = {"api_version": 2, "gateway_time_zone": UTC}
_BULKS = {**_LATEST, "bulk_by_time_zone": True}

VARIANTS = {
    "version 1": Variant(Dialect.CONTRACT),
    "version 2": Variant(Dialect.LATEST, _LATEST),
    "local bulks": Variant(Dialect.LATEST, _BULKS, local_bulks=True),
    "no local bulks": Variant(Dialect.LATEST.with_(bulk_by_time_zone="absent"), _BULKS, local_bulks=True),
    "refused local bulks": Variant(
        Dialect.LATEST.with_(bulk_by_time_zone="refused"), _BULKS, local_bulks=True
    ),
    "local bulks of version 1": Variant(
        Dialect(bulk_by_time_zone="available"), {"bulk_by_time_zone": True}, local_bulks=True
    ),
}
