"""The parts' metrics in Prometheus' text format; only this file imports prometheus_client.

Counters and gauges are read from the parts on each request. Only the times of the stages are
collected here.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client import Metric as PrometheusMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from edge_daemon import __version__
from edge_daemon.core.parts import Metric, Part, info
from edge_daemon.core.types import ENCODE, FRAME, STAGES

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class StageTimes:
    """Histograms of the times of each of STAGES, of encoding a JPEG, and of a whole frame."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        self._stages = Histogram(
            "mien_stage_seconds",
            "Time a stage takes for a frame.",
            ["stage"],
            registry=registry,
            buckets=BOUNDS_S,
        )
        self._frame = Histogram(
            "mien_frame_latency_seconds",
            "Time from a frame's capture to its published view.",
            registry=registry,
            buckets=BOUNDS_S,
        )
        stages = (*STAGES, ENCODE)
        self._histograms = {each: self._stages.labels(each) for each in stages}
        self._histograms[FRAME] = self._frame

    def observe(self, stage: str, took_s: float) -> None:
        """Record that `stage`, one of STAGES, ENCODE or FRAME, took `took_s` seconds."""
        self._histograms[stage].observe(took_s)

    def means_ms(self) -> dict[str, float]:
        """Return the mean of each stage seen so far, in milliseconds."""
        means = {}
        for stage, histogram in self._histograms.items():
            (metric,) = histogram.collect()
            sums = {s.name.rpartition("_")[2]: s.value for s in metric.samples}
            if sums["count"]:
                means[stage] = round(1000 * sums["sum"] / sums["count"], 2)
        return means


class PrometheusMetrics(Collector):
    """All metrics of the daemon; `parts` may be filled after this is built."""

    def __init__(self, parts: Sequence[Part[Any]], times: StageTimes) -> None:
        self._parts = parts
        self._registry = times.registry
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> tuple[bytes, str]:
        """Return the metrics at this moment, and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE

    def collect(self) -> Iterable[PrometheusMetric]:
        """Return the parts' metrics; the registry calls this."""
        families: dict[str, PrometheusMetric] = {}
        for metric in self._metrics():
            family = families.setdefault(metric.name, _family(metric))
            for labels, value in metric.samples:
                family.add_metric(list(labels.values()), value)  # type: ignore[attr-defined]
        return families.values()

    def _metrics(self) -> Iterator[Metric]:
        yield info("mien_build", "The daemon.", version=__version__)
        for part in self._parts:
            yield from part.metrics()


def _family(metric: Metric) -> PrometheusMetric:
    names = list(metric.samples[0][0]) if metric.samples else []
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: PrometheusMetric = kind(metric.name, metric.help, labels=names)
    return family
