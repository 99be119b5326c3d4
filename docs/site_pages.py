"""Builds the site from the repository as it is: MkDocs calls these hooks (mkdocs.yml).

Pages link to each other by their places in the repository. The site's first page is the README;
docs/README.md gives the order of the others; every file that a page links to becomes a part of it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
HOME, INDEX, DECISIONS = "README.md", "docs/README.md", "docs/adr/README.md"
RENAMED = {HOME: "index.md", INDEX: "documentation.md"}
SECTION = re.compile(r"^## (?:For )?(.+)\n((?:(?!## ).*\n?)*)", re.M)
ROW = re.compile(r"^\| \[(.+?)\]\(([^)]+)\)", re.M)
FENCE = re.compile(r"^(```.*?^```$)", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s#:]+)((?:#[^)\s]*)?)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from docs/README.md."""
    sections = [
        {title.capitalize(): [_entry(name, link) for name, link in ROW.findall(rows)]}
        for title, rows in SECTION.findall((ROOT / INDEX).read_text(encoding="utf-8"))
    ]
    config.nav = [{"Mien": place(HOME)}, {"Contents": place(INDEX)}, *sections]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the theme's files, the README and everything that can be reached from it."""
    theme = [each for each in files if each.src_dir != config.docs_dir]
    found, waiting = {HOME: _file(HOME, config)}, [HOME]
    while waiting:
        page = waiting.pop()
        for path in _linked(page):
            if path not in found:
                found[path] = _file(path, config)
                waiting += [path] if path.endswith(".md") else []
    return Files([*theme, *found.values()])


def place(path: str) -> str:
    """Return where the site has the file `path` of the repository."""
    return RENAMED.get(path, path.removeprefix("docs/"))


def _entry(name: str, link: str) -> dict[str, str | list[str]]:
    """Return a page's entry in the navigation; the decisions are listed below their index."""
    path = posixpath.normpath(f"docs/{link}")
    if path != DECISIONS:
        return {name: place(path)}
    return {name: [place(path), *map(place, _linked(path))]}


def _file(path: str, config: MkDocsConfig) -> File:
    if not path.endswith(".md"):
        return File.generated(config, place(path), abs_src_path=str(ROOT / path))
    text = FENCE.split((ROOT / path).read_text(encoding="utf-8"))
    text[::2] = [LINK.sub(lambda link: _moved(link, path), part) for part in text[::2]]
    return File.generated(config, place(path), content="".join(text))


def _linked(page: str) -> list[str]:
    """Return the files of the repository that a page links to."""
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    paths = [_path(link[1], page) for link in LINK.finditer(text)]
    return [path for path in paths if (ROOT / path).is_file()]


def _moved(link: re.Match[str], page: str) -> str:
    """Return the link as it is between the places on the site; a broken one stays."""
    path = _path(link[1], page)
    if not (ROOT / path).is_file():
        return link[0]
    relative = posixpath.relpath(place(path), posixpath.dirname(place(page)) or ".")
    return f"]({relative}{link[2]})"


def _path(link: str, page: str) -> str:
    """Return the path in the repository of what `page` links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
