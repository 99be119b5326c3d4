"""Tests signed model updates: what is fetched, tried, kept or refused, with the real models."""

from __future__ import annotations

import base64
import io
import shutil
import socketserver
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.publisher import Publisher
from support.waiting import until

from edge_daemon.commands import main
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Progress
from edge_daemon.doctor.updates import examine_updates
from edge_daemon.updates.guard import ModelGuard
from edge_daemon.updates.health import PipelineHealth
from edge_daemon.updates.manifest import UpdateRefused
from edge_daemon.updates.publish import publish
from edge_daemon.updates.store import ModelStore
from edge_daemon.updates.updater import Updater
from edge_daemon.vision.model_file import read_model_file


class Device:
    """An updater, the models it put into use, and the progress of the pipeline."""

    def __init__(self, folder: Path, publisher: Publisher, shipped: Path) -> None:
        self.used = [shipped]
        self.search_s = 0.01  # what a fetched model makes of it
        self.camera = True
        self.stop = Stop()
        self.public = base64.b64decode(publisher.key)
        self.store = ModelStore(folder, self.public)
        self.updater = self.started(publisher.url)
        self._progress = Progress(turns=100, frames=100, search_s=0.01)

    def started(self, url: str, use: Callable[[Path], None] | None = None) -> Updater:
        """Return an updater as the daemon's next start makes it."""
        return Updater(
            url=url,
            public=self.public,
            store=self.store,
            running=lambda: self.used[-1],
            verify=lambda path: ModelGuard(None).check(read_model_file(path), "auto"),
            use=use or self.used.append,
            progress=self.progress,
            every_s=3600.0,
            probation_s=0.2,
            stop=self.stop,
            poll_s=0.01,
        )

    def progress(self) -> Progress:
        before, fetched = self._progress, len(self.used) % 2 == 0
        self._progress = Progress(
            turns=before.turns + 1,
            frames=before.frames + self.camera,
            search_s=self.search_s if fetched else 0.01,
        )
        return self._progress

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
    device.updater.check()
    assert device.used[1:] == [device.store.kept()]
    assert device.used[-1].read_bytes() == publisher.file.read_bytes()
    assert (device.updater.status.state, device.updater.status.version) == ("current", 1)


def test_the_same_version_is_left_alone_and_a_newer_one_taken(
    device: Device, publisher: Publisher
) -> None:
    device.updater.check()
    device.updater.check()
    assert len(device.used) == 2
    publisher.publish(2)
    device.updater.check()
    assert [path.name for path in device.used[1:]] == ["1.tflite", "2.tflite"]
    assert not device.used[1].exists()


def test_an_older_version_is_refused(device: Device, publisher: Publisher) -> None:
    publisher.publish(2)
    device.updater.check()
    publisher.publish(1)
    device.updater.check()
    assert device.state == "refused"
    assert "version 1 is older than 2" in device.told
    assert device.store.kept() == device.used[-1]
    assert len(device.used) == 2


def test_another_publishers_manifest_is_refused(
    device: Device, publisher: Publisher, tmp_path: Path
) -> None:
    publish(publisher.file, 5, tmp_path / "other.key")
    device.updater.check()
    assert "not signed with the key in models.key" in device.told
    assert len(device.used) == 1


def test_a_changed_manifest_is_refused(device: Device, publisher: Publisher) -> None:
    manifest = publisher.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 9'))
    device.updater.check()
    assert "not signed" in device.told


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"model": {}, "signature": ""}',
        "<html>",
        "[" * 9_000,
        '{"model": [' + "9" * 9_000,
    ],
)
def test_what_is_no_manifest_is_refused(device: Device, publisher: Publisher, content: str) -> None:
    (publisher.folder / "manifest.json").write_text(content)
    device.updater.check()
    assert "not lead to a manifest of a model" in device.told


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda content: content[:-1] + b"?", "differs from the file that was signed"),
        (lambda content: content[: len(content) // 2], "differs from the file that was signed"),
        (lambda content: content + b"?", "has more than"),
    ],
    ids=["changed", "truncated", "grown"],
)
def test_another_file_than_was_signed_is_refused(
    device: Device, publisher: Publisher, spoil: Callable[[bytes], bytes], sentence: str
) -> None:
    publisher.file.write_bytes(spoil(publisher.file.read_bytes()))
    device.updater.check()
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
    device.updater.check()
    assert "its scores differ" in device.told
    assert device.store.newest_tried == 4
    device.updater.check()
    assert len(device.used) == 1
    assert "its scores differ" in device.told


def test_a_model_that_slows_the_daemon_down_is_taken_back(device: Device) -> None:
    device.search_s = 2.0
    device.updater.check()
    assert [path.name for path in device.used[1:]] == ["1.tflite", "expression.tflite"]
    assert device.store.kept() is None
    assert device.state == "refused"
    assert "not work well with version 1" in device.told
    device.updater.check()
    assert len(device.used) == 3


def test_a_model_that_is_never_put_to_work_is_not_kept(
    device: Device, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_daemon.updates.updater.SWITCH_S", 0.1)
    device.updater = device.started(publisher.url, use=lambda path: None)
    device.updater.check()
    assert device.state == "refused"
    assert device.store.kept() is None


def test_without_frames_nothing_is_tried_and_nothing_kept(device: Device) -> None:
    health = PipelineHealth(device.progress)
    assert health.check() == "well"
    device.camera = False
    assert health.check() == "idle"
    still = PipelineHealth(lambda: Progress(turns=9, frames=9))
    assert still.check() == "unwell"


def test_a_daemon_that_is_told_to_stop_meanwhile_tries_again_at_the_next_start(
    device: Device, publisher: Publisher
) -> None:
    device.camera = False  # so that the probation does not end
    trial = threading.Thread(target=device.updater.check)
    trial.start()
    until(lambda: device.state == "trying")
    device.stop.request()
    trial.join()
    assert (device.store.newest_tried, device.store.kept()) == (0, None)
    device.stop, device.used, device.camera = Stop(), device.used[:1], True
    device.updater = device.started(publisher.url)
    device.updater.check()
    assert device.state == "current"


def test_a_daemon_that_fails_meanwhile_does_not_try_again(
    device: Device, publisher: Publisher
) -> None:
    device.camera = False
    trial = threading.Thread(target=device.updater.check)
    trial.start()
    until(lambda: device.state == "trying")
    device.stop.failure = RuntimeError("what the model has brought about")
    device.stop.request()
    trial.join()
    device.stop, device.used = Stop(), device.used[:1]
    device.updater = device.started(publisher.url)
    device.updater.check()
    assert device.told == "version 1 was tried and did not work"
    assert len(device.used) == 1


def test_an_absent_publisher_is_waited_for(device: Device, publisher: Publisher) -> None:
    publisher.file.unlink()
    device.updater.check()
    assert device.state == "failed"
    assert device.store.newest_tried == 0
    publisher.publish(1)
    device.updater.check()
    assert device.state == "current"


class _Babble(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(4096)
        self.request.sendall(b"good morning\r\n\r\n")


def test_what_speaks_no_http_is_waited_for(device: Device) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _Babble) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/manifest.json"
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        updater = device.started(url)
        updater.check()
        answering.join()
    assert updater.status.state == "failed"
    assert updater.status.reason == f"{url}: good morning"


def test_a_disk_that_takes_no_model_is_told_and_tried_again(
    device: Device, publisher: Publisher, tmp_path: Path
) -> None:
    folder = tmp_path / "fetched"
    folder.write_text("in the way")
    device.updater.check()
    assert device.state == "failed"
    assert str(folder) in device.told
    folder.unlink()
    device.updater.check()
    assert device.state == "current"


def test_a_kept_model_that_was_damaged_on_disk_is_not_trusted_and_fetched_again(
    device: Device,
) -> None:
    device.updater.check()
    kept = device.store.kept()
    assert kept is not None
    kept.write_bytes(b"")
    with pytest.raises(UpdateRefused, match="differs from the file that was signed as version 1"):
        device.store.kept()
    device.updater.check()
    assert device.store.kept() == kept


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
    assert f"{key} contains no key" in capsys.readouterr().err


def test_the_doctor_says_how_updates_are(
    publisher: Publisher, tmp_path: Path, shipped_model: Path
) -> None:
    public, folder = base64.b64decode(publisher.key), tmp_path / "fetched"

    def found(url: str = publisher.url, public: bytes = public) -> list[tuple[str, str]]:
        findings = examine_updates(url, public, folder, Path("config.yaml"))
        return [(each.verdict, each.sentence) for each in findings]

    assert found() == [("ok", "the publisher offers version 1; the newest tried here is none")]
    Device(folder, publisher, shipped_model).updater.check()
    assert found() == [("ok", "the publisher offers version 1; the newest tried here is version 1")]
    (folder / "1.tflite").unlink()
    assert found()[0][1].endswith(
        "cannot be read: No such file or directory; the configured model is used instead"
    )
    assert found(f"{publisher.url}.no")[1] == (
        "warning",
        f"{publisher.url}.no: HTTP Error 404: File not found",
    )
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert found(public=bytes(32))[-1][1].endswith("is not signed with the key in models.key")
