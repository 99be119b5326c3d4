"""Builds HTML pages that need no other file, in the style of `docs/report.html`."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TEMPLATE = Path(__file__).parents[1] / "docs" / "report.html"


def page(title: str, body: Iterable[str], *, reload_s: int = 0) -> str:
    """Return the page with `title` as its heading; it reloads itself every `reload_s` seconds."""
    name = html.escape(title)
    meta = f'<meta http-equiv="refresh" content="{reload_s}">' if reload_s else ""
    text = "\n".join([f"<h1>{name}</h1>", *body])
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=name, meta=meta, body=text)


def section(title: str, text: str) -> str:
    """Return a heading and, if `text` is not empty, a paragraph."""
    heading = f"<h2>{html.escape(title)}</h2>"
    return f"{heading}\n<p>{html.escape(text)}</p>" if text else heading


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column has names and the others figures."""
    lines = [_row(head, "th"), *(_row(cells, "td") for cells in rows)]
    return '<div class="table"><table>\n' + "\n".join(lines) + "\n</table></div>"


def charts(pngs: Iterable[Path], *, wide: bool = False) -> str:
    """Return charts, embedded, next to each other if there is room.

    A `wide` chart keeps a legible size on a telephone, where it can be scrolled.
    """
    kind = "chart wide" if wide else "chart"
    figures = [
        f'<figure class="{kind}">{_image(png.read_bytes(), png.stem)}</figure>' for png in pngs
    ]
    return '<div class="charts">\n' + "\n".join(figures) + "\n</div>"


def sheet(png: Path, title: str) -> str:
    """Return a picture of many faces, embedded; `title` is its alternative text."""
    return f'<p class="sheet">{_image(png.read_bytes(), title)}</p>'


def faces(shown: Iterable[tuple[NDArray[np.uint8], str]]) -> str:
    """Return faces (48, 48, 1), each above its caption."""
    figures = [
        f"<figure>{_image(_png(face), caption)}<figcaption>{html.escape(caption)}</figcaption>"
        "</figure>"
        for face, caption in shown
    ]
    return '<div class="faces">\n' + "\n".join(figures) + "\n</div>"


def _png(face: NDArray[np.uint8]) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(face[..., 0]).save(memory, "png")
    return memory.getvalue()


def _image(png: bytes, title: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
