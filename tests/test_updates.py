"""Signed model updates: a real publisher on loopback, the real models, the daemon as a process."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from daemon import Daemon

from edge_daemon.__main__ import main
from edge_daemon.classifier import Classifier
from edge_daemon.golden_check import check_goldens
from edge_daemon.manifest import UpdateRefused
from edge_daemon.model_file import read_model_file
from edge_daemon.model_store import ModelStore
from edge_daemon.pipeline import Progress
from edge_daemon.publish import publish
from edge_daemon.updater import Updater
from edge_daemon.vitals import Vitals


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Publisher:
    """A folder served on loopback, with a key of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self._model = folder, model
        self._key_file = folder.parent / "publisher.key"
        self.key = self.publish(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}/manifest.json"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def file(self) -> Path:
        return self.folder / "expression.tflite"

    def publish(self, version: int, change: Callable[[zipfile.ZipFile], None] | None = None) -> str:
        """Sign the shipped model, with a note that makes it another file, as `version`."""
        self.file.write_bytes(self._model.read_bytes())
        with zipfile.ZipFile(self.file, "a") as archive:
            archive.writestr("note.txt", f"version {version}")
            if change:
                change(archive)
        return publish(self.file, version, self._key_file)[1]


@pytest.fixture
def publisher(tmp_path: Path, shipped_model: Path) -> Iterator[Publisher]:
    folder = tmp_path / "published"
    folder.mkdir()
    running = Publisher(folder, shipped_model)
    yield running
    running.close()


class Device:
    """An updater, what it put to use, and how the pipeline does."""

    def __init__(self, folder: Path, publisher: Publisher, shipped: Path) -> None:
        self.used = [shipped]
        self.slow = False  # whether a fetched model is
        self._turns = 0
        public = base64.b64decode(publisher.key)
        self.store = ModelStore(folder, public)
        self.updater = Updater(
            url=publisher.url,
            public=public,
            store=self.store,
            running=lambda: self.used[-1],
            prove=lambda path: check_goldens(Classifier(read_model_file(path), runtime="auto")),
            use=self.used.append,
            vitals=lambda: Vitals(self.look),
            every_s=3600.0,
            probation_s=0.2,
            stop=threading.Event(),
        )

    def look(self) -> Progress:
        self._turns += 1
        fetched = len(self.used) % 2 == 0
        return Progress(turns=self._turns, latency_s=2.0 if fetched and self.slow else 0.01)

    @property
    def state(self) -> str:
        return self.updater.status.state

    @property
    def told(self) -> str:
        return self.updater.status.reason


@pytest.fixture
def device(tmp_path: Path, publisher: Publisher, shipped_model: Path) -> Device:
    return Device(tmp_path / "fetched", publisher, shipped_model)


def test_a_signed_model_is_used_and_kept(device: Device, publisher: Publisher) -> None:
    device.updater.look()
    assert device.used[1:] == [device.store.kept()]
    assert device.used[-1].read_bytes() == publisher.file.read_bytes()
    assert (device.updater.status.state, device.updater.status.version) == ("current", 1)


def test_the_same_version_is_left_alone_and_a_newer_one_taken(
    device: Device, publisher: Publisher
) -> None:
    device.updater.look()
    device.updater.look()
    assert len(device.used) == 2
    publisher.publish(2)
    device.updater.look()
    assert [path.name for path in device.used[1:]] == ["1.tflite", "2.tflite"]
    assert not device.used[1].exists()


def test_an_older_version_is_refused(device: Device, publisher: Publisher) -> None:
    publisher.publish(2)
    device.updater.look()
    publisher.publish(1)
    device.updater.look()
    assert device.state == "refused"
    assert "version 1 is older than 2" in device.told
    assert len(device.used) == 2


def test_another_publishers_manifest_is_refused(
    device: Device, publisher: Publisher, tmp_path: Path
) -> None:
    publish(publisher.file, 5, tmp_path / "other.key")
    device.updater.look()
    assert "not signed with the key in models.key" in device.told
    assert len(device.used) == 1


def test_a_changed_manifest_is_refused(device: Device, publisher: Publisher) -> None:
    manifest = publisher.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 9'))
    device.updater.look()
    assert "not signed" in device.told


@pytest.mark.parametrize("content", ["", "[]", '{"model": {}, "signature": ""}', "<html>"])
def test_what_is_no_manifest_is_refused(device: Device, publisher: Publisher, content: str) -> None:
    (publisher.folder / "manifest.json").write_text(content)
    device.updater.look()
    assert "no manifest of a model" in device.told


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda content: content[:-1] + b"?", "not the file that was signed"),
        (lambda content: content[: len(content) // 2], "not the file that was signed"),
        (lambda content: content + b"?", "has more than"),
    ],
    ids=["changed", "truncated", "grown"],
)
def test_another_file_than_was_signed_is_refused(
    device: Device, publisher: Publisher, spoil: Callable[[bytes], bytes], sentence: str
) -> None:
    publisher.file.write_bytes(spoil(publisher.file.read_bytes()))
    device.updater.look()
    assert sentence in device.told
    assert len(device.used) == 1


def test_a_model_that_answers_otherwise_here_is_refused_and_not_fetched_again(
    device: Device, publisher: Publisher
) -> None:
    def turn_answers(archive: zipfile.ZipFile) -> None:
        with np.load(io.BytesIO(archive.read("goldens.npz"))) as goldens:
            arrays = {"faces": goldens["faces"], "scores": goldens["scores"][:, ::-1]}
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        archive.writestr("goldens.npz", packed.getvalue())

    with pytest.warns(UserWarning, match="Duplicate name"):
        publisher.publish(4, turn_answers)
    device.updater.look()
    assert "its answers differ" in device.told
    assert device.store.seen == 4
    device.updater.look()
    assert len(device.used) == 1
    assert "its answers differ" in device.told


def test_a_model_that_slows_the_daemon_down_is_taken_back(device: Device) -> None:
    device.slow = True
    device.updater.look()
    assert [path.name for path in device.used[1:]] == ["1.tflite", "expression.tflite"]
    assert device.store.kept() is None
    assert "not well with version 1, which is taken back" in device.told
    device.updater.look()
    assert len(device.used) == 3


def test_an_absent_publisher_is_waited_for(device: Device, publisher: Publisher) -> None:
    publisher.file.unlink()
    device.updater.look()
    assert device.state == "failed"
    assert device.store.seen == -1
    publisher.publish(1)
    device.updater.look()
    assert device.state == "current"


def test_a_kept_model_that_was_changed_on_disk_is_not_trusted(device: Device) -> None:
    device.updater.look()
    kept = device.store.kept()
    assert kept is not None
    kept.write_bytes(b"")
    with pytest.raises(UpdateRefused, match="not the file that was signed"):
        device.store.kept()


def test_the_daemon_goes_over_while_its_stream_goes_on(
    publisher: Publisher, tmp_path: Path, shipped_model: Path
) -> None:
    settings = (
        "camera.source=demo",
        f"model={shipped_model}",
        f"models.url={publisher.url}",
        f"models.key={publisher.key}",
        f"models.folder={tmp_path / 'fetched'}",
        "models.every_h=0.0001",
        "models.probation_s=1.0",
    )

    with Daemon(tmp_path, *settings) as daemon:
        with urllib.request.urlopen(daemon.url + "/stream.mjpg", timeout=30) as stream:
            daemon.until(lambda: daemon.state()["model"]["sha256"] == sha256_of(publisher.file))
            daemon.until(lambda: daemon.state()["update"]["state"] == "current")
            publisher.publish(2)
            daemon.until(lambda: daemon.state()["update"]["version"] == 2)
            daemon.until(lambda: daemon.state()["update"]["state"] == "current")
            assert daemon.state()["model"]["sha256"] == sha256_of(publisher.file)
            assert stream.read(200_000).count(b"Content-Type: image/jpeg") > 2
        assert "model update: version 2 is in use" in "\n".join(daemon.log)
        assert daemon.stop() == 0
    publisher.file.unlink()
    with Daemon(tmp_path, *settings) as again:
        assert again.state()["model"]["sha256"] == sha256_of(tmp_path / "fetched" / "2.tflite")
        assert again.stop() == 0


def test_a_publisher_signs_with_a_key_that_others_cannot_read(
    tmp_path: Path, shipped_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "expression.tflite"
    model.write_bytes(shipped_model.read_bytes())
    key = tmp_path / "k"
    words = ["sign", str(model), "--version", "1", "--key", str(key)]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert key.stat().st_mode & 0o077 == 0
    assert main(words) == 0
    assert capsys.readouterr().out == first
    key.write_text("nothing")
    assert main(words) == 2
    assert f"{key} holds no key" in capsys.readouterr().err
