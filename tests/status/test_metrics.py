"""/metrics of a running daemon, parsed by Prometheus' own parser and compared with /state."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.daemon import DEADLINE_S, Daemon
from support.paths import ROOT

pytestmark = pytest.mark.usefixtures("blazeface_dir")

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> Iterator[Daemon]:
    clip = media_dir / "signing-book.mkv"
    with Daemon(tmp_path_factory.mktemp("metrics"), f"camera.source={clip}") as daemon:
        daemon.until(lambda: daemon.state()["event_counts"]["face_start"])
        daemon.until(lambda: daemon.state()["event_log"]["written"] >= 2)
        yield daemon


def scraped(daemon: Daemon) -> Values:
    """Return every sample by its name and labels; each must be there once."""
    values: Values = {}
    for family in text_string_to_metric_families(daemon.get("/metrics").decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in values
            values[key] = sample.value
    return values


def only(values: Values, name: str, **labels: str) -> float:
    return values[(name, tuple(sorted(labels.items())))]


def test_it_is_prometheus_text(running: Daemon) -> None:
    with urllib.request.urlopen(running.url + "/metrics", timeout=DEADLINE_S) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"


def test_every_frame_is_accounted_for(running: Daemon) -> None:
    values = scraped(running)
    captured = only(values, "mien_frames_captured_total")
    done = only(values, "mien_frames_processed_total")
    lost = only(values, "mien_frames_dropped_total", reason="overwritten")
    assert captured > 0
    assert done > 0
    assert only(values, "mien_frames_dropped_total", reason="slow_down") == 0
    assert abs(captured - done - lost) <= 2  # one waits, one is being processed


def test_the_times_of_the_stages_are_histograms(running: Daemon) -> None:
    before = running.state()["frames"]["processed"]
    values = scraped(running)
    for stage in ("detect", "track", "classify", "publish"):
        count = only(values, "mien_stage_seconds_count", stage=stage)
        assert count >= (before if stage == "publish" else 1)  # not every frame is searched
        assert only(values, "mien_stage_seconds_bucket", stage=stage, le="+Inf") == count
        assert only(values, "mien_stage_seconds_sum", stage=stage) > 0
    assert only(values, "mien_frame_latency_seconds_count") >= before
    running.get("/snapshot.jpg")
    assert only(scraped(running), "mien_stage_seconds_count", stage="encode") >= 1
    means = running.state()["stages_ms"]
    assert list(means) == ["detect", "track", "classify", "publish", "encode", "frame"]


def test_camera_model_and_process_are_reported(running: Daemon) -> None:
    values, state = scraped(running), running.state()
    assert only(values, "mien_camera_state", state="ok") == 1
    assert only(values, "mien_camera_state", state="lost") == 0
    assert only(values, "mien_camera_losses_total", cause="silent") == 0
    assert only(values, "mien_camera_reads_abandoned_total") == 0
    (model,) = (dict(labels) for name, labels in values if name == "mien_model_info")
    assert (model["name"], model["sha256"]) == (state["model"]["name"], state["model"]["sha256"])
    assert (model["runtime"], model["detector"]) == (state["runtime"], state["detector"])
    resident = only(values, "process_resident_memory_bytes")
    assert 0.5 < resident / 1e6 / state["memory_mb"] < 2
    assert only(values, "process_cpu_seconds_total") > 0


def test_events_faces_and_viewers_are_counted(running: Daemon) -> None:
    values = scraped(running)
    assert only(values, "mien_events_total", type="daemon_start") == 1
    assert only(values, "mien_events_total", type="face_start") >= 1
    assert only(values, "mien_events_dropped_total", reason="backlog_full") == 0
    assert only(values, "mien_events_written_total") >= 2
    assert only(values, "mien_event_log_failures_total") == 0
    assert only(values, "mien_snapshots_dropped_total", reason="backlog_full") == 0
    assert only(values, "mien_snapshots_dropped_total", reason="disk") == 0
    assert only(values, "mien_viewers") == 0
    running.until(lambda: only(scraped(running), "mien_faces") == 1)
    with urllib.request.urlopen(running.url + "/stream.mjpg", timeout=DEADLINE_S) as stream:
        stream.read(1000)
        assert only(scraped(running), "mien_viewers") == 1


def test_the_documentation_names_them_all(running: Daemon) -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    families = list(text_string_to_metric_families(running.get("/metrics").decode()))
    counted = {f"{each.name}_total" for each in families if each.type == "counter"}
    served = counted | {each.name for each in families if each.type != "counter"}
    ours = {name for name in served if name.startswith("mien_") and not name.endswith("_created")}
    table = "\n".join(row for row in text.splitlines() if row.startswith("| `"))
    optional = {"mien_board_limit", "mien_board_limit_since_start"}  # as the kernel tells
    optional.add("mien_update_state")  # where updates are asked for
    named = {
        name
        for name in re.findall(r"`(mien_\w+)", table)
        if not re.search("_mqtt_|_webhook_", name)
    }
    assert named == ours | optional


def test_state_has_the_same_counts(running: Daemon) -> None:
    state = json.loads(running.get("/state"))
    assert state["frames"].keys() == {"captured", "processed", "overwritten", "skipped"}
    assert state["event_counts"]["daemon_start"] == 1
    assert state["board"].keys() == {"temperatures_c", "limits", "limits_before", "slowed_down"}
    assert state["camera"]["lost"] == {"absent": 0, "ended": 0, "silent": 0, "frozen": 0}


def test_a_lost_camera_shows(tmp_path: Path) -> None:
    with Daemon(tmp_path, "camera.source=http://127.0.0.1:9/", "camera.timeout_s=1") as daemon:
        daemon.until(lambda: daemon.state()["camera"]["state"] == "lost")
        values = scraped(daemon)
        assert only(values, "mien_camera_state", state="lost") == 1
        assert only(values, "mien_camera_lost", cause="absent") == 1
        assert only(values, "mien_camera_losses_total", cause="absent") >= 1
        daemon.until(lambda: only(scraped(daemon), "mien_camera_reopenings_total") >= 1)
