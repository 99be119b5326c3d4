"""The bytes of a `.tflite` file in, a plain list of its tensors and operators out.

Field meanings: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from convert.errors import ConvertError

_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16  # `force_align` of Buffer.data in TFLite's schema
# What reading a flatbuffer with wrong offsets ends in.
_DAMAGES = (struct.error, ValueError, IndexError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor; `scale` and `zero_point` are None where it has none or one for each channel."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None
    channels: int  # how many scales it has

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
    """The main subgraph: its ends, all its tensors, and its operators by first use."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    float_operators: tuple[str, ...]  # names of those that read or write floating point
    computed: tuple[str, ...]  # names of the tensors that operators write, by first use


def unpack(content: bytes) -> Any:
    """The schema's own object (`ModelT`) for `content`; `ConvertError` if it is no TFLite model."""
    if content[4:8] != _IDENTIFIER:
        raise ConvertError("this is not a TFLite model")
    try:
        return schema.ModelT.InitFromPackedBuf(content, 0)
    except _DAMAGES as error:
        raise ConvertError("this TFLite model is damaged or cut short") from error


def pack(model: Any) -> bytes:
    """The bytes of a schema's `ModelT`."""
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def read(content: bytes) -> Graph:
    """List what the main subgraph of a model holds; `ConvertError` if it is no TFLite model."""
    try:
        return _main_graph(unpack(content))
    except _DAMAGES as error:
        raise ConvertError("this TFLite model is damaged") from error


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
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)  # the old field is one byte
    return _name_of(schema.BuiltinOperator, builtin), code.version


def _name_of(enum: type, value: int) -> str:
    return next((name for name, number in vars(enum).items() if number == value), str(value))


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """A builder that aligns byte vectors as the schema asks; Python's code leaves that out."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        alignment = _BUFFER_ALIGNMENT if elemSize == 1 else alignment
        return super().StartVector(elemSize, numElems, alignment)
