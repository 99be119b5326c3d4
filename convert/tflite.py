"""Reads and writes `.tflite` files: tensors, operators, metadata and associated files.

Fields of the flatbuffer: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs

The metadata is stored in the flatbuffer as the buffer "TFLITE_METADATA". The associated files
follow the flatbuffer as a zip archive, which any zip reader finds from the end of the file, while
the runtime reads the flatbuffer from its start
(https://ai.google.dev/edge/litert/conversion/tensorflow/metadata).
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from convert import metadata
from convert.errors import ConvertError

METADATA_NAME = b"TFLITE_METADATA"

# Operators that quantization gives one scale for input and output, as they calculate nothing.
COPYING = frozenset(
    {"CONCATENATION", "MAX_POOL_2D", "MIRROR_PAD", "PAD", "RESHAPE", "STRIDED_SLICE", "TRANSPOSE"}
)

_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16  # `force_align` of Buffer.data in TFLite's schema
# The exceptions of reading a flatbuffer with wrong offsets.
_DAMAGES = (struct.error, ValueError, IndexError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; `scale` and `zero_point` are None unless all of it is quantized with one scale."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None
    channels: int  # the number of scales

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith(("FLOAT", "BFLOAT"))


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator in one version, and how often the graph uses it."""

    name: str
    version: int
    count: int


@dataclass(frozen=True, slots=True)
class Graph:
    """The main subgraph: inputs, outputs, all tensors, and operators in order of first use."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    float_operators: tuple[str, ...]  # names of those that read or write floating point
    computed: tuple[str, ...]  # names of the tensors that operators write, in order


def unpack(content: bytes) -> Any:
    """Parse a model file to the schema's `ModelT`. Raises ConvertError for any other file."""
    if content[4:8] != _IDENTIFIER:
        raise ConvertError("this is not a TFLite model")
    try:
        return schema.ModelT.InitFromPackedBuf(content, 0)
    except _DAMAGES as error:
        raise ConvertError("this TFLite model is damaged or cut short") from error


def pack(model: Any) -> bytes:
    """Return the bytes of a schema's `ModelT`."""
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def read(content: bytes) -> Graph:
    """Read the main subgraph of a model file. Raises ConvertError for any other file."""
    try:
        return _main_graph(unpack(content))
    except _DAMAGES as error:
        raise ConvertError("this TFLite model is damaged") from error


def copies_of_input(model: Any) -> set[int]:
    """Return the numbers of the tensors that COPYING operators make of the input's values.

    They have the input's scale. The input's own number is among them.
    """
    graph = model.subgraphs[0]
    copies = set(graph.inputs)
    for operator in graph.operators:
        name, _ = _operator(model.operatorCodes[operator.opcodeIndex])
        if name in COPYING and operator.inputs[0] in copies:
            copies.update(operator.outputs)
    return copies


def _main_graph(model: Any) -> Graph:
    subgraph = model.subgraphs[0]
    tensors = tuple(_tensor(tensor) for tensor in subgraph.tensors)
    operators = subgraph.operators or []
    used = Counter(_operator(model.operatorCodes[op.opcodeIndex]) for op in operators)
    return Graph(
        inputs=tuple(tensors[i] for i in subgraph.inputs),
        outputs=tuple(tensors[i] for i in subgraph.outputs),
        tensors=tensors,
        operators=tuple(Operator(name, version, n) for (name, version), n in used.items()),
        float_operators=tuple(
            dict.fromkeys(
                _operator(model.operatorCodes[op.opcodeIndex])[0]
                for op in operators
                if any(tensors[i].is_float for i in (*op.inputs, *op.outputs) if i >= 0)
            )
        ),
        computed=tuple(tensors[i].name for op in operators for i in op.outputs),
    )


def _tensor(tensor: Any) -> Tensor:
    quantization = tensor.quantization
    scales = [] if quantization is None or quantization.scale is None else quantization.scale
    single = len(scales) == 1
    return Tensor(
        name=(tensor.name or b"unnamed").decode(errors="replace"),
        dtype=_name_of(schema.TensorType, tensor.type),
        shape=tuple(int(size) for size in tensor.shape) if tensor.shape is not None else (),
        scale=float(scales[0]) if single else None,
        zero_point=_zero_point(quantization) if single else None,
        channels=len(scales),
    )


def _zero_point(quantization: Any) -> int:
    return 0 if quantization.zeroPoint is None else int(quantization.zeroPoint[0])


def _operator(code: Any) -> tuple[str, int]:
    if code.customCode is not None:
        return f"CUSTOM {code.customCode.decode()}", code.version
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)  # the old field has one byte
    return _name_of(schema.BuiltinOperator, builtin), code.version


def _name_of(enum: type, value: int) -> str:
    return next((name for name, number in vars(enum).items() if number == value), str(value))


def seal(model: bytes, notes: metadata.Metadata, files: Mapping[str, bytes]) -> bytes:
    """Add metadata and associated `files` to a model; equal inputs give equal bytes."""
    unpacked = unpack(model)
    unpacked.buffers.append(_buffer(metadata.pack(notes)))
    unpacked.metadata = [entry for entry in unpacked.metadata or [] if entry.name != METADATA_NAME]
    unpacked.metadata.append(_entry(len(unpacked.buffers) - 1))
    return _with_zip(pack(unpacked), files)


def read_metadata(content: bytes) -> metadata.Metadata | None:
    """Return the metadata inside a model; None if it has none."""
    unpacked = unpack(content)
    for entry in unpacked.metadata or []:
        if entry.name == METADATA_NAME:
            return metadata.unpack(_content(unpacked.buffers, entry.buffer))
    return None


def read_files(content: bytes) -> dict[str, bytes]:
    """Return the associated files of a model by name; empty if it has none."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise ConvertError(f"the files inside the model are damaged: {error}") from error


def _content(buffers: Sequence[schema.BufferT], index: int) -> bytes:
    if index >= len(buffers) or buffers[index].data is None:
        raise ConvertError("the model's metadata is damaged")
    return bytes(buffers[index].data)


def _buffer(content: bytes) -> schema.BufferT:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    return buffer


def _entry(buffer: int) -> schema.MetadataT:
    entry = schema.MetadataT()
    entry.name = METADATA_NAME
    entry.buffer = buffer
    return entry


def _with_zip(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """Append `files` uncompressed, so that C++ readers can map them, and with a fixed date."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)  # dated 1980-01-01
            info.create_system = 3  # Unix, whatever wrote it
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return stream.getvalue()


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """Aligns byte vectors as the schema requires, which the generated Python code does not."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        alignment = _BUFFER_ALIGNMENT if elemSize == 1 else alignment
        return super().StartVector(elemSize, numElems, alignment)
