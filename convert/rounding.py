"""Rewrites an int8 model so that the kernels of every runtime round its sums alike.

A layer's integer sum is multiplied by a factor to give an output level, and kernels round that
product differently: in floating point or in two integer steps, halves to even or away from zero.
A difference of one level in a thousand values changes a tenth of all levels some layers later.
If the factor is a power of two, 2⁻ᵏ, kernels can only differ on halves. Even weights and an odd
bias make every sum odd, so that no halves occur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert import tflite

_MEAN, _CONV = schema.BuiltinOperator.MEAN, schema.BuiltinOperator.CONV_2D
_WEIGHTED = {
    _CONV,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
}
_TOP = 126  # the largest even int8
# The result of two integer steps for a sum beyond 2²¹ is not certain; with this factor or a larger
# one such a sum is beyond all 255 levels.
_LEAST_FACTOR = 2.0**-13
_LARGEST_BIAS = 2.0**20
# The two steps are exact for a factor just below a power of two, and lose a bit just above it.
_BELOW = 1 - 2.0**-23

Real = NDArray[np.float64]


def unambiguous(content: bytes) -> bytes:
    """Rewrite the weights, biases and scales of an int8 model's layers.

    A mean over height and width before a 1×1 convolution becomes part of it, since runtimes also
    compute means differently. Layers that share weights, or have no bias, are not changed.
    """
    model = tflite.unpack(content)
    _fold_means(model)
    for operator in _weighted(model):
        _rewrite(model, operator)
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for i, buffer in enumerate(model.buffers):
        if i not in used:
            buffer.data = None
    return tflite.pack(model)


def _fold_means(model: Any) -> None:
    subgraph = model.subgraphs[0]
    readers = [(i, operator) for operator in subgraph.operators for i in operator.inputs]
    for mean in [each for each in subgraph.operators if _code(model, each) == _MEAN]:
        after = [operator for i, operator in readers if i == mean.outputs[0]]
        if len(after) == 1 and _code(model, after[0]) == _CONV:
            x, weights = (subgraph.tensors[i] for i in (mean.inputs[0], after[0].inputs[1]))
            height, width = x.shape[1:3]
            _store(
                model,
                weights,
                np.asarray(weights.quantization.scale, np.float64) / (height * width),
                np.tile(_stored(model, weights, np.int8), (1, height, width, 1)),
            )
            after[0].inputs = np.array([mean.inputs[0], *after[0].inputs[1:]], np.int32)
            after[0].builtinOptions.padding = schema.Padding.VALID
            subgraph.operators.remove(mean)


def _weighted(model: Any) -> list[Any]:
    """Return the operators whose weights and bias no other operator uses."""
    operators = model.subgraphs[0].operators
    used = [i for operator in operators for i in operator.inputs]
    return [
        operator
        for operator in operators
        if _code(model, operator) in _WEIGHTED
        and len(operator.inputs) == 3  # input, weights, bias
        and all(i >= 0 and used.count(i) == 1 for i in operator.inputs[1:])
    ]


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _rewrite(model: Any, operator: Any) -> None:
    tensors = model.subgraphs[0].tensors
    x, kernel, bias = (tensors[i] for i in operator.inputs)
    input_scale = float(x.quantization.scale[0])
    output_scale = float(tensors[operator.outputs[0]].quantization.scale[0])
    # From here on the axis of the scales comes first; (1, all) where there is one scale.
    axis, scales = kernel.quantization.quantizedDimension, len(kernel.quantization.scale)
    stored = np.moveaxis(_stored(model, kernel, np.int8), axis, 0)
    old = np.asarray(kernel.quantization.scale, np.float64)
    weights = stored.reshape(scales, -1) * old[:, np.newaxis]
    offsets = _stored(model, bias, np.int32) * np.asarray(bias.quantization.scale, np.float64)
    factor = _factors(weights, offsets, input_scale, output_scale)
    scale = (factor * output_scale / input_scale * _BELOW).astype(np.float32).astype(np.float64)
    even = _even(weights / scale[:, np.newaxis], stored.shape)
    _store(model, kernel, scale, np.moveaxis(even, 0, axis).astype(np.int8))
    sums = offsets / (input_scale * scale)
    halves = factor < 1 / 2  # with a factor of a half, odd sums would be halves
    whole = 2 * np.floor(sums / 2) + halves
    _store(model, bias, input_scale * scale, whole.astype(np.int32))


def _factors(weights: Real, offsets: Real, input_scale: float, output_scale: float) -> Real:
    """Return for each scale the least power of two with which weights and bias fit their types."""
    largest = np.abs(offsets).reshape(len(weights), -1).max(axis=1)
    least = np.maximum(
        np.abs(weights).max(axis=1) * input_scale / output_scale / _TOP,
        largest / output_scale / _LARGEST_BIAS,
    )
    factors: Real = np.exp2(np.ceil(np.log2(np.maximum(least, _LEAST_FACTOR))))
    return factors


def _even(weights: Real, shape: tuple[int, ...]) -> Real:
    """Round to even integers in `shape`; each weight's rounding error is added to the next weight.

    This keeps the error of a filter's sum small. That error matters most, since the inputs are
    mostly positive and similar from pixel to pixel.
    """
    # A convolution's filter is (height, width, inputs); its pixels have to follow each other.
    ordered = np.moveaxis(weights.reshape(shape), -1, 1)
    sums = np.round(np.cumsum(ordered.reshape(len(weights), -1) / 2, axis=1))
    even = 2 * np.diff(sums, axis=1, prepend=0)
    return np.moveaxis(even.clip(-_TOP, _TOP).reshape(ordered.shape), 1, -1)


def _stored(model: Any, tensor: Any, dtype: type) -> NDArray[Any]:
    """Return a constant as stored in the file, in its shape."""
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)


def _store(model: Any, tensor: Any, scale: Real, values: NDArray[Any]) -> None:
    """Store a constant in a new buffer, since equal constants may share one."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.shape = np.array(values.shape, np.int32)
    tensor.quantization.scale = scale.astype(np.float32)
