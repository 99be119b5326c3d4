"""The candidates for the compact network: their size, int8 kernels and folded layers."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from support.xnnpack import XNNPACK_INT8

from benchmarks.architectures import multiply_adds
from benchmarks.candidates import CANDIDATES, Candidate, fold_plain, plain
from convert import quantize, tflite, variants

# Keras reads TensorFlow's variables in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NEW = [each for each in CANDIDATES if each.name != "compact"]  # which has a test of its own


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """Return four pictures of large squares; averaged fine noise would look the same."""
    squares = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1), dtype=np.uint8)
    return squares.repeat(8, axis=1).repeat(8, axis=2)


def stir(network: Any, pixels: NDArray[np.uint8]) -> None:
    """Set random normalization weights and the statistics of `pixels` in every layer."""
    rng = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
            layer.momentum = 0.0  # only the next batch counts
    network(pixels.astype(np.float32), training=True)


def logits(network: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the input of the softmax, which would hide differences."""
    body = keras.Model(network.input, network.get_layer("classes").output)
    return np.asarray(body(pixels.astype(np.float32), training=False))[:, 0, 0]


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda each: each.name)
def test_each_is_small_and_spends_alike(candidate: Candidate) -> None:
    trained = candidate.build()
    folded = candidate.fold(trained)
    assert folded.count_params() <= trained.count_params() <= 1_000_000
    assert 45e6 <= multiply_adds(folded) <= 60e6
    assert (folded.input_shape, folded.output_shape) == ((None, 48, 48, 1), (None, 7))


@pytest.mark.long  # `make bench-architectures` runs it before it trains them
@pytest.mark.parametrize("candidate", NEW, ids=lambda each: each.name)
def test_each_is_all_integer_with_fast_kernels(
    candidate: Candidate, pixels: NDArray[np.uint8]
) -> None:
    network = candidate.fold(candidate.build())
    described = tflite.read(quantize.to_tflite(network, pixels, variants.INT8))
    assert described.float_operators == ()
    used = {operator.name for operator in described.operators}
    assert used - XNNPACK_INT8 <= {"RESHAPE", "SOFTMAX"}


def test_folded_branches_answer_as_they_did(pixels: NDArray[np.uint8]) -> None:
    trained = plain()
    stir(trained, pixels)
    folded = fold_plain(trained)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert kinds.isdisjoint({"BatchNormalization", "Add"})
    before, after = logits(trained, pixels), logits(folded, pixels)
    size = np.abs(before).max()
    assert np.ptp(before, axis=0).max() > 0.1 * size  # they depend on the picture
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-4 * size)


def test_multiply_adds_of_known_layers() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, 2, padding="same")(inputs)  # 4·4 pixels × 3·3·3·5
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)  # 4·4 pixels × 3·3·5
    assert multiply_adds(keras.Model(inputs, x)) == 16 * 135 + 16 * 45
