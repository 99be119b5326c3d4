"""SIGHUP and a replaced model: the running daemon changes in place; a bad file changes nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import yaml
from support.broker import mosquitto
from support.daemon import Daemon, jpegs
from support.paths import ROOT
from support.pictures import decoded

from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError
from edge_daemon.core.parts import Apply, Part
from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Command
from edge_daemon.reload import ConfigChange, FileWatch, Reloader

pytestmark = pytest.mark.usefixtures("blazeface_dir")

Settings = dict[str, Any]


class Site:
    """A daemon on a real clip with its own configuration and model, which a test can change."""

    def __init__(self, folder: Path, clip: Path, models: Path) -> None:
        self.config, self.folder = folder / "config.yaml", folder
        self.model = folder / "models" / "expression.tflite"
        shutil.copytree(models, self.model.parent)
        self._first_model = self.model.read_bytes()
        self.settings: Settings = {
            "model": str(self.model),
            "camera": {"source": str(clip)},
            "events": {"dwell_s": 0.0, "cooldown_s": 0.0},
            "tracker": {"max_age_s": 60.0},  # a busy machine may pause for a while
        }
        self.write({})
        self.daemon = Daemon(folder, config=self.config)

    def write(self, changes: Settings) -> None:
        """Write the settings, with `changes`, as the configuration."""
        sections = {
            name: self.settings.get(name, {}) | value if isinstance(value, dict) else value
            for name, value in changes.items()
        }
        self.config.write_text(yaml.safe_dump(self.settings | sections))

    def replace_model(self, content: bytes) -> None:
        """Replace the model atomically, as `make convert` does."""
        new = self.model.with_suffix(".new")
        new.write_bytes(content)
        new.replace(self.model)

    def refusals(self) -> int:
        return sum("reload refused" in line for line in self.daemon.log)

    def restore(self) -> None:
        """Go back to the configuration and the model of the start."""
        self.config.unlink()
        self.write({})
        if self.model.read_bytes() != self._first_model:
            self.replace_model(self._first_model)
        assert "reloaded" in self.daemon.reload()

    def face(self) -> dict[str, Any]:
        """Wait for a face with a label in the state."""
        found = self.daemon.until(lambda: [f for f in self.daemon.state()["faces"] if f["label"]])
        return dict(found[0])

    def picture(self) -> np.ndarray:
        return decoded(self.daemon.get("/snapshot.jpg"))


@pytest.fixture
def site(tmp_path: Path, media_dir: Path, blazeface_dir: Path) -> Iterator[Site]:
    site = Site(tmp_path, media_dir / "signing-book.mkv", blazeface_dir)
    with site.daemon:
        yield site


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, media_dir: Path, blazeface_dir: Path
) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("shared"), media_dir / "signing-book.mkv", blazeface_dir)
    with site.daemon:
        yield site


@pytest.fixture
def kept(shared: Site) -> Iterator[Site]:
    """A daemon for several tests, which do not stop it; each finds it as it was at the start."""
    yield shared
    shared.restore()


def other(model: bytes) -> bytes:
    """Return the same network in a file with another checksum: the archive gets a comment."""
    comment = b"made again"
    return model[:-2] + len(comment).to_bytes(2, "little") + comment


def with_file(model: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return the same network with the file `name` in its archive changed."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
        start = min(info.header_offset for info in archive.infolist())
    made = io.BytesIO(model[:start])
    with zipfile.ZipFile(made, "a") as archive:
        for each, content in (files | {name: change(files[name])}).items():
            archive.writestr(each, content)
    return made.getvalue()


def in_capitals(spec: bytes) -> bytes:
    """Return a spec.json with other labels."""
    values = json.loads(spec)
    return json.dumps(values | {"labels": [each.upper() for each in values["labels"]]}).encode()


def answered_otherwise(goldens: bytes) -> bytes:
    """Return a goldens.npz with each face's answer moved to the next face."""
    arrays = np.load(io.BytesIO(goldens))
    made = io.BytesIO()
    np.savez(made, faces=arrays["faces"], scores=np.roll(arrays["scores"], 1, axis=0))
    return made.getvalue()


def test_thresholds_change_and_the_face_stays(kept: Site) -> None:
    before = kept.face()
    assert before["label"] != "uncertain"
    changes: Settings = {"min_score": 1.0, "dwell_s": 0.0}
    kept.write({"smoothing": changes, "events": {"ram_dir": "/run/nowhere"}})
    assert "smoothing.min_score, smoothing.dwell_s" in kept.daemon.reload()
    restart = "events.ram_dir has changed, but needs a restart: events that are still in it"
    kept.daemon.until(lambda: restart in str(kept.daemon.log))
    uncertain = kept.daemon.until(
        lambda: [f for f in kept.daemon.state()["faces"] if f["label"] == "uncertain"]
    )
    assert uncertain[0]["id"] == before["id"]
    kept.daemon.until(lambda: kept.daemon.events()[-1]["type"] == "expression_end")
    kinds = [event["type"] for event in kept.daemon.events()]
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


def test_a_bad_file_changes_nothing(kept: Site) -> None:
    kept.face()
    before = kept.daemon.state()["model"]
    source = kept.daemon.state()["camera"]["source"]
    for content, expected in BAD_FILES.items():
        kept.config.write_text(content)
        assert "refused" in kept.daemon.reload()
        assert expected in "\n".join(kept.daemon.log)
    kept.config.unlink()
    os.mkfifo(kept.config)
    assert "refused" in kept.daemon.reload()
    assert "config.yaml: cannot be read: it is not a regular file" in "\n".join(kept.daemon.log)
    assert kept.face()["label"] != "uncertain"
    state = kept.daemon.state()
    assert state["model"] == before
    assert (state["camera"]["source"], state["camera"]["reopened"]) == (source, 0)
    assert "Traceback" not in "\n".join(kept.daemon.log)


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


def test_another_source_opens_the_camera_again(site: Site, media_dir: Path) -> None:
    site.face()
    before = site.daemon.state()["frames"]["captured"]
    clip = str(media_dir / "two-people-tilting.mp4")
    site.write({"camera": {"source": clip, "name": "door"}})
    assert "changed: camera.name, camera.source" in site.daemon.reload()
    site.daemon.until(lambda: site.daemon.state()["camera"]["source"] == clip)
    site.daemon.until(lambda: site.daemon.state()["frames"]["captured"] > before)
    assert site.daemon.state()["camera"]["name"] == "door"
    site.daemon.until(lambda: site.daemon.events()[-1]["camera"] == "door")
    assert site.daemon.stop() == 0
    kinds = {event["type"] for event in site.daemon.events()}
    assert not kinds & {"camera_lost", "camera_restored"}


def test_a_broker_can_be_set_and_removed_by_a_reload(kept: Site, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        assert kept.daemon.state()["mqtt"] is None
        kept.write({"mqtt": {"host": "127.0.0.1", "port": broker.port}})
        assert "mqtt.host, mqtt.port" in kept.daemon.reload()
        kept.daemon.until(lambda: kept.daemon.state()["mqtt"]["connected"])
        kept.write({})
        assert "mqtt.host, mqtt.port" in kept.daemon.reload()
        kept.daemon.until(lambda: kept.daemon.state()["mqtt"] is None)


def test_a_replaced_model_is_loaded_by_itself_and_the_face_stays(site: Site) -> None:
    face, before = site.face(), site.daemon.state()
    site.replace_model(other(site.model.read_bytes()))
    site.daemon.until(lambda: site.daemon.state()["model"]["sha256"] != before["model"]["sha256"])
    after = site.daemon.state()
    assert after["model"]["labels"] == before["model"]["labels"]
    assert site.face()["id"] == face["id"]
    assert site.daemon.stop() == 0
    events = site.daemon.events()
    assert events[-1]["model"]["sha256"] == after["model"]["sha256"]
    assert [e["type"] for e in events].count("face_start") == 1


def test_a_bad_model_is_refused_and_the_old_one_stays(kept: Site) -> None:
    kept.face()
    before = kept.daemon.state()["model"]
    wrong = with_file(kept.model.read_bytes(), "goldens.npz", answered_otherwise)
    already = kept.refusals()
    kept.replace_model(b"nothing of the kind")
    kept.daemon.until(lambda: kept.refusals() == already + 1)
    kept.replace_model(wrong)
    kept.daemon.until(lambda: kept.refusals() == already + 2)
    log = "\n".join(kept.daemon.log)
    assert "is not a TFLite model" in log
    assert "differ by up to" in log
    assert kept.daemon.state()["model"] == before
    assert kept.face()["label"]


def test_a_model_with_other_labels_ends_the_old_expressions(site: Site) -> None:
    face = site.face()
    site.replace_model(with_file(site.model.read_bytes(), "spec.json", in_capitals))
    labels = site.daemon.until(
        lambda: (m := site.daemon.state()["model"])["labels"][0] == "ANGRY" and m["labels"]
    )
    site.daemon.until(lambda: set(site.face()["scores"]) == set(labels))
    assert site.face()["id"] == face["id"]
    assert site.daemon.stop() == 0
    open_labels: dict[int, str] = {}
    for event in site.daemon.events():
        if event["type"].startswith("expression"):
            if event["type"] != "expression_start":
                known = event.get("previous", event["label"])
                assert open_labels.pop(event["face"]) == known
            if event["type"] != "expression_end":
                open_labels[event["face"]] = event["label"]
    assert not open_labels


def test_privacy_and_drawing_change_at_once_for_present_viewers(kept: Site) -> None:
    box = [round(value) for value in kept.face()["box"]]
    with urllib.request.urlopen(kept.daemon.url + "/stream.mjpg", timeout=30) as stream:
        parts = jpegs(stream)
        assert detail(next(parts), box) > 4
        kept.write({"privacy": {"blur_faces": True}, "stream": {"quality": 60}})
        assert "stream.quality" in kept.daemon.reload()
        kept.daemon.until(lambda: detail(next(parts), box) < 4)
        kept.write({"privacy": {"stream": False}})
        kept.daemon.reload()
        kept.daemon.until(lambda: np.median(decoded(next(parts))) < 3)
    assert kept.face()["label"]
    assert np.median(kept.picture()) < 3


def detail(jpeg: bytes, box: list[int]) -> float:
    """Return the detail in the middle of `box`: the mean difference between neighboring pixels."""
    x, y, w, h = box
    part = decoded(jpeg)[y + h // 4 : y + 3 * h // 4, x + w // 4 : x + 3 * w // 4]
    return float(np.abs(np.diff(part.astype(float), axis=1)).mean())


def test_a_file_counts_as_changed_once_and_when_it_has_settled(tmp_path: Path) -> None:
    path, new = tmp_path / "m", tmp_path / "new"
    path.write_bytes(b"one")
    watch = FileWatch(path)
    assert not watch.changed()
    path.write_bytes(b"in the making")
    assert not watch.changed()
    path.write_bytes(b"in the making, longer")
    assert not watch.changed()
    assert watch.changed()
    assert not watch.changed()
    path.unlink()
    assert not watch.changed()
    new.write_bytes(b"other")
    new.replace(path)
    assert [watch.changed() for _ in range(3)] == [False, True, False]


class Recorder(Part[Config]):
    """A part that remembers whether it was to blur, and refuses a quality of 1."""

    name = "recorder"

    def __init__(self) -> None:
        self.blurs: list[bool] = []

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def adopt(self, config: Config) -> Apply:
        if config.stream.quality == 1:
            raise UserError("the quality is too low")
        return lambda: self.blurs.append(config.privacy.blur_faces)


def test_a_change_on_the_page_ends_what_a_command_held(tmp_path: Path) -> None:
    part, stored = Recorder(), []
    commands: Backlog[Command] = Backlog(1)
    changes: SimpleQueue[ConfigChange] = SimpleQueue()
    reloader = Reloader(
        running=Config(), load=Config, parts=[part], commands=commands, changes=changes,
        model=tmp_path / "none",
    )  # fmt: skip
    commands.put(Command("privacy.blur_faces", value=True))
    reloader.run_commands()
    reloader.reload()  # the command holds over it
    change = ConfigChange({"privacy.blur_faces": False}, lambda: stored.append("change"))
    changes.put(change)
    reloader.run_changes()
    change.done.result(0)
    reloader.reload()
    assert part.blurs == [True, True, False, False]
    refused = ConfigChange({"stream.quality": 1}, lambda: stored.append("refused"))
    canceled = ConfigChange({"stream.quality": 2}, lambda: stored.append("canceled"))
    assert canceled.done.cancel()
    for each in (refused, canceled):
        changes.put(each)
    reloader.run_changes()
    with pytest.raises(UserError, match="the quality is too low"):
        refused.done.result(0)
    assert stored == ["change"]


def test_logrotate_can_move_the_log_away(site: Site) -> None:
    site.face()
    old = site.daemon.events_path.with_suffix(".1")
    site.daemon.events_path.rename(old)
    site.daemon.reload()
    assert site.daemon.stop() == 0
    first, second = (path.read_text().splitlines() for path in (old, site.daemon.events_path))
    assert json.loads(first[0])["type"] == "daemon_start"
    assert json.loads(second[-1])["type"] == "daemon_stop"
