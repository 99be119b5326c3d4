"""The converted files on tflite-runtime 2.14.0, last of its line, alone on 32 bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from numpy.typing import NDArray
from stripes import keras, save_network, stripes

from convert import candidate, graph, network, quantize, runtimes, variants
from convert import export_folder as exports
from edge_daemon.doctor import MAX_DIFFERENCE
from edge_daemon.model_file import read_model_file

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# The daemon's own interpreter on every image, then tflite-runtime with its reference kernels only.
ANSWER = """
import sys
from pathlib import Path
import numpy as np
from edge_daemon.interpreter import Interpreter
from tflite_runtime import interpreter as tflite

model, images, answers = map(Path, sys.argv[1:])
ours = Interpreter(model, runtime="tflite-runtime")
faces = np.load(images).astype(ours.input.dtype)
plain = tflite.Interpreter(
    str(model),
    experimental_op_resolver_type=tflite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
)
plain.allocate_tensors()
stored = []
for face in faces:
    plain.set_tensor(ours.input.index, face[None])
    plain.invoke()
    stored.append(plain.get_tensor(ours.outputs[0].index)[0])
np.savez(answers, default=np.stack([ours.run(face[None])[0][0] for face in faces]), plain=stored)
"""


@pytest.fixture(scope="session")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with tflite-runtime 2.14.0 and NumPy 1.26."""
    if sys.version_info >= (3, 12):
        pytest.skip("NOT TESTED: tflite-runtime 2.14.0 has no wheel for Python 3.12 or later")
    folder = tmp_path_factory.mktemp("tflite-runtime")
    python = folder / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "tflite-runtime==2.14.0", "numpy==1.26.4"],
    ):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"NOT TESTED: no environment with tflite-runtime: {made.stderr[-300:]}")
    return python


def old_answers(
    python: Path, model: Path, images: NDArray[np.uint8], folder: Path
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """What tflite-runtime answers: probabilities as a device runs it, and stored values plainly."""
    np.save(folder / "images.npy", images)
    words = [str(folder / name) for name in ("images.npy", "answers.npz")]
    run = subprocess.run(
        [str(python), "-c", ANSWER, str(model), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    with np.load(folder / "answers.npz") as answers:
        return answers["default"], answers["plain"]


@pytest.mark.parametrize("variant", ["", ".float32", ".float16", ".dynamic"])
def test_every_variant_answers_there_as_here(
    variant: str, converted: Path, old_python: Path, tmp_path: Path
) -> None:
    model = converted.with_suffix(f"{variant}.tflite")
    images, _ = stripes(280, seed=2)
    here = candidate.probabilities(model.read_bytes(), images)
    there, _ = old_answers(old_python, model, images, tmp_path)
    assert (here.argmax(axis=1) == there.argmax(axis=1)).mean() >= 0.99
    assert np.abs(here - there).max() <= 0.05


def test_int8_is_the_same_to_the_bit_without_delegates(
    converted: Path, old_python: Path, tmp_path: Path
) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    images, _ = stripes(70, seed=2)
    _, there = old_answers(old_python, converted, images, tmp_path)
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    here = Interpreter(model_path=str(converted), experimental_op_resolver_type=resolver)
    here.allocate_tensors()
    pixels, answer = here.get_input_details()[0], here.get_output_details()[0]
    for image, expected in zip(images, there, strict=True):
        here.set_tensor(pixels["index"], image[np.newaxis])
        here.invoke()
        assert np.array_equal(here.get_tensor(answer["index"])[0], expected)


def test_the_shipped_model_is_within_its_goldens(
    shipped_model: Path, old_python: Path, tmp_path: Path
) -> None:
    if not shipped_model.exists():
        pytest.skip(f"NOT TESTED: {shipped_model} is missing; run `make convert`")
    goldens = read_model_file(shipped_model).goldens
    assert goldens is not None
    there, _ = old_answers(old_python, shipped_model, goldens.faces[..., None], tmp_path)
    assert np.abs(there - goldens.scores).max() <= MAX_DIFFERENCE


@pytest.fixture(scope="module")
def dense_dir(export_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with dense layers large enough to be quantised, as those of `seed` are."""
    folder = tmp_path_factory.mktemp("dense") / "dense"
    folder.mkdir()
    for name in ("calibration.npz", "test.npz"):
        (folder / name).symlink_to(export_dir / name)
    (folder / "spec.json").write_text((export_dir / "spec.json").read_text(encoding="utf-8"))
    layers = keras.layers
    inputs = keras.Input((48, 48, 1))
    x = layers.MaxPooling2D(4)(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    save_network(folder, keras.Model(inputs, layers.Dense(7, activation="softmax")(x)))
    return folder


def test_dynamic_dense_layers_run_there(dense_dir: Path, old_python: Path, tmp_path: Path) -> None:
    export = exports.read(dense_dir)
    content = quantize.to_tflite(network.load(export), export.calibration, variants.DYNAMIC)
    described = graph.read(content)
    kernels = [t for t in described.tensors if t.shape == (64, 144)]
    assert [kernel.dtype for kernel in kernels] == ["INT8"]
    assert runtimes.oldest_for_all(described.operators) == "2.3.0"
    model = tmp_path / "dense.tflite"
    model.write_bytes(content)
    there, _ = old_answers(old_python, model, export.test_images, tmp_path)
    here = candidate.probabilities(content, export.test_images)
    assert np.abs(here - there).max() <= 0.05
