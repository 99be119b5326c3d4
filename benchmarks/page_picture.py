"""The README's picture of the page: a running daemon's URL in, docs/page.png out.

make run SOURCE=demo &
python -m benchmarks.page_picture http://127.0.0.1:8080/ docs/page.png
"""

from __future__ import annotations

import sys

from playwright.sync_api import sync_playwright

CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
SETTLED_MS = 54_000  # a smile and a surprise, with some events before them


def main() -> None:
    """Open the page, let it run for a while, and take its picture."""
    url, picture = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1180, "height": 860}, color_scheme="dark")
        page.goto(url)
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
