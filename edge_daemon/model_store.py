"""The models that were fetched: a folder with the one in use, and what was seen of others.

`kept.json` is the signed manifest of the model that is in use and has proved itself; its file is
`VERSION.tflite`. `seen` holds the highest version that was ever tried.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge_daemon.manifest import Manifest, UpdateRefused, verified


class ModelStore:
    """Reads and writes the folder; all is written beside, then renamed."""

    def __init__(self, folder: Path, public: bytes) -> None:
        self._folder, self._public = folder, public

    @property
    def seen(self) -> int:
        """The highest version ever tried; -1 for none."""
        try:
            return int((self._folder / "seen").read_text())
        except (OSError, ValueError):
            return self.kept_version

    @property
    def kept_version(self) -> int:
        """The version of the model in use; -1 for none."""
        try:
            return verified((self._folder / "kept.json").read_bytes(), self._public).version
        except (OSError, UpdateRefused):
            return -1

    def kept(self) -> Path | None:
        """The model in use, if there is one. Raises UpdateRefused where it is not as signed."""
        try:
            manifest = verified((self._folder / "kept.json").read_bytes(), self._public)
        except FileNotFoundError:
            return None
        path = self._path(manifest)
        try:
            manifest.check(path.read_bytes())
        except OSError as error:
            raise UpdateRefused(f"{path} cannot be read: {error.strerror}") from error
        return path

    def put(self, manifest: Manifest, content: bytes) -> Path:
        """Write a model that is to be tried, and that it was."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(manifest)
        _replace(path, content)
        _replace(self._folder / "seen", str(manifest.version).encode())
        return path

    def keep(self, manifest: Manifest, signed: bytes) -> None:
        """Have the model of `signed`, which is `manifest`, be the one in use from now on."""
        _replace(self._folder / "kept.json", signed)
        for path in self._folder.glob("*.tflite"):
            if path != self._path(manifest):
                path.unlink()

    def _path(self, manifest: Manifest) -> Path:
        return self._folder / f"{manifest.version}.tflite"


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
