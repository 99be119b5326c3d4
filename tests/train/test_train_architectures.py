"""Tests the networks: inputs, outputs, size, and that their JSON can be loaded without our code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from train.architectures import ARCHITECTURES

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request: pytest.FixtureRequest) -> Any:
    """Return each network with changed weights, so that every layer matters."""
    keras.utils.set_random_seed(1)
    network = ARCHITECTURES[request.param]()
    rng = np.random.default_rng(1)
    start = network.get_weights()
    network.set_weights([w * rng.uniform(0.8, 1.2, w.shape) + 0.01 * (w == 0) for w in start])
    return network


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.float32]:
    """Three pictures of raw gray levels, each darker than the one before."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1))
    pictures //= np.array([1, 2, 4]).reshape(3, 1, 1, 1)
    return pictures.astype(np.float32)


def infer(network: Any, images: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(network(images, training=False)))


def kinds(network: Any) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]


def test_raw_pixels_in_and_seven_probabilities_out(
    network: Any, pixels: NDArray[np.float32]
) -> None:
    assert network.input_shape == (None, 48, 48, 1)
    assert network.output_shape == (None, 7)
    out = infer(network, pixels)
    assert out.shape == (3, 7)
    assert out.dtype == np.float32
    assert (out >= 0).all()
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-5)
    assert not np.allclose(out[0], out[1], rtol=0.01, atol=0)


def test_rescaling_is_the_first_layer_and_inside(network: Any) -> None:
    assert kinds(network)[:2] == ["InputLayer", "Rescaling"]
    extremes = infer(network.layers[1], np.array([0.0, 255.0], np.float32))
    assert extremes.max() == pytest.approx(1)
    assert extremes.min() in (pytest.approx(0), pytest.approx(-1))


def test_a_picture_is_judged_alone(network: Any, pixels: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(
        infer(network, pixels)[1:2], infer(network, pixels[1:2]), rtol=1e-4, atol=1e-6
    )


def test_json_and_weights_make_the_same_network_without_custom_objects(
    network: Any, pixels: NDArray[np.float32], tmp_path: Path
) -> None:
    text = network.to_json()
    network.save_weights(tmp_path / "model.weights.h5")
    with keras.utils.CustomObjectScope({}):
        again = keras.models.model_from_json(text)
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(infer(again, pixels), infer(network, pixels))
    modules = {layer["module"] for layer in json.loads(text)["config"]["layers"]}
    assert modules == {"keras.layers"}


def test_no_layer_is_needed_that_int8_has_no_fast_kernel_for(network: Any) -> None:
    assert set(kinds(network)) <= {
        "InputLayer", "Rescaling", "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D",
        "Dropout", "Flatten", "Dense", "Add", "GlobalAveragePooling2D", "Reshape", "Softmax",
    }  # fmt: skip


def test_seed_has_four_convolutions_and_two_dense_layers_before_its_output() -> None:
    network = ARCHITECTURES["seed"]()
    convolutions = [
        (layer.filters, layer.kernel_size)
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert convolutions == [(64, (3, 3)), (128, (5, 5)), (512, (3, 3)), (512, (3, 3))]
    dense = [layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    assert dense == [256, 512, 7]
    assert kinds(network).count("MaxPooling2D") == 4
    assert kinds(network).count("BatchNormalization") == 6
    assert network.count_params() == pytest.approx(4.5e6, rel=0.02)


def test_compact_is_small_and_has_no_dense_layer() -> None:
    network = ARCHITECTURES["compact"]()
    assert network.count_params() < 1_000_000
    assert "Dense" not in kinds(network)
    assert kinds(network).count("Add") == 6
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert layer.kernel_size in {(3, 3), (1, 1)}
