"""Metrics of a client for Prometheus, with the library prometheus_client.

Pass a `Prometheus` to the client::

    from smsapi_async.contrib.prometheus import Prometheus

    sms = AsyncSmsClient.from_env(observers=[Prometheus()])

Serve the metrics as usual, for example with ``prometheus_client.make_asgi_app()``. An example of an alert is
``increase(smsapi_messages_total{outcome="unknown"}[10m]) > 0``.

| Metric                                 | Labels                   | Value                                  |
|----------------------------------------|--------------------------|----------------------------------------|
| `smsapi_requests_total`                | resource, outcome, error | requests that have ended               |
| `smsapi_request_duration_seconds`      | resource                 | histogram: durations of requests       |
| `smsapi_request_wait_seconds`          | resource                 | histogram: waits of calls for a request|
| `smsapi_requests_in_flight`            |                          | requests in flight now                 |
| `smsapi_requests_not_made_total`       | resource, outcome, error | calls that ended without a request     |
| `smsapi_messages_total`                | resource, outcome        | recipients of requests that have ended |
| `smsapi_segments_total`                | resource, outcome        | segments of these messages             |
| `smsapi_logins_total`                  | outcome, error           | logins                                 |
| `smsapi_batch_messages_total`          | outcome                  | outcomes in batches                    |
| `smsapi_batch_pending_messages`        |                          | messages in batches without an outcome |
| `smsapi_batches_total`                 | error                    | batches that have ended                |
| `smsapi_ledger_messages_total`         | ledger, result           | messages in claims of a ledger         |
| `smsapi_ledger_claim_duration_seconds` | ledger                   | histogram: durations of claims         |
| `smsapi_ledger_failures_total`         | ledger, error            | claims that failed                     |
| `smsapi_inbox_failures_total`          | error                    | failed rounds of the inbox             |
| `smsapi_inbox_recoveries_total`        |                          | successes after failed rounds          |

`smsapi_async.observers` describes the outcomes. The label ``error`` is the name of the class of the error. It
is empty after a success. Each label has few values. No label contains a password, a session id, a text, a
phone number or a segment id.

A message that needs two requests counts twice in `smsapi_messages_total`: once with the outcome of each
request. The gateway bills the segments with the outcome ``accepted``.
"""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from smsapi_async.contrib.missing import needs

with needs(__name__, {"prometheus_client"}, "prometheus-client"):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.registry import Collector

from smsapi_async.errors import ValidationError
from smsapi_async.observers import (
    BatchProgress,
    Event,
    InboxRecovered,
    InboxRoundFailed,
    LedgerClaim,
    LoginFailed,
    LoginMade,
    RequestBegun,
    RequestEnded,
    RequestNotMade,
)
from smsapi_async.privacy import type_name

__all__ = ["Prometheus"]

_COUNTERS = {
    "requests": ("Requests that have ended.", ("resource", "outcome", "error")),
    "requests_not_made": ("Calls that ended before their first request.", ("resource", "outcome", "error")),
    "messages": ("Recipients of requests that have ended.", ("resource", "outcome")),
    "segments": ("Segments of the messages of requests that have ended.", ("resource", "outcome")),
    "logins": ("Logins.", ("outcome", "error")),
    "batch_messages": ("Outcomes of batches.", ("outcome",)),
    "batches": ("Batches that have ended.", ("error",)),
    "ledger_messages": ("Messages in claims of a ledger.", ("ledger", "result")),
    "ledger_failures": ("Claims that failed.", ("ledger", "error")),
    "inbox_failures": ("Failed rounds of the inbox.", ("error",)),
    "inbox_recoveries": ("Successes of the inbox after failed rounds.", ()),
}
_HISTOGRAMS = {
    "request_duration": ("Duration of requests.", ("resource",)),
    "request_wait": ("Time for which calls waited before a request.", ("resource",)),
    "ledger_claim_duration": ("Duration of claims in a ledger.", ("ledger",)),
}
_GAUGES = {
    "requests_in_flight": "Requests in flight.",
    "batch_pending_messages": "Messages of batches without an outcome.",
}
# A registry accepts each name only once, so all observers of a registry share the metrics. The registry keeps
# them in this attribute. A dictionary of this module would be empty after a reload of the module.
_METRICS = "_smsapi_async_metrics"
_lock = threading.Lock()


@attrs.define(eq=False)
class _Metrics:
    """The metrics of one registry.

    Attributes:
        counters: the counters.
        histograms: the histograms.
        gauges: the gauges.
        process: the id of the process whose requests the gauges count.
        batches: the last event of each batch in progress, by the number of the batch.
    """

    counters: Mapping[str, Counter]
    histograms: Mapping[str, Histogram]
    gauges: Mapping[str, Gauge]
    process: int = attrs.field(factory=os.getpid)
    batches: dict[int, BatchProgress] = attrs.field(factory=dict)
    _children: dict[tuple[str, ...], Any] = attrs.field(factory=dict, init=False)

    @classmethod
    def registered(cls, registry: CollectorRegistry) -> "_Metrics":
        """Create the metrics, and add them to a registry."""
        metrics = cls(
            {
                name: Counter(name, text, labels, namespace="smsapi", registry=None)
                for name, (text, labels) in _COUNTERS.items()
            },
            {
                name: Histogram(name, text, labels, namespace="smsapi", unit="seconds", registry=None)
                for name, (text, labels) in _HISTOGRAMS.items()
            },
            {
                # If `PROMETHEUS_MULTIPROC_DIR` is set, the gauge is the sum over all living processes.
                name: Gauge(name, text, namespace="smsapi", multiprocess_mode="livesum", registry=None)
                for name, text in _GAUGES.items()
            },
        )
        added: list[Collector] = []
        for each in (*metrics.counters.values(), *metrics.histograms.values(), *metrics.gauges.values()):
            try:
                registry.register(each)
            except ValueError:
                for earlier in added:
                    registry.unregister(earlier)
                problem = "a registry with a metric of the same name"
                raise ValidationError("registry", problem, "pass another CollectorRegistry") from None
            added.append(each)
        return metrics

    def count(self, name: str, number: int, *labels: str) -> None:
        """Add a number to the counter with the name and the values of its labels."""
        self.child(name, *labels).inc(number)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Add a time to the histogram with the name and the values of its labels."""
        self.child(name, *labels).observe(seconds)

    def child(self, *name: str) -> Any:  # noqa: ANN401 - the classes of the library have no common interface
        """Return the counter or histogram with a name and the values of its labels."""
        # `labels()` of the library takes longer than all else that an observer does.
        try:
            return self._children[name]
        except KeyError:
            metric: Any = (self.counters if name[0] in self.counters else self.histograms)[name[0]]
            child = self._children[name] = metric.labels(*name[1:]) if len(name) > 1 else metric
            return child

    def forget_parent(self) -> None:
        """After a fork, remove the requests and batches of the parent process from the gauges."""
        if self.process == os.getpid():
            return
        self.process = os.getpid()
        self.batches.clear()
        for gauge in self.gauges.values():
            gauge.set(0)


@attrs.frozen
class _Ends:
    """The metrics of all ends of requests with the same labels. One look-up is faster than four.

    Attributes:
        requests: the counter of the requests.
        durations: the histogram of the durations.
        sent: the counters of messages and of segments; None for a read.
    """

    requests: Any
    durations: Any
    sent: tuple[Any, Any] | None


class Prometheus:
    """An observer that counts the events of a client in metrics for Prometheus.

    Several clients may share an observer, and several observers may share a registry.

    Args:
        registry: the registry of the metrics. None means the default registry of prometheus_client.

    Raises:
        ValidationError: if ``registry`` is not a `CollectorRegistry`, or contains metrics of other code with
            the same names.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        if registry is None:
            registry = REGISTRY
        if not isinstance(registry, CollectorRegistry):
            raise ValidationError("registry", type_name(registry), "pass a CollectorRegistry")
        with _lock:
            metrics: _Metrics | None = getattr(registry, _METRICS, None)
            if metrics is None:
                metrics = _Metrics.registered(registry)
                setattr(registry, _METRICS, metrics)
        self._metrics = metrics
        self._in_flight = metrics.gauges["requests_in_flight"]
        self._pending = metrics.gauges["batch_pending_messages"]
        self._ends: dict[tuple[str, str, str | None], _Ends] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            RequestBegun: self._begin,
            RequestEnded: self._end,
            RequestNotMade: self._count_unmade,
            LoginMade: self._count_login,
            LoginFailed: self._count_login,
            BatchProgress: self._follow,
            LedgerClaim: self._count_claim,
            InboxRoundFailed: self._count_round,
            InboxRecovered: self._count_recovery,
        }

    def __call__(self, event: Event) -> None:
        """Count an event."""
        # An event of a later version is ignored. A mapping is faster than a `match` with many classes.
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _begin(self, event: RequestBegun) -> None:
        self._metrics.forget_parent()
        self._in_flight.inc()
        self._metrics.observe("request_wait", event.waited, event.resource)

    def _end(self, event: RequestEnded) -> None:
        self._in_flight.dec()
        labels = event.resource, event.outcome, event.error_type
        ends = self._ends.get(labels)
        if ends is None:
            ends = self._ends[labels] = self._ends_of(event)
        ends.requests.inc()
        ends.durations.observe(event.elapsed)
        if ends.sent is not None:
            messages, segments = ends.sent
            messages.inc(event.recipients)
            segments.inc(event.segments)

    def _ends_of(self, event: RequestEnded) -> _Ends:
        """Return the metrics of all ends of requests with the same labels."""
        child, resource, outcome = self._metrics.child, event.resource, event.outcome
        return _Ends(
            child("requests", resource, outcome, event.error_type or ""),
            child("request_duration", resource),
            (child("messages", resource, outcome), child("segments", resource, outcome))
            if event.recipients
            else None,
        )

    def _count_unmade(self, event: RequestNotMade) -> None:
        self._metrics.count("requests_not_made", 1, event.resource, event.outcome, event.error_type or "")

    def _count_login(self, event: LoginMade | LoginFailed) -> None:
        if isinstance(event, LoginMade):
            self._metrics.count("logins", 1, "succeeded", "")
        else:
            self._metrics.count("logins", 1, event.outcome, event.error_type or "")

    def _count_round(self, event: InboxRoundFailed) -> None:
        self._metrics.count("inbox_failures", 1, event.error_type or "")

    def _count_recovery(self, _: InboxRecovered) -> None:
        self._metrics.count("inbox_recoveries", 1)

    def _follow(self, event: BatchProgress) -> None:
        """Add the difference between two events of a batch, because each event contains the sums so far."""
        metrics = self._metrics
        metrics.forget_parent()
        earlier = metrics.batches.pop(event.batch, None)
        for outcome in ("accepted", "rejected", "unknown"):
            before = 0 if earlier is None else getattr(earlier, outcome)
            metrics.count("batch_messages", max(0, getattr(event, outcome) - before), outcome)
        self._pending.dec(0 if earlier is None else earlier.pending)
        if event.has_ended:
            metrics.count("batches", 1, event.error_type or "")
        else:
            self._pending.inc(event.pending)
            metrics.batches[event.batch] = event

    def _count_claim(self, event: LedgerClaim) -> None:
        metrics = self._metrics
        metrics.observe("ledger_claim_duration", event.elapsed, event.ledger)
        for result in ("claimed", "recorded", "in_flight"):
            metrics.count("ledger_messages", getattr(event, result), event.ledger, result)
        if event.error_type is not None:
            metrics.count("ledger_failures", 1, event.ledger, event.error_type)
