"""A page's blocks in, Markdown out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from convert.page import Block, Heading, Picture, Table


def render(blocks: Iterable[Block]) -> str:
    """The blocks with an empty line between each two."""
    return "\n\n".join("\n".join(_lines(block)) for block in blocks) + "\n"


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"{'#' * block.level} {block.text}"
    elif isinstance(block, Table):
        rule = ("---", *["---:"] * (len(block.head) - 1))  # names to the left, figures to the right
        yield from (f"| {' | '.join(cells)} |" for cells in (block.head, rule, *block.rows))
    elif isinstance(block, Picture):
        yield f"![{block.text}]({block.file_name})"
    else:
        yield block
