"""Tests SIGHUP: the running daemon changes in place; a bad file changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.broker import mosquitto
from support.daemon import Daemon, jpegs
from support.paths import ROOT
from support.pictures import decoded
from support.reload_site import ReloadSite, Settings

pytestmark = pytest.mark.usefixtures("blazeface_dir")


@pytest.fixture(scope="module")
def shared_site(
    tmp_path_factory: pytest.TempPathFactory, media_dir: Path, blazeface_dir: Path
) -> Iterator[ReloadSite]:
    """Yield a daemon that the tests of a file share."""
    folder = tmp_path_factory.mktemp("shared")
    site = ReloadSite(folder, media_dir / "signing-book.mkv", blazeface_dir)
    with site.daemon:
        yield site


@pytest.fixture
def kept_site(shared_site: ReloadSite) -> Iterator[ReloadSite]:
    """Yield the daemon of several tests as it was at the start; a test does not stop it."""
    yield shared_site
    shared_site.restore()


def test_thresholds_change_and_the_face_stays(kept_site: ReloadSite) -> None:
    before = kept_site.face()
    assert before["label"] != "uncertain"
    changes: Settings = {"min_score": 1.0, "dwell_s": 0.0}
    kept_site.write({"smoothing": changes, "events": {"ram_dir": "/run/nowhere"}})
    assert "smoothing.min_score, smoothing.dwell_s" in kept_site.daemon.reload()
    restart = "events.ram_dir has changed, but needs a restart: events that are still in it"
    kept_site.daemon.until(lambda: restart in str(kept_site.daemon.log))
    uncertain = kept_site.daemon.until(
        lambda: [f for f in kept_site.daemon.state()["faces"] if f["label"] == "uncertain"]
    )
    assert uncertain[0]["id"] == before["id"]
    kept_site.daemon.until(lambda: kept_site.daemon.events()[-1]["type"] == "expression_end")
    kinds = [event["type"] for event in kept_site.daemon.events()]
    assert (kinds.count("daemon_start"), kinds.count("face_start")) == (1, 1)


BAD_FILES = {
    "smoothing: {dwel_s: 1}\n": "did you mean 'smoothing.dwell_s'",
    "smoothing: {dwell_s: -1}\n": "line 1: smoothing.dwell_s is -1",
    "a: [\n": "not valid YAML",
    "smoothing:\n\tdwell_s: 1\n": "line 2: indented with a tab; use spaces",
    "smoothing: {dwell_s: .nan}\n": "line 1: smoothing.dwell_s is nan",
    "[" * 100_000: "cannot be read as YAML",
    "camera: {source: nowhere.mp4}\n": "nowhere.mp4 does not exist",
    "detector: {backend: mediapipe, range: short}\nmodel: /dev/null\n": "not a regular file",
    "mqtt: {host: 127.0.0.1, tls: true, tls_ca: nowhere.pem}\n": "nowhere.pem",
    "model: nowhere.tflite\nsmoothing: {min_score: 1.0}\n": "nowhere.tflite: the model cannot",
}


def test_a_bad_file_changes_nothing(kept_site: ReloadSite) -> None:
    kept_site.face()
    before = kept_site.daemon.state()["model"]
    source = kept_site.daemon.state()["camera"]["source"]
    for content, expected in BAD_FILES.items():
        kept_site.config.write_text(content)
        assert "refused" in kept_site.daemon.reload()
        assert expected in "\n".join(kept_site.daemon.log)
    kept_site.config.unlink()
    os.mkfifo(kept_site.config)
    assert "refused" in kept_site.daemon.reload()
    assert "config.yaml: cannot be read: it is not a regular file" in "\n".join(
        kept_site.daemon.log
    )
    assert kept_site.face()["label"] != "uncertain"
    state = kept_site.daemon.state()
    assert state["model"] == before
    assert (state["camera"]["source"], state["camera"]["reopened"]) == (source, 0)
    assert "Traceback" not in "\n".join(kept_site.daemon.log)


def test_a_reload_without_the_detectors_file_is_refused(
    tmp_path: Path, media_dir: Path, blazeface_dir: Path
) -> None:
    installation, config = tmp_path / "installation", tmp_path / "config.yaml"
    shutil.copytree(ROOT / "edge_daemon", installation / "edge_daemon")
    shutil.copytree(blazeface_dir, installation / "models")
    model = str(installation / "models" / "expression.tflite")
    source = str(media_dir / "signing-book.mkv")
    config.write_text(yaml.safe_dump({"model": model, "camera": {"source": source}}))
    start = f"import sys; sys.path.insert(0, {str(installation)!r})"
    script = f"{start}; from edge_daemon.__main__ import run; run()"
    with Daemon(tmp_path, config=config, python=("-c", script)) as daemon:
        daemon.until(lambda: daemon.state()["detector"] == "blazeface")
        missing = installation / "models" / "face_detection_full_range_sparse.tflite"
        missing.unlink()
        assert "refused" in daemon.reload()
        (line,) = [line for line in daemon.log if "ERROR detector: " in line]
        assert missing.name in line
        assert f"are not all in {missing.parent}, so only the Haar" in line
        assert daemon.state()["detector"] == "blazeface"


def test_another_source_opens_the_camera_again(reload_site: ReloadSite, media_dir: Path) -> None:
    reload_site.face()
    before = reload_site.daemon.state()["frames"]["captured"]
    clip = str(media_dir / "two-people-tilting.mp4")
    reload_site.write({"camera": {"source": clip, "name": "door"}})
    assert "changed: camera.name, camera.source" in reload_site.daemon.reload()
    reload_site.daemon.until(lambda: reload_site.daemon.state()["camera"]["source"] == clip)
    reload_site.daemon.until(lambda: reload_site.daemon.state()["frames"]["captured"] > before)
    assert reload_site.daemon.state()["camera"]["name"] == "door"
    reload_site.daemon.until(lambda: reload_site.daemon.events()[-1]["camera"] == "door")
    assert reload_site.daemon.stop() == 0
    kinds = {event["type"] for event in reload_site.daemon.events()}
    assert not kinds & {"camera_lost", "camera_restored"}


def test_a_broker_can_be_set_and_removed_by_a_reload(kept_site: ReloadSite, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        assert kept_site.daemon.state()["mqtt"] is None
        kept_site.write({"mqtt": {"host": "127.0.0.1", "port": broker.port}})
        assert "mqtt.host, mqtt.port" in kept_site.daemon.reload()
        kept_site.daemon.until(lambda: kept_site.daemon.state()["mqtt"]["connected"])
        kept_site.write({})
        assert "mqtt.host, mqtt.port" in kept_site.daemon.reload()
        kept_site.daemon.until(lambda: kept_site.daemon.state()["mqtt"] is None)


def test_privacy_and_drawing_change_at_once_for_present_viewers(kept_site: ReloadSite) -> None:
    box = [round(value) for value in kept_site.face()["box"]]
    with urllib.request.urlopen(kept_site.daemon.url + "/stream.mjpg", timeout=30) as stream:
        parts = jpegs(stream)
        assert detail(next(parts), box) > 4
        kept_site.write({"privacy": {"blur_faces": True}, "stream": {"quality": 60}})
        assert "stream.quality" in kept_site.daemon.reload()
        kept_site.daemon.until(lambda: detail(next(parts), box) < 4)
        kept_site.write({"privacy": {"stream": False}})
        kept_site.daemon.reload()
        kept_site.daemon.until(lambda: np.median(decoded(next(parts))) < 3)
    assert kept_site.face()["label"]
    assert np.median(kept_site.picture()) < 3


def detail(jpeg: bytes, box: list[int]) -> float:
    """Return the detail in the middle of `box`: the mean difference between neighboring pixels."""
    x, y, w, h = box
    part = decoded(jpeg)[y + h // 4 : y + 3 * h // 4, x + w // 4 : x + 3 * w // 4]
    return float(np.abs(np.diff(part.astype(float), axis=1)).mean())


def test_logrotate_can_move_the_log_away(reload_site: ReloadSite) -> None:
    reload_site.face()
    old = reload_site.daemon.events_path.with_suffix(".1")
    reload_site.daemon.events_path.rename(old)
    reload_site.daemon.reload()
    assert reload_site.daemon.stop() == 0
    first, second = (
        path.read_text().splitlines() for path in (old, reload_site.daemon.events_path)
    )
    assert json.loads(first[0])["type"] == "daemon_start"
    assert json.loads(second[-1])["type"] == "daemon_stop"
