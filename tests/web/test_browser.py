"""Tests `mien run --open` with a program in place of the browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.daemon import Daemon


def test_the_page_is_opened_in_the_browser(
    tmp_path: Path, blazeface_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    with Daemon(tmp_path, "camera.source=demo", options=["--open"]) as daemon:
        daemon.until(lambda: opened.exists() and opened.read_text().endswith("\n"))
        assert opened.read_text() == f"{daemon.url}/\n"


def test_without_a_desktop_a_sentence_says_so(
    tmp_path: Path, blazeface_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    with Daemon(tmp_path, "camera.source=demo", "log_format=json", options=["--open"]) as daemon:
        daemon.until(lambda: '"message": "there is no desktop here; open' in str(daemon.log))
        assert all(line.startswith(("{", "INFO: Created")) for line in daemon.log), daemon.log
