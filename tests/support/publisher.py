"""A publisher of signed models on a web server."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from edge_daemon.updates.publish import publish


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Publisher:
    """Serves `folder`, with `model` signed as version 1; use it as a context manager."""

    def __init__(self, folder: Path, model: Path, host: str = "127.0.0.1") -> None:
        self.folder, self._model = folder, model
        self.key_file = folder.parent / "publisher.key"
        self.key = self.publish(1)
        self._server = ThreadingHTTPServer((host, 0), partial(_Quiet, directory=str(folder)))
        self.url = f"http://{host}:{self._server.server_port}/manifest.json"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def file(self) -> Path:
        return self.folder / "expression.tflite"

    def publish_file(self, content: bytes, version: int) -> None:
        """Sign other content as `version`."""
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
