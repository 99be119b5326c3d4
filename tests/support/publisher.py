"""Publishes signed models on a web server."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from edge_daemon.updates.publish import publish
from support.loopback_server import HttpServed


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Publisher(HttpServed):
    """Serves `folder`, with `model` signed as version 1; use it as a context manager."""

    def __init__(self, folder: Path, model: Path, host: str = "127.0.0.1") -> None:
        self.folder, self._model = folder, model
        self.key_file = folder.parent / "publisher.key"
        self.key = self.publish(1)
        super().__init__(partial(_Quiet, directory=str(folder)), host)
        self.url = f"{self.base_url}/manifest.json"

    @property
    def file(self) -> Path:
        return self.folder / "expression.tflite"

    def publish_file(self, content: bytes, version: int) -> None:
        """Sign a file with this content as `version`."""
        self.file.write_bytes(content)
        publish(self.file, version, self.key_file)

    def publish(self, version: int, change: Callable[[zipfile.ZipFile], None] | None = None) -> str:
        """Sign the shipped model as `version`, with a note that makes it a different file."""
        self.file.write_bytes(self._model.read_bytes())
        with zipfile.ZipFile(self.file, "a") as archive:
            archive.writestr("note.txt", f"version {version}")
            if change:
                change(archive)
        return publish(self.file, version, self.key_file)[1]


@pytest.fixture
def publisher(tmp_path: Path, shipped_model: Path) -> Iterator[Publisher]:
    """Yield a publisher of the shipped model as version 1."""
    folder = tmp_path / "published"
    folder.mkdir()
    with Publisher(folder, shipped_model) as running:
        yield running
