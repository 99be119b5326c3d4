"""Reads and writes TFLite Metadata, the standard flatbuffer that describes a model.

`pack` and `unpack` are written against the public schema, version 1.1.0,
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
The constants below are its field numbers. No maintained package writes it without a heavy
dependency. Fields that this project does not use are neither written nor read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import flatbuffers
from flatbuffers.number_types import Uint8Flags
from flatbuffers.table import Table

from convert.errors import ConvertError

_T = TypeVar("_T")

IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"  # nothing newer than the schema's first version is written

_GRAYSCALE = 2  # ColorSpaceType
_IMAGE_PROPERTIES = 2  # ContentProperties
_NORMALIZATION_OPTIONS = 1  # ProcessUnitOptions
TENSOR_AXIS_LABELS = 2  # AssociatedFileType

# Fields of each table, in the schema's order; a union takes two, its type and its value.
_MODEL_FIELDS = 8
_NAME, _DESCRIPTION = 0, 1  # the same in every table that has them
_VERSION, _SUBGRAPHS, _AUTHOR, _LICENSE, _MODEL_FILES, _MIN_PARSER = 2, 3, 4, 5, 6, 7
_INPUTS, _OUTPUTS = 2, 3
_CONTENT, _PROCESS_UNITS, _TENSOR_FILES = 3, 4, 6
_FILE_TYPE = 2


@dataclass(frozen=True, slots=True)
class AssociatedFile:
    """A file that travels with the model; `kind` is 0 or one of the schema's file types."""

    name: str
    description: str
    kind: int = 0


@dataclass(frozen=True, slots=True)
class TensorNote:
    """An input or output tensor; `gray_size` is the (width, height) of a gray image."""

    name: str
    description: str
    files: tuple[AssociatedFile, ...] = ()
    gray_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """The description of a model; a file omits fields that are empty."""

    name: str
    description: str
    version: str
    author: str
    license: str
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    files: tuple[AssociatedFile, ...] = ()
    min_parser_version: str = MIN_PARSER_VERSION


def pack(metadata: Metadata) -> bytes:
    """Return the metadata as a flatbuffer; the same metadata always gives the same bytes."""
    b = flatbuffers.Builder(1024)
    subgraph = _table(
        b,
        4,
        {
            _INPUTS: _tables(b, metadata.inputs, _pack_tensor),
            _OUTPUTS: _tables(b, metadata.outputs, _pack_tensor),
        },
    )
    root = _table(
        b,
        _MODEL_FIELDS,
        {
            _NAME: b.CreateString(metadata.name),
            _DESCRIPTION: b.CreateString(metadata.description),
            _VERSION: b.CreateString(metadata.version),
            _SUBGRAPHS: _offsets(b, [subgraph]),
            _AUTHOR: b.CreateString(metadata.author),
            _LICENSE: b.CreateString(metadata.license),
            _MODEL_FILES: _tables(b, metadata.files, _pack_file),
            _MIN_PARSER: b.CreateString(metadata.min_parser_version),
        },
    )
    b.Finish(root, file_identifier=IDENTIFIER)
    return bytes(b.Output())


def unpack(content: bytes) -> Metadata:
    """Read a metadata flatbuffer. Raises ConvertError for other bytes."""
    if content[4:8] != IDENTIFIER:
        raise ConvertError("the model's metadata is not TFLite Metadata")
    try:
        return _unpack_model(Table(content, struct.unpack_from("<I", content)[0]))
    except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ConvertError("the model's metadata is damaged") from error


def _pack_file(b: flatbuffers.Builder, file: AssociatedFile) -> int:
    name, description = b.CreateString(file.name), b.CreateString(file.description)
    return _table(b, 3, {_NAME: name, _DESCRIPTION: description}, bytes_={_FILE_TYPE: file.kind})


def _pack_tensor(b: flatbuffers.Builder, note: TensorNote) -> int:
    fields = {
        _NAME: b.CreateString(note.name),
        _DESCRIPTION: b.CreateString(note.description),
    }
    if note.gray_size is not None:
        fields[_CONTENT] = _pack_gray_image(b, *note.gray_size)
        fields[_PROCESS_UNITS] = _offsets(b, [_pack_no_normalization(b)])
    if note.files:
        fields[_TENSOR_FILES] = _tables(b, note.files, _pack_file)
    return _table(b, 7, fields)


def _pack_gray_image(b: flatbuffers.Builder, width: int, height: int) -> int:
    """Write a Content table with the color space and the size in pixels; return its offset."""
    b.StartObject(2)
    b.PrependUint32Slot(0, width, 0)
    b.PrependUint32Slot(1, height, 0)
    size = b.EndObject()
    image = _table(b, 2, {1: size}, bytes_={0: _GRAYSCALE})
    return _table(b, 3, {1: image}, bytes_={0: _IMAGE_PROPERTIES})


def _pack_no_normalization(b: flatbuffers.Builder) -> int:
    """Return a ProcessUnit of (x − 0) / 1: the network takes raw pixels."""
    mean, deviation = _float(b, 0.0), _float(b, 1.0)
    options = _table(b, 2, {0: mean, 1: deviation})
    return _table(b, 2, {1: options}, bytes_={0: _NORMALIZATION_OPTIONS})


def _table(
    b: flatbuffers.Builder,
    fields: int,
    offsets: dict[int, int],
    bytes_: dict[int, int] | None = None,
) -> int:
    """Write a table with references and single bytes in the given fields; return its offset."""
    b.StartObject(fields)
    for field, offset in offsets.items():
        b.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, value in (bytes_ or {}).items():
        b.PrependUint8Slot(field, value, 0)
    return int(b.EndObject())


def _tables(
    b: flatbuffers.Builder,
    items: Sequence[_T],
    pack_one: Callable[[flatbuffers.Builder, _T], int],
) -> int:
    return _offsets(b, [pack_one(b, item) for item in items])


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):  # the buffer grows downwards
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _float(b: flatbuffers.Builder, value: float) -> int:
    b.StartVector(4, 1, 4)
    b.PrependFloat32(value)
    return int(b.EndVector())


def _unpack_model(table: Table) -> Metadata:
    subgraphs = _children(table, _SUBGRAPHS)
    ends = [_children(subgraphs[0], field) if subgraphs else [] for field in (_INPUTS, _OUTPUTS)]
    return Metadata(
        name=_string(table, _NAME),
        description=_string(table, _DESCRIPTION),
        version=_string(table, _VERSION),
        author=_string(table, _AUTHOR),
        license=_string(table, _LICENSE),
        inputs=tuple(_unpack_tensor(child) for child in ends[0]),
        outputs=tuple(_unpack_tensor(child) for child in ends[1]),
        files=tuple(_unpack_file(child) for child in _children(table, _MODEL_FILES)),
        min_parser_version=_string(table, _MIN_PARSER),
    )


def _unpack_tensor(table: Table) -> TensorNote:
    return TensorNote(
        name=_string(table, _NAME),
        description=_string(table, _DESCRIPTION),
        files=tuple(_unpack_file(child) for child in _children(table, _TENSOR_FILES)),
    )


def _unpack_file(table: Table) -> AssociatedFile:
    position = table.Offset(4 + 2 * _FILE_TYPE)
    kind = table.Get(Uint8Flags, table.Pos + position) if position else 0
    return AssociatedFile(_string(table, _NAME), _string(table, _DESCRIPTION), int(kind))


def _string(table: Table, field: int) -> str:
    position = table.Offset(4 + 2 * field)
    return bytes(table.String(table.Pos + position)).decode() if position else ""


def _children(table: Table, field: int) -> list[Table]:
    position = table.Offset(4 + 2 * field)
    if not position:
        return []
    start = table.Vector(position)
    return [
        Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(table.VectorLen(position))
    ]
