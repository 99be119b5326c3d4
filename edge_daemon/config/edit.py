"""Changes settings in the text of a configuration file, and keeps its comments and its order.

Only this file imports ruamel.yaml, which keeps the comments that PyYAML drops.
https://yaml.dev/doc/ruamel.yaml/
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from edge_daemon.config.file import is_plain_text

HIDDEN: Final = "…"
LONG_LINE: Final = 1 << 20  # keeps long lines as they are
KEY: Final = re.compile(r"^( +)[^\s#-][^\n]*:", re.MULTILINE)
COMMENT: Final = re.compile(r"(?:^|(?<=\s))#[^\n]*?(?=\s*$)", re.MULTILINE)
# A key without a value, and the first dash of its list; there may be comments between.
DASH: Final = re.compile(
    r"^( *)[^\s#][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:\s*#[^\n]*\n)*( *)- ", re.MULTILINE
)
CANNOT: Final = "the file cannot be edited automatically without other changes; edit it by hand"


class EditError(ValueError):
    """The text cannot be edited; the message says why, without the file's name."""


def edited(text: str, changes: Mapping[str, object]) -> str:
    """Return `text` with other values for the keys named in `changes`.

    A key or section that is missing is added. The caller checks that the result means what it
    should. Raises EditError, also where a comment would be lost.
    """
    from ruamel.yaml import YAML  # noqa: PLC0415 (only an edit needs it, and it takes 3 MB)
    from ruamel.yaml.comments import CommentedMap  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    lines = text.replace("\r\n", "\n")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = LONG_LINE
    indent, dash = _indents(lines)
    yaml.indent(mapping=indent, sequence=dash + 2, offset=dash)
    try:
        root = yaml.load(lines)
    except YAMLError as error:
        raise EditError(CANNOT) from error
    if root is None:  # nothing but comments, which would be lost
        head = f"{lines.rstrip()}\n\n" if lines.strip() else ""
        section = next(iter(changes)).partition(".")[0]
        return head + edited(f"{section}:\n", changes)
    if not isinstance(root, CommentedMap):
        raise EditError(CANNOT)
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        if root.get(section) is None:
            root[section] = CommentedMap()
        if not isinstance(root[section], CommentedMap):
            raise EditError(CANNOT)
        _put(root[section], key, _node(value))
    made = io.StringIO()
    yaml.dump(root, made)
    after = made.getvalue()
    if lost := set(COMMENT.findall(lines)) - set(COMMENT.findall(after)):
        raise EditError(f"the comment {min(lost)!r} would be lost; edit it by hand")
    return after.replace("\n", "\r\n") if "\r\n" in text else after


def _indents(text: str) -> tuple[int, int]:
    """Return how many spaces keys are indented by in `text`, and the dashes of lists."""
    key, dash = KEY.search(text), DASH.search(text)
    return len(key[1]) if key else 2, max(len(dash[2]) - len(dash[1]), 0) if dash else 2


def difference(before: str, after: str, *, shown: Collection[str]) -> str:
    """Return the lines that differ, as a unified diff without context.

    The values of all keys but those in `shown` are hidden. Raises EditError.
    """
    old, new = (_redacted(text, shown).splitlines() for text in (before, after))
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]  # without the files' names
    return "".join(f"{line}\n" for line in lines)


def _put(mapping: Any, key: str, value: Any) -> None:
    """Set `key`; a new one comes first, so that comments after the last stay where they are."""
    if key not in mapping:
        mapping.insert(0, key, value)
        return
    comment = _following_comment(mapping[key])
    mapping[key] = value
    if comment and not any(mapping.ca.items.get(key, ())):
        mapping.yaml_add_eol_comment("#", key, column=0)
        mapping.ca.items[key][2].value = comment


def _following_comment(node: Any) -> str:
    """Return what follows a list or mapping up to the next key, from the end of its last line.

    ruamel.yaml keeps it with the last item, which is about to be replaced, or at the end.
    """
    if not hasattr(node, "ca") or not node:
        return ""
    last = len(node) - 1 if isinstance(node, list) else list(node)[-1]
    kept = [token.value for token in node.ca.items.get(last, ()) if hasattr(token, "value")]
    at_end = [token.value for token in node.ca.end or ()]
    line_end = ["\n"] if at_end and not kept else []
    return "".join([*kept, *line_end, *at_end]) or _following_comment(node[last])


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
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        raise EditError(CANNOT) from error
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
