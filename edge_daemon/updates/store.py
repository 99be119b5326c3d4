"""The models that were fetched: a folder with the one in use, and what was seen of others.

`kept.json` is the signed manifest of the model that is in use and has proved itself; its file is
`VERSION.tflite`. `seen` holds the highest version that was ever tried.
"""

from __future__ import annotations

from pathlib import Path

from edge_daemon.core.files import replace_file
from edge_daemon.updates.manifest import Manifest, UpdateRefused, verified


class ModelStore:
    """Reads and writes `folder`; all is written beside, then renamed."""

    def __init__(self, folder: Path, public: bytes) -> None:
        self.folder, self._public = folder, public
        self._manifest = folder / "kept.json"

    @property
    def seen(self) -> int:
        """The highest version ever tried; 0 for none."""
        try:
            return int((self.folder / "seen").read_text())
        except (OSError, ValueError):
            return self._kept_version

    @property
    def damaged(self) -> bool:
        """Whether the kept model is not, or no longer, what the holder of the key signed."""
        try:
            self.kept()
        except UpdateRefused:
            return True
        return False

    def kept(self) -> Path | None:
        """The model in use, if there is one. Raises UpdateRefused where it is not as signed."""
        try:
            if not self._manifest.exists():
                return None
            manifest = verified(self._manifest.read_bytes(), self._public)
            path = self._path(manifest)
            manifest.check(path.read_bytes())
        except OSError as error:
            raise UpdateRefused(f"{error.filename} cannot be read: {error.strerror}") from error
        return path

    def put(self, manifest: Manifest, content: bytes) -> Path:
        """Write a model that is to be tried, and that it was."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(manifest)
        replace_file(path, content)
        self.see(manifest.version)
        return path

    def see(self, version: int) -> None:
        """Have `version` be the highest ever tried."""
        replace_file(self.folder / "seen", str(version).encode())

    def keep(self, manifest: Manifest, signed: bytes) -> None:
        """Have the model of `signed`, which is `manifest`, be the one in use from now on."""
        replace_file(self._manifest, signed)
        for path in self.folder.glob("*.tflite"):
            if path != self._path(manifest):
                path.unlink()

    @property
    def _kept_version(self) -> int:
        try:
            return verified(self._manifest.read_bytes(), self._public).version
        except (OSError, UpdateRefused):
            return 0

    def _path(self, manifest: Manifest) -> Path:
        return self.folder / f"{manifest.version}.tflite"
