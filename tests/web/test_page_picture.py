"""The daemon's demo on the page in a real Chromium; makes the README's animated picture."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.daemon import Daemon

PATIENCE_MS = 120_000
FRAMES, PERIOD_MS = 24, 250
SHOWN = """() => {
    const cards = [...document.querySelectorAll("#faces .card .label")];
    const events = document.querySelectorAll("#events li").length;
    return cards.length === 2 && events >= 6
        && cards.every((label) => !/uncertain/i.test(label.textContent));
}"""


@pytest.mark.timeout(240)
def test_the_demo_is_shown_on_the_page(tmp_path: Path, blazeface_dir: Path, chromium: Any) -> None:
    """With MIEN_PICTURE=docs/page.webp (`make picture`) the screenshots are kept."""
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        page = chromium.new_page(viewport={"width": 1180, "height": 860}, color_scheme="dark")
        page.goto(f"{daemon.url}/")
        page.wait_for_selector("#pill[data-state=ok]")
        page.wait_for_function(SHOWN, timeout=PATIENCE_MS)
        labels = page.locator("#faces .card .label").all_text_contents()
        shown = {label.strip().lower() for label in labels}
        kept = os.environ.get("MIEN_PICTURE", "")
        pictures = []
        for _ in range(FRAMES if kept else 2):
            pictures.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            page.wait_for_timeout(PERIOD_MS)
        page.close()
        # An expression is logged once it has lasted for events.dwell_s.
        daemon.until(lambda: shown <= {event.get("label") for event in daemon.events()})
    assert pictures[0].tobytes() != pictures[-1].tobytes(), "the picture moves"
    animated = Path(kept or tmp_path / "page.webp")
    pictures[0].save(
        animated,
        save_all=True,
        append_images=pictures[1:],
        duration=PERIOD_MS,
        loop=0,
        quality=60,
        method=6,
    )
    assert animated.stat().st_size > 50_000
