"""The folder of fetched models.

`kept.json` is the signed manifest of the model in use, whose file is `VERSION.tflite`; it is
written once the model has passed its probation. `seen` holds the highest version ever tried.
"""

from __future__ import annotations

from pathlib import Path

from edge_daemon.core.errors import reason_of
from edge_daemon.core.files import read_file, replace_file
from edge_daemon.updates.manifest import (
    MANIFEST_BYTES,
    MAX_BYTES,
    Manifest,
    UpdateRefused,
    verified,
)


class ModelStore:
    """Reads and writes `folder`; every file is replaced atomically."""

    def __init__(self, folder: Path, public: bytes) -> None:
        self.folder, self._public = folder, public
        self._manifest = folder / "kept.json"

    @property
    def newest_tried(self) -> int:
        """The highest version ever tried; 0 if there is none."""
        try:
            return int(read_file(self.folder / "seen", max_bytes=100))
        except (OSError, ValueError):
            return self._kept_version

    @property
    def is_damaged(self) -> bool:
        """Whether the kept model differs from the one that was signed."""
        try:
            self.kept()
        except UpdateRefused:
            return True
        return False

    def kept(self) -> Path | None:
        """Return the kept model, None if there is none. Raises UpdateRefused if it is damaged."""
        try:
            if not self._manifest.exists():
                return None
            content = read_file(self._manifest, max_bytes=MANIFEST_BYTES)
            manifest = verified(content, self._public)
            path = self._path(manifest)
            manifest.check(read_file(path, max_bytes=MAX_BYTES))
        except OSError as error:
            raise UpdateRefused(f"{error.filename} cannot be read: {reason_of(error)}") from error
        return path

    def put(self, manifest: Manifest, content: bytes) -> Path:
        """Write a model that will be tried, and record its version as tried."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(manifest)
        replace_file(path, content)
        self.set_newest_tried(manifest.version)
        return path

    def set_newest_tried(self, version: int) -> None:
        """Record `version` as the highest ever tried."""
        replace_file(self.folder / "seen", str(version).encode())

    def keep(self, manifest: Manifest, signed: bytes) -> None:
        """Make the model of the signed `manifest` the one in use, and delete the others."""
        replace_file(self._manifest, signed)
        for path in self.folder.glob("*.tflite"):
            if path != self._path(manifest):
                path.unlink()

    @property
    def _kept_version(self) -> int:
        try:
            content = read_file(self._manifest, max_bytes=MANIFEST_BYTES)
            return verified(content, self._public).version
        except (OSError, UpdateRefused):
            return 0

    def _path(self, manifest: Manifest) -> Path:
        return self.folder / f"{manifest.version}.tflite"
