# mypy: disallow-any-expr
"""Types of the observers in `smsapi_async.contrib`. mypy checks this module."""

import structlog
from opentelemetry.metrics import get_meter_provider
from opentelemetry.trace import get_tracer_provider
from prometheus_client import CollectorRegistry

from smsapi_async import AsyncSmsClient
from smsapi_async.contrib.opentelemetry import OpenTelemetry
from smsapi_async.contrib.prometheus import Prometheus
from smsapi_async.contrib.structlog import Structlog
from smsapi_async.observers import Observer


def observers() -> None:
    given: list[Observer] = [
        OpenTelemetry(),
        OpenTelemetry(tracer_provider=get_tracer_provider(), meter_provider=get_meter_provider()),
        Prometheus(),
        Prometheus(registry=CollectorRegistry()),
        Structlog(),
        Structlog(logger=structlog.stdlib.get_logger("shop")),
    ]
    AsyncSmsClient("login", "password", observers=given)
    AsyncSmsClient.from_env(observers=[OpenTelemetry(), Prometheus(), Structlog()])
    OpenTelemetry(tracer_provider="provider")  # type: ignore[arg-type]
    Prometheus(registry="registry")  # type: ignore[arg-type]
    Structlog(logger="logger")  # type: ignore[arg-type]
