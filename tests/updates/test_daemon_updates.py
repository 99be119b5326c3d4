"""Tests signed model updates of the daemon as a process, from a real publisher on loopback."""

from __future__ import annotations

import hashlib
import shutil
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.publisher import Publisher

from edge_daemon.updates.publish import publish


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Site:
    """The daemon with a publisher of its models."""

    def __init__(self, folder: Path, publisher: Publisher, shipped: Path) -> None:
        self._folder, self.fetched = folder, folder / "fetched"
        self._settings = (
            "camera.source=demo",
            f"model={shipped}",
            f"models.url={publisher.url}",
            f"models.key={publisher.key}",
            f"models.folder={self.fetched}",
            "models.every_h=0.0001",
        )

    def start(self, probation_s: float = 1.0) -> Daemon:
        return Daemon(self._folder, *self._settings, f"models.probation_s={probation_s}")


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path, shipped_model: Path, blazeface_dir: Path) -> Site:
    return Site(tmp_path, publisher, shipped_model)


def model_of(daemon: Daemon) -> str:
    return str(daemon.state()["model"]["sha256"])


def update_of(daemon: Daemon) -> dict[str, Any]:
    return dict(daemon.state()["update"])


def test_the_daemon_goes_over_while_its_stream_goes_on(site: Site, publisher: Publisher) -> None:
    with site.start() as daemon:
        with urllib.request.urlopen(daemon.url + "/stream.mjpg", timeout=30) as stream:
            daemon.until(lambda: model_of(daemon) == sha256_of(publisher.file))
            daemon.until(lambda: update_of(daemon)["state"] == "current")
            publisher.publish(2)
            daemon.until(lambda: update_of(daemon)["version"] == 2)
            daemon.until(lambda: update_of(daemon)["state"] == "current")
            assert model_of(daemon) == sha256_of(publisher.file)
            assert daemon.state()["detector"] == "blazeface"
            assert stream.read(200_000).count(b"Content-Type: image/jpeg") > 2
        assert 'mien_update_state{state="current"} 1.0' in daemon.get("/metrics").decode()
        assert "model update: version 2 is in use" in "\n".join(daemon.log)
        assert daemon.stop() == 0
    publisher.file.unlink()
    with site.start() as again:
        assert model_of(again) == sha256_of(site.fetched / "2.tflite")
        assert again.state()["detector"] == "blazeface"
        assert again.stop() == 0


def test_the_daemon_refuses_what_is_old_or_changed_and_takes_what_is_right(
    site: Site, publisher: Publisher, tmp_path: Path, shipped_model: Path
) -> None:
    third = tmp_path / "expression.tflite"
    third.write_bytes(shipped_model.read_bytes() + b"third")
    manifest, _ = publish(third, 3, publisher.key_file)
    first = {path: path.read_bytes() for path in publisher.folder.iterdir()}
    publisher.publish(2)
    with site.start() as daemon:
        daemon.until(lambda: update_of(daemon)["state"] == "current")
        second = model_of(daemon)
        for path, content in first.items():
            path.write_bytes(content)
        daemon.until(lambda: "version 1 is older than 2" in update_of(daemon)["reason"])
        publisher.file.write_bytes(third.read_bytes()[:-1] + b"?")
        shutil.copy(manifest, publisher.folder)
        daemon.until(
            lambda: (
                "differs from the file that was signed as version 3" in update_of(daemon)["reason"]
            )
        )
        assert model_of(daemon) == second
        shutil.copy(third, publisher.folder)
        daemon.until(lambda: update_of(daemon) == {"state": "current", "version": 3, "reason": ""})
        assert model_of(daemon) == sha256_of(third)
        assert daemon.stop() == 0


def test_a_daemon_killed_while_it_tries_a_model_starts_with_the_one_before(
    site: Site, publisher: Publisher, shipped_model: Path
) -> None:
    with site.start(probation_s=600) as daemon:
        daemon.until(lambda: model_of(daemon) == sha256_of(publisher.file))
        assert update_of(daemon)["state"] == "trying"
        daemon.stop(signal.SIGKILL)
    with site.start() as again:
        again.until(lambda: update_of(again)["state"] == "refused")
        assert update_of(again)["reason"] == "version 1 was tried and did not work"
        assert model_of(again) == sha256_of(shipped_model)
        publisher.publish(2)
        again.until(lambda: update_of(again)["state"] == "current")
        assert again.stop() == 0


def test_the_daemon_takes_back_a_model_that_makes_it_slow(
    site: Site, publisher: Publisher, shipped_model: Path
) -> None:
    from support.slow_model import slow_model

    publisher.publish_file(slow_model(shipped_model), 2)
    with site.start(probation_s=600) as daemon:
        daemon.until(lambda: model_of(daemon) == sha256_of(publisher.file))
        daemon.until(lambda: update_of(daemon)["state"] == "refused")
        assert "not work well with version 2" in update_of(daemon)["reason"]
        daemon.until(lambda: model_of(daemon) == sha256_of(shipped_model))
        daemon.until(lambda: daemon.state()["faces"])
        assert daemon.stop() == 0
