"""Metrics: the running parts in, Prometheus' text format out. The adapter of prometheus_client.

Counters and gauges are read off the parts when asked, so that nothing is counted twice; only the
times of the stages are gathered here. https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_daemon import __version__
from edge_daemon.capture.camera import State
from edge_daemon.core.types import ENCODE, FRAME, STAGES
from edge_daemon.status.board import LIMITS
from edge_daemon.status.observed import Observed
from edge_daemon.updates.status import UpdateState

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class StageTimes:
    """How long each stage of the pipeline takes, a JPEG, and a frame from capture to view."""

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
        self._of = {each: self._stages.labels(each) for each in stages} | {FRAME: self._frame}

    def observe(self, stage: str, took_s: float) -> None:
        """Count `took_s` seconds of one of STAGES, of ENCODE, or of FRAME."""
        self._of[stage].observe(took_s)

    def means_ms(self) -> dict[str, float]:
        """The mean of each, in milliseconds, of those seen so far."""
        means = {}
        for stage, histogram in self._of.items():
            (metric,) = histogram.collect()
            sums = {s.name.rpartition("_")[2]: s.value for s in metric.samples}
            if sums["count"]:
                means[stage] = round(1000 * sums["sum"] / sums["count"], 2)
        return means


class Metrics(Collector):
    """All that /metrics says; `viewers` tells how many streams are being watched."""

    def __init__(
        self, observed: Observed, *, times: StageTimes, viewers: Callable[[], int]
    ) -> None:
        self._observed = observed
        self._registry = times.registry
        self._viewers = viewers
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> tuple[bytes, str]:
        """The metrics at this moment, and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        yield from self._identity()
        yield from self._frames()
        yield from self._camera_health()
        yield from self._results()
        yield from self._written()
        yield from self._board_health()
        yield from self._broker()
        yield from self._updates()

    def _identity(self) -> Iterable[Metric]:
        stages = self._observed.pipeline.stages
        model = stages.classifier.model
        yield _info("mien_build", "The daemon.", version=__version__)
        yield _info(
            "mien_model",
            "What looks at the faces.",
            name=model.name,
            sha256=model.sha256,
            runtime=stages.classifier.runtime,
            detector=stages.detector.name,
        )

    def _frames(self) -> Iterable[Metric]:
        counts, progress = self._observed.camera.counts, self._observed.pipeline.progress
        yield _counter("mien_frames_captured", "Frames the camera delivered.", counts.captured)
        yield _counter("mien_frames_processed", "Frames that were looked at.", progress.frames)
        yield _counters(
            "mien_frames_dropped",
            "Frames that were not: a newer one came first, or the board is held back.",
            "reason",
            [("overwritten", counts.overwritten), ("slow_down", self._observed.throttle.skipped)],
        )
        yield _gauge("mien_frame_rate_hertz", "Processed frames a second, of late.", progress.fps)

    def _camera_health(self) -> Iterable[Metric]:
        status, counts = self._observed.camera.status, self._observed.camera.counts
        yield _info(
            "mien_camera", "The camera.", name=self._observed.camera_name, source=status.name
        )
        yield _gauges(
            "mien_camera_state",
            "1 for the state the camera is in.",
            "state",
            [(state, float(state == status.state)) for state in get_args(State)],
        )
        yield _gauges(
            "mien_camera_lost",
            "1 for why the camera is lost, if it is.",
            "cause",
            [(cause, float(cause == status.cause)) for cause in counts.lost],
        )
        yield _counters(
            "mien_camera_losses",
            "Openings of the camera that failed or came to an end.",
            "cause",
            counts.lost.items(),
        )
        yield _counter("mien_camera_reopenings", "Openings after the first.", counts.reopened)
        yield _counter(
            "mien_camera_reads_abandoned", "Reads that hung in the driver.", counts.abandoned
        )

    def _results(self) -> Iterable[Metric]:
        view = self._observed.views.peek()
        faces = len(view.faces) if view else 0
        yield _gauge("mien_faces", "Faces in the picture now.", faces)
        yield _counters(
            "mien_events", "Events by type.", "type", self._observed.feed.counts.items()
        )
        yield _counters(
            "mien_expressions",
            "Expressions that began.",
            "label",
            self._observed.feed.expressions.items(),
        )
        yield _gauge("mien_viewers", "Streams being watched.", self._viewers())

    def _written(self) -> Iterable[Metric]:
        status = self._observed.event_log.status
        yield _counter("mien_events_written", "Events in the log.", status.written)
        yield _counters(
            "mien_events_dropped",
            "Events that were not written: too many waited.",
            "reason",
            [("backlog_full", self._observed.backlog.dropped)],
        )
        yield _counter(
            "mien_event_log_failures", "Times that the log's disk failed.", status.failures
        )
        yield _counter(
            "mien_snapshots_written", "Pictures of events.", self._observed.snapshots.written
        )
        yield _counters(
            "mien_snapshots_dropped",
            "Pictures that were not written: too many waited, or the disk failed.",
            "reason",
            [
                ("backlog_full", self._observed.shots.dropped),
                ("disk", self._observed.snapshots.failed),
            ],
        )

    def _board_health(self) -> Iterable[Metric]:
        status = self._observed.board.status
        yield _gauges(
            "mien_temperature_celsius",
            "What the kernel's thermal zones say.",
            "zone",
            status.temperatures_c.items(),
        )
        for name, what, limits in (
            ("mien_board_limit", "1 for what holds the board back now.", status.limits),
            (
                "mien_board_limit_since_start",
                "1 for what has held the board back since its start.",
                status.limits_before,
            ),
        ):
            if limits is not None:
                held = [(each, float(each in limits)) for each in LIMITS]
                yield _gauges(name, what, "limit", held)
        yield _gauge(
            "mien_slow_down",
            "1 while half the frames are left out.",
            self._observed.throttle.active,
        )

    def _broker(self) -> Iterable[Metric]:
        status = self._observed.mqtt()
        if status is None:
            return
        yield _gauge("mien_mqtt_connected", "1 while the broker is there.", status.connected)
        yield _counter(
            "mien_mqtt_events_acknowledged", "Events the broker has.", status.acknowledged
        )
        yield _counter(
            "mien_mqtt_events_redelivered",
            "Those of them that it may have twice.",
            status.redelivered,
        )

    def _updates(self) -> Iterable[Metric]:
        status = self._observed.update()
        if status is None:
            return
        yield _gauges(
            "mien_update_state",
            "1 for how model updates are doing.",
            "state",
            [(state, float(state == status.state)) for state in get_args(UpdateState)],
        )


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(name, what, value=value)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _counters(name: str, what: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(name, what, labels=[label])
    for each, value in values:
        family.add_metric([each], value)
    return family


def _gauges(name: str, what: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=[label])
    for each, value in values:
        family.add_metric([each], value)
    return family


def _info(name: str, what: str, /, **labels: str) -> Metric:
    family = GaugeMetricFamily(f"{name}_info", what, labels=list(labels))
    family.add_metric(list(labels.values()), 1.0)
    return family
