"""Builds HTML pages that need no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: 0.2rem 0.8rem; border-bottom: 1px solid #8888; text-align: right }
th:first-child, td:first-child { text-align: left }
img { max-width: 100%; background: #fff }
"""


def page(title: str, body: Iterable[str]) -> str:
    """The whole page with `title` as its heading."""
    name = html.escape(title)
    pieces = "\n".join(body)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style>
<h1>{name}</h1>
{pieces}
</html>
"""


def section(title: str, text: str) -> str:
    """A heading and, where `text` is not empty, a paragraph."""
    heading = f"<h2>{html.escape(title)}</h2>"
    return f"{heading}\n<p>{html.escape(text)}</p>" if text else heading


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column has names and the others figures."""
    lines = [_row(head, "th"), *(_row(cells, "td") for cells in rows)]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def image(png: Path, title: str) -> str:
    """The picture, embedded; `title` is its alternative text."""
    data = base64.b64encode(png.read_bytes()).decode()
    return f'<p><img alt="{html.escape(title)}" src="data:image/png;base64,{data}"></p>'


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
