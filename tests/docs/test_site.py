"""Tests the site: complete, no broken links, readable on a telephone, no foreign requests."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from support.paths import ROOT


class Html(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value and tag != "base":
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_link_leads_to_a_page_and_its_heading(site: Path) -> None:
    pages = {
        path: Html(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"
    }
    assert len(pages) > 40
    for page, html in pages.items():
        for link in html.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page.relative_to(site)}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors | {"__skip"}, link


def test_every_document_is_on_it(site: Path) -> None:
    for document in ROOT.glob("docs/*.md"):
        stem = "documentation" if document.name == "README.md" else document.stem
        assert (site / stem / "index.html").exists(), document


def test_the_navigation_is_the_indexs(site: Path) -> None:
    """Each section of docs/README.md is a tab, in its order."""
    index = (ROOT / "docs/README.md").read_text()
    tabs = re.findall(r"^## (?:For )?(.+)$", index, re.M)
    shown = re.findall(
        r'md-tabs__link">\s*(?:<[^>]+>\s*)*([^<]+?)\s*<', (site / "index.html").read_text()
    )
    assert shown == ["Mien", "Contents", *(tab.capitalize() for tab in tabs)]


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_the_screen_and_ask_no_other_host(
    chromium: Any, address: str, width: int
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 800})
    asked: set[str] = set()
    errors: list[str] = []
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for path in (
        "",
        "documentation/",
        "using/",
        "configuration/",
        "api/",
        "adr/",
        "models/expression/",
    ):
        page.goto(f"{address}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator("article h1").count() == 1, path
    assert asked == {urlsplit(address).netloc}
    assert not errors
    page.close()
