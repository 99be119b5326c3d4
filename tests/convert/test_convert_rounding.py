"""Tests int8 layers that every kernel rounds alike: what is rewritten; answers stay close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from support.stripes import keras, stripes

from convert import candidate, quantize, tflite, variants

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STRIPES = stripes(140, seed=6)[0]
# Large squares of gray, which even an untrained network tells apart.
SQUARES = np.random.default_rng(8).integers(0, 256, (60, 4, 4, 1), np.uint8)
SQUARES = SQUARES.repeat(12, axis=1).repeat(12, axis=2)


def on_reference_kernels(content: bytes) -> NDArray[np.uint8]:
    """Return a model's stored answers to `STRIPES`, with the kernels of two integer steps."""
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (pixels,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    stored = []
    for image in STRIPES:
        interpreter.set_tensor(pixels["index"], image[np.newaxis])
        interpreter.invoke()
        stored.append(interpreter.get_tensor(answer["index"])[0])
    return np.stack(stored)


def layers_of(content: bytes) -> list[tuple[NDArray[np.int8], NDArray[np.int32], Any]]:
    """Weights, bias and factors of each operator that has them."""
    model = tflite.unpack(content)
    subgraph = model.subgraphs[0]
    found = []
    for operator in subgraph.operators:
        if len(operator.inputs) == 3:
            x, kernel, bias = (subgraph.tensors[i] for i in operator.inputs)
            y = subgraph.tensors[operator.outputs[0]]
            weights = np.frombuffer(bytes(model.buffers[kernel.buffer].data), np.int8)
            offsets = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
            scales = [np.float64(each.quantization.scale) for each in (x, kernel, y)]
            found.append((weights, offsets, scales[0] * scales[1] / scales[2]))
    return found


def network(body: Any) -> keras.Model:
    """Return a small network of random weights that ends in seven probabilities."""
    keras.utils.set_random_seed(11)
    inputs = keras.Input((48, 48, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu")(x)
    return keras.Model(inputs, keras.layers.Softmax()(body(x)))


def mean_then_convolution(x: Any) -> Any:
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(7, 1, kernel_initializer="he_normal")(x)
    return keras.layers.Reshape((7,))(x)


def one_layer_twice(x: Any) -> Any:
    shared = keras.layers.Conv2D(8, 3, padding="same", activation="relu")
    return keras.layers.Dense(7)(keras.layers.Flatten()(shared(shared(x))))


def no_bias(x: Any) -> Any:
    return keras.layers.Dense(7, use_bias=False)(keras.layers.Flatten()(x))


def depthwise(x: Any) -> Any:
    x = keras.layers.DepthwiseConv2D(3, 2, padding="same", activation="relu")(x)
    return keras.layers.Dense(7)(keras.layers.Flatten()(x))


def test_sums_are_odd_and_factors_just_below_powers_of_two(converted: Path) -> None:
    layers = layers_of(converted.read_bytes())
    assert len(layers) == 3
    for weights, offsets, factors in layers:
        assert not (weights % 2).any()
        assert weights.max() > 60
        assert (offsets % 2).all()
        power = np.exp2(np.round(np.log2(factors)))
        assert (factors < power).all()
        assert factors == pytest.approx(power, rel=2**-22)


def test_fast_and_reference_kernels_answer_alike(converted: Path) -> None:
    content = converted.read_bytes()
    exact = candidate.dequantized(content, on_reference_kernels(content))
    off = np.abs(candidate.probabilities(content, STRIPES) - exact)
    # Their softmax differs, which is the last operator, in one level at times.
    assert off.max() <= 1 / 256
    assert (off == 0).mean() > 0.99


@pytest.mark.parametrize("body", [mean_then_convolution, one_layer_twice, no_bias, depthwise])
def test_the_network_stays_the_same(body: Any) -> None:
    model = network(body)
    content = quantize.to_tflite(model, SQUARES, variants.INT8)
    wanted = model.predict(SQUARES.astype(np.float32), verbose=0)
    answers = candidate.probabilities(content, SQUARES)
    assert np.abs(answers - wanted).max() < 0.1 * np.ptp(wanted, axis=0).max()


def test_a_mean_becomes_part_of_the_convolution_after_it() -> None:
    content = quantize.to_tflite(network(mean_then_convolution), SQUARES, variants.INT8)
    described = tflite.read(content)
    assert {operator.name for operator in described.operators} == {
        *("QUANTIZE", "MUL", "ADD", "CONV_2D", "RESHAPE", "SOFTMAX")
    }
    assert [t.dtype for t in described.tensors if t.shape == (7, 24, 24, 8)] == ["INT8"]
