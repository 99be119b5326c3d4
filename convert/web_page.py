"""A page's blocks in, one self-contained HTML file out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from convert.page import Block, Heading, Picture, Table

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto; padding: 0 1rem }
p { max-width: 62rem }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.9rem }
th, td { padding: 0.2rem 0.5rem; border-bottom: 1px solid #ccc; text-align: right }
td { white-space: nowrap }
th:first-child, td:first-child { text-align: left }
code { overflow-wrap: anywhere }
svg { max-width: 100%; height: auto }
"""


def render(title: str, blocks: Iterable[Block]) -> str:
    """The whole page; pictures are inside it."""
    body = "\n".join(_element(block) for block in blocks)
    head = f'<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _element(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, Table):
        rows = [_row(block.head, "th"), *(_row(cells, "td") for cells in block.rows)]
        return "<table>\n" + "\n".join(rows) + "\n</table>"
    if isinstance(block, Picture):
        drawing = block.svg[block.svg.index("<svg") :]  # without the XML declaration
        return f"<figure>\n{drawing}\n<figcaption>{_inline(block.text)}</figcaption>\n</figure>"
    return f"<p>{_inline(block)}</p>"


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_inline(cell)}</{tag}>" for cell in cells) + "</tr>"


def _inline(text: str) -> str:
    """Escaped, with Markdown's `code` and **strong**."""
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]*)\*\*", r"<strong>\1</strong>", escaped)
