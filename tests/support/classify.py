"""Runs `mien classify` on an album.

The fixtures are known to all tests: `tests/conftest.py` names this file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from support.clips import read_clip, write_clip
from support.paths import ROOT

TIMEOUT_S = 200  # starting a Ray cluster takes long where others are at work


def classify(*words: str | Path, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the command from the checkout to its end."""
    return subprocess.run(
        [sys.executable, "-m", "edge_daemon", "classify", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def records(output: str) -> list[dict[str, Any]]:
    """Return the records in JSON Lines."""
    return [json.loads(each) for each in output.splitlines()]


def messages(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the sentences for the user."""
    return [each for each in done.stderr.splitlines() if each.startswith("mien: ")]


@pytest.fixture(scope="session")
def people_album(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> Path:
    """Return a folder with two pictures and a clip of two people, and two broken files."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "inner").mkdir()
    frames = read_clip(media_dir / "two-people-tilting.mp4")[0][:8]
    cv2.imwrite(str(folder / "first.jpg"), frames[0])
    cv2.imwrite(str(folder / "inner" / "second.png"), frames[7])
    write_clip(folder / "clip.avi", frames, codec="mjpeg", pixel_format="yuvj420p")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than a beginning")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("neither picture nor video")
    return folder


@pytest.fixture(scope="session")
def classified(people_album: Path) -> subprocess.CompletedProcess[str]:
    """Return what one process prints for the album."""
    return classify(people_album, "--workers", "1")
