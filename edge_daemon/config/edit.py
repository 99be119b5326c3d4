"""Changes settings in the text of a configuration file, and nothing else in it.

Only this file imports ruamel.yaml, which says where in the text a value is.
https://yaml.dev/doc/ruamel.yaml/
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from edge_daemon.config.yaml_document import is_plain_text

HIDDEN: Final = "…"
LONG_LINE: Final = 1 << 20  # keeps lists on one line
KEY: Final = re.compile(r"^( +)[^\s#-][^\n]*:", re.MULTILINE)
COMMENT: Final = re.compile(r"(?:^|(?<=\s))#[^\n]*?(?=\s*$)", re.MULTILINE)
BEFORE_COMMENT: Final = re.compile(r" +(?=#)")
END: Final = re.compile(r"^\.\.\.(?=\s|$)", re.MULTILINE)  # of a document
CANNOT: Final = "the file cannot be edited automatically without other changes; edit it by hand"


class EditError(ValueError):
    """The text cannot be edited; the message says why, without the file's name."""


def edited(text: str, changes: Mapping[str, object]) -> str:
    """Return `text` with other values for the keys named in `changes`.

    A key or section that is missing is added. The caller checks that the result means what it
    should. Raises EditError, also where a comment would be lost.
    """
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        text = _with(text, section, key, _written(value))
    return text


def _with(text: str, section: str, key: str, value: str) -> str:
    """Return `text` with `value` for a key, and every other character as it was."""
    root, end = _composed(text), "\r\n" if "\r\n" in text else "\n"
    if root is not None and not root.tag.endswith(":map"):
        raise EditError(CANNOT)
    found = _item(root, section) if root is not None else None
    if found is None:
        return _with_section(text, root, f"{section}:{end}{_indent(text)}{key}: {value}{end}", end)
    name, items = found
    if items.start_mark.index < name.end_mark.index:  # an alias: it changes something else, too
        raise EditError(CANNOT)
    if items.tag.endswith(":null"):
        if items.start_mark.index != items.end_mark.index:  # null or ~
            return _replaced(text, items, f"{{{key}: {value}}}")
        return _with_line(text, name, f"{_indent(text)}{key}: {value}", end)
    if not items.tag.endswith(":map"):
        raise EditError(CANNOT)
    known = _item(items, key)
    if known is not None:
        return _replaced(text, known[1], value, after=known[0])
    if items.flow_style:
        place = text.index("{", items.start_mark.index) + 1
        return f"{text[:place]}{key}: {value}{', ' if items.value else ''}{text[place:]}"
    return _with_line(text, name, f"{' ' * items.value[0][0].start_mark.column}{key}: {value}", end)


def _composed(text: str) -> Any:
    """Return the text's nodes, which know their places in it. Raises EditError."""
    from ruamel.yaml import YAML  # noqa: PLC0415 (only an edit needs it, and it takes 3 MB)
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        return YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        raise EditError(CANNOT) from error


def _item(mapping: Any, key: str) -> Any:
    """Return the nodes of `key` and its value, None if it is missing. Raises EditError."""
    found = [item for item in mapping.value if item[0].value == key]
    if len(found) > 1:
        raise EditError(CANNOT)
    return found[0] if found else None


def _indent(text: str) -> str:
    found = KEY.search(text)
    return found[1] if found else "  "


def _with_section(text: str, root: Any, lines: str, end: str) -> str:
    """Add a section at the end of the document."""
    if root is not None and root.flow_style:
        raise EditError(CANNOT)
    mark = END.search(text)
    place = mark.start() if mark else len(text)
    head, tail = text[:place], text[place:]
    if root is None and head.strip():  # comments alone
        head = f"{head.rstrip()}{end}{end}"
    elif head and not head.endswith("\n"):
        head += end
    return head + lines + tail


def _with_line(text: str, name: Any, line: str, end: str) -> str:
    """Add a line below that of the key `name`: comments after the last key stay where they are."""
    place = text.find("\n", name.end_mark.index) + 1
    return f"{text[:place]}{line}{end}{text[place:]}" if place else f"{text}{end}{line}"


def _replaced(text: str, node: Any, value: str, after: Any = None) -> str:
    """Replace the text of `node`, the value of the key `after`. Raises EditError for lost comments.

    A comment behind it stays in its column.
    """
    begin, end = node.start_mark.index, _content_end(node)
    if after is not None and begin < after.end_mark.index:  # an alias: only its name is here
        found = re.compile(r"\*\S+").search(text, after.end_mark.index)
        if found is None:
            raise EditError(CANNOT)
        begin, end = found.span()
    elif node.anchor:
        raise EditError(CANNOT)
    before = ""
    if after is not None and text.count("\n", after.end_mark.index, begin):  # on lines below
        colon = text.index(":", after.end_mark.index) + 1
        line_end = text.index("\n", colon)
        before = text[colon:line_end].rstrip()
        begin, value = colon, f" {value}{before}"
    elif text[begin - 1] == ":":  # nothing
        value = f" {value}"
    old = text[begin:end]
    if lost := set(COMMENT.findall(old)) - set(COMMENT.findall(before)):
        raise EditError(f"the comment {min(lost)!r} would be lost; edit it by hand")
    if gap := BEFORE_COMMENT.match(text, end):
        spaces = max(1, len(gap[0]) + len(old) - len(value)) if "\n" not in old else 2
        return f"{text[:begin]}{value}{' ' * spaces}{text[gap.end() :]}"
    return text[:begin] + value + text[end:]


def _content_end(node: Any) -> int:
    """Return where the text of `node` ends; a list in lines says so of what follows it."""
    if node.tag.endswith((":map", ":seq")) and not node.flow_style and node.value:
        last = node.value[-1]
        return _content_end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _written(value: object) -> str:
    """Return `value` as YAML that can stand in braces, too."""
    from ruamel.yaml import YAML  # noqa: PLC0415

    made, yaml = io.StringIO(), YAML()
    yaml.width = LONG_LINE
    yaml.dump(_node({"x": value}), made)
    return made.getvalue().strip().removeprefix("{x: ").removesuffix("}")


def difference(before: str, after: str, *, shown: Collection[str]) -> str:
    """Return the lines that differ, as a unified diff without context.

    The values of all keys but those in `shown` are hidden. Raises EditError.
    """
    old, new = (_redacted(text, shown).splitlines() for text in (before, after))
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]  # without the files' names
    return "".join(f"{line}\n" for line in lines)


def _node(value: object) -> Any:
    """Return `value` as ruamel.yaml writes it on one line, with quotes only where they matter."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq  # noqa: PLC0415
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString  # noqa: PLC0415

    if isinstance(value, Mapping):
        node: Any = CommentedMap({_node(key): _node(each) for key, each in value.items()})
    elif isinstance(value, list | tuple):
        node = CommentedSeq(map(_node, value))
    elif isinstance(value, str):
        return value if is_plain_text(value) else DoubleQuotedScalarString(value)
    else:
        return value
    node.fa.set_flow_style()
    return node


def _redacted(text: str, shown: Collection[str]) -> str:
    """Return `text` with the values of all keys but those in `shown` hidden."""
    root = _composed(text)
    spans = sorted(_hidden_spans(root, shown), reverse=True) if root is not None else []
    for start, end in spans:
        text = text[:start] + HIDDEN + "\n" * text.count("\n", start, end) + text[end:]
    return text


def _hidden_spans(root: Any, shown: Collection[str]) -> Iterator[tuple[int, int]]:
    for name, section in root.value:
        keys = section.value if section.tag.endswith(":map") else [(None, section)]
        for key, value in keys:
            if key is None or f"{name.value}.{key.value}" not in shown:
                yield from _scalars(value)


def _scalars(node: Any) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each scalar of `node` in the text, without the keys."""
    if node.tag.endswith((":map", ":seq")):
        for each in node.value:
            yield from _scalars(each[1] if isinstance(each, tuple) else each)
    elif node.start_mark.index < node.end_mark.index:
        yield node.start_mark.index, node.end_mark.index
