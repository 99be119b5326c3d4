"""Tests the parts' reports, merged for /state, /healthz and /metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from edge_daemon.core.parts import Metric, Part, counter, gauges, info
from edge_daemon.status.metrics import PrometheusMetrics, StageTimes
from edge_daemon.status.report import DaemonReport


class Lamp(Part[Any]):
    """A part as a new feature would bring it."""

    name = "lamp"

    def __init__(self, frames: dict[str, int], trouble: str = "") -> None:
        self._frames, self._trouble = frames, trouble
        self.lit = False

    def start(self) -> None:
        self.lit = True

    def stop(self) -> None:
        self.lit = False

    def report(self) -> dict[str, Any]:
        return {"frames": self._frames, "lamp": "on"}

    def metrics(self) -> Iterable[Metric]:
        yield info("mien_lamp", "The lamp.", color="red")
        yield gauges("mien_lamp_state", "1 for the lamp's state.", "state", [("on", 1), ("off", 0)])
        for reason, value in self._frames.items():
            yield counter("mien_lamp_frames", "Frames it was on.", value, reason=reason)

    def trouble(self) -> str:
        return self._trouble


def test_mappings_of_several_parts_are_merged() -> None:
    report = DaemonReport([Lamp({"seen": 1}), Lamp({"missed": 2})], stage_means_ms=dict)
    state = report.state()
    assert state["frames"] == {"seen": 1, "missed": 2}
    assert state["lamp"] == "on"
    assert state["mqtt"] is None  # of a part that is not configured
    assert report.healthy() == (True, "")


def test_every_trouble_is_named() -> None:
    parts = [Lamp({}, "no bulb"), Lamp({}), Lamp({}, "no power")]
    assert DaemonReport(parts, stage_means_ms=dict).healthy() == (False, "no bulb; no power")


def test_metrics_of_one_name_become_one_family() -> None:
    parts = [Lamp({"seen": 1}), Lamp({"missed": 2})]
    text, content_type = PrometheusMetrics([parts[0], parts[1]], StageTimes()).text()
    assert content_type.startswith("text/plain")
    families = {each.name: each for each in text_string_to_metric_families(text.decode())}
    samples = families["mien_lamp_frames"].samples
    totals = {s.labels["reason"]: s.value for s in samples if s.name.endswith("_total")}
    assert totals == {"seen": 1.0, "missed": 2.0}
    assert text.decode().count("# HELP mien_lamp_frames_total") == 1


def test_a_part_need_not_adopt_a_configuration() -> None:
    part = Lamp({})
    part.start()
    part.adopt(object())()
    assert part.lit
    part.stop()
    assert not part.lit
