"""A daemon on a real clip whose configuration and model a test can change.

The fixtures are known to all tests: `tests/conftest.py` names this file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from support.daemon import Daemon
from support.pictures import decoded

Settings = dict[str, Any]


class ReloadSite:
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
def reload_site(tmp_path: Path, media_dir: Path, blazeface_dir: Path) -> Iterator[ReloadSite]:
    """Yield a daemon of the test's own."""
    site = ReloadSite(tmp_path, media_dir / "signing-book.mkv", blazeface_dir)
    with site.daemon:
        yield site
