"""Tests the converted files on tflite-runtime 2.14.0, the last one and the only one for 32 bits."""

from __future__ import annotations

import csv
import json
import lzma
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.paths import ROOT
from support.stripes import keras, save_network, stripes

from convert import __main__ as cli
from convert import export_folder as exports
from convert import network, quantize, tflite, variants
from convert.candidate import Candidate
from convert.errors import GateError
from convert.gate import Limits
from convert.runtimes import TENSORFLOW, Bench, tflite_runtime
from convert.variants import Variant
from edge_daemon.vision.classifier import MAX_DIFFERENCE
from edge_daemon.vision.model_file import read_model_file

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# The daemon's own interpreter, in the environment of tflite-runtime.
ANSWER = """
import sys
from pathlib import Path
import numpy as np
from edge_daemon.vision.interpreter import Interpreter

model, images, answers = map(Path, sys.argv[1:])
interpreter = Interpreter(model, runtime="tflite-runtime")
faces = np.load(images).astype(interpreter.input.dtype)
np.save(answers, np.stack([interpreter.run(face[None])[0][0] for face in faces]))
"""


def daemon_answers(
    python: Path, model: Path, images: NDArray[np.uint8], folder: Path
) -> NDArray[np.float32]:
    """Return what the daemon would get from tflite-runtime for (n, height, width, 1) images."""
    np.save(folder / "images.npy", images)
    words = [str(folder / name) for name in ("images.npy", "answers.npy")]
    run = subprocess.run(
        [str(python), "-c", ANSWER, str(model), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answers: NDArray[np.float32] = np.load(folder / "answers.npy")
    return answers


@pytest.fixture(scope="module")
def bench(old_python: Path) -> Iterator[Bench]:
    """All three runtimes."""
    with Bench((TENSORFLOW, tflite_runtime(old_python))) as bench:
        assert bench.unreachable == {}
        assert bench.versions["tflite-runtime"] == "2.14.0"
        yield bench


@pytest.fixture(scope="module")
def public_test(fer2013_dir: Path) -> NDArray[np.uint8]:
    """Return the faces of PublicTest, as `train` writes them to `test.npz`: (3589, 48, 48, 1)."""
    with lzma.open(fer2013_dir / "fer2013.csv.xz", "rt") as file:
        pixels = [row["pixels"].split() for row in csv.DictReader(file) if "Pub" in row["Usage"]]
    return np.array(pixels, np.uint8).reshape(-1, 48, 48, 1)


ALL = variants.CHOICES["all"]


@pytest.mark.parametrize("variant", ALL, ids=lambda each: each.name)
def test_every_variant_answers_alike_everywhere(
    variant: Variant, converted: Path, bench: Bench
) -> None:
    path = dict(zip(ALL, variants.paths(ALL, converted), strict=True))[variant]
    made = Candidate(variant, path.read_bytes(), {})
    found = bench.agreements(made, stripes(280, seed=2)[0])
    assert found["tensorflow"].identical == 1
    assert found["tflite-runtime"].agreement >= 0.99
    assert found["tflite-runtime"].max_difference <= 0.05
    assert found["tflite-runtime"].images == (280 if variant is variants.INT8 else 40)
    if variant is variants.INT8:
        assert found["tflite-runtime"].identical == 1


def test_the_shipped_model_answers_alike_on_all_of_publictest(
    shipped_model: Path, bench: Bench, public_test: NDArray[np.uint8]
) -> None:
    assert len(public_test) == 3589
    made = Candidate(variants.INT8, shipped_model.read_bytes(), {})
    found = bench.agreements(made, public_test)
    assert {each.images for each in found.values()} == {3589}
    assert found["tensorflow"].identical == found["tensorflow"].identical_reference == 1
    assert found["tflite-runtime"].agreement >= 0.99
    assert found["tflite-runtime"].max_difference <= Limits().runtime_difference == 0.05
    assert found["tflite-runtime"].identical_reference == 1


def test_the_daemon_gets_the_shipped_models_goldens_there(
    shipped_model: Path, old_python: Path, tmp_path: Path
) -> None:
    goldens = read_model_file(shipped_model).goldens
    assert goldens is not None
    there = daemon_answers(old_python, shipped_model, goldens.faces[..., None], tmp_path)
    assert np.abs(there - goldens.scores).max() <= MAX_DIFFERENCE


def test_the_report_has_the_figures(
    export_dir: Path, old_python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "stripes.tflite"
    command = [str(export_dir), "-o", str(target), "--tflite-runtime", str(old_python)]
    # Int8 answers are the same there; a float variant's are not to the bit.
    assert cli.main([*command, "--variants", "all", "--max-runtime-difference", "0"]) == 1
    refusal = capsys.readouterr().err
    assert (
        " model answers differently on tflite-runtime 2.14.0: a probability differs by" in refusal
    )
    assert list(tmp_path.glob("*.tflite.rejected"))
    assert target.exists()  # what passes is written all the same
    assert cli.main(command) == 0
    report = json.loads(target.with_suffix(".report.json").read_text(encoding="utf-8"))
    assert report["unreachable_runtimes"] == {}
    there = report["variants"]["int8"]["runtimes"]["tflite-runtime"]
    assert there["agreement"]["images"] == 280
    assert there["agreement"]["identical_reference"] == 1
    assert there["latency_ms"].keys() == {"1", "2"}
    text = target.with_suffix(".report.md").read_text(encoding="utf-8")
    assert "tflite-runtime 2.14.0" in text
    assert "| int8 | tflite-runtime | 280 |" in text


def test_a_model_it_refuses_is_named(
    dense_dir: Path, old_python: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """FULLY_CONNECTED version 12, as TensorFlow converts dense layers by default."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network.load(exports.read(dense_dir)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = bytes(converter.convert())
    with (
        Bench((tflite_runtime(old_python),)) as bench,
        pytest.raises(
            GateError, match=r"dynamic model does not run on tflite-runtime 2\.14\.0: .*12"
        ),
    ):
        bench.agreements(Candidate(variants.DYNAMIC, content, {}), stripes(7, seed=2)[0])


@pytest.fixture(scope="module")
def dense_dir(export_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export with dense layers large enough to be quantized, as those of `seed` are."""
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


def test_dynamic_dense_layers_run_there(dense_dir: Path, bench: Bench) -> None:
    export = exports.read(dense_dir)
    content = quantize.to_tflite(network.load(export), export.calibration, variants.DYNAMIC)
    described = tflite.read(content)
    kernels = [t for t in described.tensors if t.shape == (64, 144)]
    assert [kernel.dtype for kernel in kernels] == ["INT8"]
    found = bench.agreements(Candidate(variants.DYNAMIC, content, {}), export.test_images)
    assert found["tflite-runtime"].max_difference <= 0.05
