"""Paths of the checkout and the test data, and the flags for Chromium."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def data_dir() -> Path:
    """Return the folder of datasets and clips: $MIEN_DATA, or ../shared/data."""
    return Path(os.environ.get("MIEN_DATA", ROOT / ".." / "shared" / "data")).resolve()
