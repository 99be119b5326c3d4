"""The daemon's demo on the page in a real Chromium; makes the README's picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon

PATIENCE_MS = 120_000
SHOWN = """() => {
    const cards = [...document.querySelectorAll("#faces .card .label")];
    const events = document.querySelectorAll("#events li").length;
    return cards.length === 2 && events >= 6
        && cards.every((label) => !/uncertain/i.test(label.textContent));
}"""


@pytest.mark.timeout(240)
def test_the_demo_is_shown_on_the_page(tmp_path: Path, blazeface_dir: Path, chromium: Any) -> None:
    """With MIEN_PICTURE=docs/page.png (`make picture`) the screenshot is kept."""
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        page = chromium.new_page(viewport={"width": 1180, "height": 860}, color_scheme="dark")
        page.goto(f"{daemon.url}/")
        page.wait_for_selector("#pill[data-state=ok]")
        page.wait_for_function(SHOWN, timeout=PATIENCE_MS)
        labels = page.locator("#faces .card .label").all_text_contents()
        shown = {label.strip().lower() for label in labels}
        kept = Path(os.environ.get("MIEN_PICTURE", tmp_path / "page.png"))
        page.screenshot(path=kept)
        page.close()
        # An expression is logged once it has lasted for events.dwell_s.
        daemon.until(lambda: shown <= {event.get("label") for event in daemon.events()})
    assert kept.stat().st_size > 50_000
