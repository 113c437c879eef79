"""An observer for OpenTelemetry whose spans and metrics stay in memory."""

from typing import Any

import attrs
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from smsapi_async.contrib.opentelemetry import OpenTelemetry


@attrs.frozen
class Telemetry:
    """An observer with an exporter of spans and a reader of metrics in memory."""

    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    tracers: TracerProvider = attrs.field(factory=TracerProvider)
    observer: OpenTelemetry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider(metric_readers=[self.reader])
        object.__setattr__(self, "observer", OpenTelemetry(self.tracers, meters))

    @property
    def tracer(self) -> trace.Tracer:
        """The tracer of the program."""
        return self.tracers.get_tracer("the program")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans of the client, without the logins."""
        spans = [
            span for span in self.exporter.get_finished_spans() if "smsapi.outcome" in attributes_of(span)
        ]
        return [span for span in spans if not span.name.startswith("login")]

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Return the attributes and the value of each point of a metric; for a histogram, the count."""
        data = self.reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "count", None) or getattr(point, "value", None))
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def total(self, name: str) -> float:
        """Return the sum of the points of a metric."""
        return sum(value or 0 for _, value in self.points(name))


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
