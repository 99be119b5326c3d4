"""Describes a `.tflite` file: metadata, files inside, tensors, operators and size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from convert import metadata, tflite
from convert.errors import ConvertError


def describe(path: Path) -> str:
    """Everything in the file, as text; missing parts are named as absent."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConvertError(f"{path} cannot be read: {error.strerror}") from error
    try:
        lines = list(_lines(content))
    except ConvertError as error:
        raise ConvertError(f"{path}: {error}") from error
    return "\n".join([str(path), *lines])


def _lines(content: bytes) -> Iterator[str]:
    described = tflite.read(content)
    yield f"  {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"
    yield from _metadata_lines(tflite.read_metadata(content))
    yield from _file_lines(tflite.read_files(content))
    for title, ends in (("Inputs", described.inputs), ("Outputs", described.outputs)):
        yield f"{title}:"
        yield from (f"  {_tensor(tensor)}" for tensor in ends)
    yield "Operators:"
    yield from (f"  {op.name} version {op.version} ×{op.count}" for op in described.operators)
    yield "Tensors:"
    yield from (f"  {_tensor(tensor)}" for tensor in described.tensors)


def _metadata_lines(notes: metadata.Metadata | None) -> Iterator[str]:
    if notes is None:
        yield "Metadata: absent"
        return
    yield "Metadata:"
    for name in ("name", "version", "description", "author", "license", "min_parser_version"):
        yield f"  {name}: {getattr(notes, name) or 'absent'}"
    for kind, tensors in (("input", notes.inputs), ("output", notes.outputs)):
        for tensor in tensors:
            names = ", ".join(file.name for file in tensor.files)
            extra = f" (file {names})" if names else ""
            yield f"  {kind} {tensor.name or 'unnamed'}: {tensor.description or 'absent'}{extra}"


def _file_lines(files: dict[str, bytes]) -> Iterator[str]:
    if not files:
        yield "Files inside (labels, spec): absent"
    for name, data in files.items():
        yield f"{name} ({len(data)} bytes):"
        yield from (f"  {line}" for line in _text(data).splitlines())


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "not text"


def _tensor(tensor: tflite.Tensor) -> str:
    shape = "×".join(str(size) for size in tensor.shape) or "scalar"
    if tensor.channels > 1:
        steps = f", {tensor.channels} scales"
    elif tensor.scale is not None:
        steps = f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}"
    else:
        steps = ""
    return f"{tensor.name}: {tensor.dtype} {shape}{steps}"
