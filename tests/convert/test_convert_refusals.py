"""Tests refusals of the converter: bad exports, bad models; no earlier file is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conversion import convert_on_litert
from support.labels import LABELS
from support.stripes import SPEC, keras, save_network, stripes, tiny_network

from convert import __main__ as cli
from convert import (
    candidate,
    gate,
    network,
    outputs,
    quantize,
    tflite,
    trials,
    variants,
)
from convert import export_folder as exports
from convert.errors import ConvertError, GateError

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def cut_weights(folder: Path) -> None:
    path = folder / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:5000])


def edit_network(old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "model.json"
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return edit


def edit_spec(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / "spec.json").write_text(json.dumps(SPEC | changes), encoding="utf-8")

    return edit


def replace_network(**head: Any) -> Callable[[Path], None]:
    return lambda folder: save_network(folder, tiny_network(**head))


def foreign_weights(*units: int) -> Callable[[Path], None]:
    """Return a network of one dense layer in model.json, the weights of another beside it."""

    def dense(*units: int) -> Any:
        layers = [keras.layers.Dense(n, activation="softmax") for n in units]
        return keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(), *layers])

    def damage(folder: Path) -> None:
        save_network(folder, dense(*units))
        (folder / "model.json").write_text(dense(len(LABELS)).to_json(), encoding="utf-8")

    return damage


def add_operator(name: str) -> Callable[[Path], None]:
    """Return a network with one of Keras's operations that has no int8 kernel."""

    def damage(folder: Path) -> None:
        inputs = keras.Input((48, 48, 1))
        x = getattr(keras.ops, name)(keras.layers.Flatten()(inputs))
        x = keras.layers.Dense(len(LABELS), activation="softmax")(x)
        save_network(folder, keras.Model(inputs, x))

    return damage


def add_outlier_channel(folder: Path) -> None:
    """The same function, but one channel's values are 300 times the others'.

    ReLU lets a factor pass, so the next layer takes it out again; one scale for all channels of
    the tensor between them cannot serve both (Nagel et al., arXiv:1906.04721).
    """
    model = keras.models.model_from_json((folder / "model.json").read_text(encoding="utf-8"))
    model.load_weights(folder / "model.weights.h5")
    first = next(x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    after = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)][1]
    gamma, beta, *moving = first.get_weights()
    (kernel,) = after.get_weights()
    gamma[0], beta[0] = gamma[0] * 300, beta[0] * 300
    kernel[:, :, 0] /= 300
    first.set_weights([gamma, beta, *moving])
    after.set_weights([kernel])
    model.save_weights(folder / "model.weights.h5")


def write_json_of_keras_2(folder: Path) -> None:
    """A network as Keras 2.15's `to_json` writes it."""
    inputs = {"batch_input_shape": [None, 48, 48, 1], "dtype": "float32", "name": "input_1"}
    dense = {"name": "dense", "dtype": "float32", "units": 7, "activation": "softmax"}
    layers = [
        {"class_name": "InputLayer", "config": inputs, "name": "input_1", "inbound_nodes": []},
        {
            "module": "keras.layers",
            "class_name": "Dense",
            "config": dense,
            "registered_name": None,
            "name": "dense",
            "inbound_nodes": [[["input_1", 0, 0, {}]]],
        },
    ]
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense", 0, 0]]}
    model = {
        "class_name": "Functional",
        "config": {"name": "model", "trainable": True, "layers": layers, **ends},
        "keras_version": "2.15.0",
        "backend": "tensorflow",
    }
    (folder / "model.json").write_text(json.dumps(model), encoding="utf-8")


def save_arrays(name: str, **arrays: Any) -> Callable[[Path], None]:
    return lambda folder: np.savez(folder / name, **arrays)


REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "is not a folder"),
    "no weights": (lambda d: (d / "model.weights.h5").unlink(), "lacks model.weights.h5"),
    "no calibration": (lambda d: (d / "calibration.npz").unlink(), "lacks calibration.npz"),
    "cut weights": (cut_weights, "not a readable weights file"),
    "cut JSON": (lambda d: (d / "model.json").write_text('{"a'), "model.json cannot be rebuilt"),
    "empty JSON": (lambda d: (d / "model.json").write_text("[]"), "not describe a Keras model"),
    "unknown layer": (edit_network('"Conv2D"', '"Conv9D"'), "model.json cannot be rebuilt"),
    "JSON of another Keras": (write_json_of_keras_2, "it is Keras 2.15.0's: Could not locate"),
    "other widths": (foreign_weights(8), "does not fit model.json"),
    "more layers": (foreign_weights(7, 7), "it holds 4 arrays, the network has 2"),
    "no softmax": (replace_network(activation="linear"), "must be a softmax"),
    "float operator": (add_operator("sin"), "cannot be all int8: DEQUANTIZE, SIN, QUANTIZE stayed"),
    "no operator": (add_operator("erf"), "cannot be converted to int8"),
    "bad spec": (lambda d: (d / "spec.json").write_text("{"), "not valid JSON"),
    "no license": (edit_spec(license=None), "license: None is not of type 'string'"),
    "no name": (edit_spec(name=""), "name: '' should be non-empty"),
    "two labels alike": (
        edit_spec(labels=["a", "a"]),
        "labels: ['a', 'a'] has non-unique elements",
    ),
    "a label of two words": (edit_spec(labels=["a b", "c"]), "labels[0]: 'a b' does not match"),
    "the label uncertain": (edit_spec(labels=["uncertain", "c"]), "labels[0]: 'uncertain' should"),
    "not square": (
        edit_spec(input={"height": 48, "width": 64, "channels": 1}),
        "input: 64×48 pixels; the daemon cuts out square faces",
    ),
    "half a crop": (edit_spec(crop={"side": 1}), "crop: 'eyes' is a required property"),
    "another schema": (edit_spec(schema=2), "schema: 1 was expected"),
    "six labels": (edit_spec(labels=list(LABELS[:6])), "one class for each label"),
    "eight labels": (edit_spec(labels=[*LABELS, "bored"]), "does not fit the 8 labels"),
    "color": (
        edit_spec(input={"height": 48, "width": 48, "channels": 3}),
        "channels: 1 was",
    ),
    "black calibration": (
        save_arrays("calibration.npz", x=np.zeros((100, 48, 48, 1), np.uint8)),
        "cannot calibrate a model: 100 of its 100 samples are blank",
    ),
    "one face for all": (
        save_arrays("calibration.npz", x=np.repeat(stripes(5, 1)[0], 20, axis=0)),
        "cannot calibrate a model: only 5 of its 100 samples are different",
    ),
    "few samples": (save_arrays("calibration.npz", x=stripes(49, 1)[0]), "holds 49 samples"),
    "float samples": (save_arrays("test.npz", x=np.zeros((9, 48, 48, 1))), "must be uint8"),
    "no truth": (save_arrays("test.npz", x=stripes(9, 1)[0]), "lacks the array 'y'"),
    "not arrays": (lambda d: (d / "test.npz").write_text("x"), "not a readable .npz"),
}


def compared(model: Any, export: exports.ExportFolder, content: bytes) -> list[gate.Comparison]:
    """Compare a converted model with the Keras network on the test images, as the gate does."""
    return [
        gate.compare(
            trial.name, trial.keras, candidate.probabilities(content, trial.images), trial.truth
        )
        for trial in trials.prepare(model, export)
    ]


class TestRefusals:
    @pytest.mark.parametrize("case", REFUSALS)
    def test_bad_export_is_named_in_a_sentence(
        self, case: str, broken_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        damage, sentence = REFUSALS[case]
        damage(broken_dir)
        target = tmp_path / "models" / "x.tflite"
        assert cli.main([str(broken_dir), "-o", str(target)]) == 2
        last = capfd.readouterr().err.splitlines()[-1]
        assert last.startswith("python -m convert: ")
        assert sentence in last
        assert not list(target.parent.iterdir())

    def test_gate_keeps_the_model_that_was_there_and_the_candidate_aside(
        self, broken_dir: Path, converted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        add_outlier_channel(broken_dir)
        target = Path(shutil.copy(converted, tmp_path / "x.tflite"))
        assert cli.main([str(broken_dir), "-o", str(target)]) == 1
        (sentence,) = capfd.readouterr().err.splitlines()
        assert "the int8 model is not good enough: on the test images accuracy drops" in sentence
        assert "; on the corrupted test images accuracy drops by" in sentence
        assert f"it is kept as {target}.rejected" in sentence
        assert target.read_bytes() == converted.read_bytes()
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["broken", "x.tflite", "x.tflite.rejected"]

    def test_gate_itself_refuses_a_model_calibrated_on_black(self, export_dir: Path) -> None:
        export = exports.read(export_dir)
        model = network.load(export)
        black = np.zeros((100, 48, 48, 1), np.uint8)
        content = quantize.to_tflite(model, black, variants.INT8)
        comparisons = compared(model, export, content)
        with pytest.raises(GateError, match="not good enough: on the test images accuracy drops"):
            gate.refuse_broken("int8 model", comparisons, LABELS, gate.Limits())

    def test_limits_are_options_and_a_success_clears_the_refused(
        self,
        export_dir: Path,
        converted: Path,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """The model that was there has the same weights, so it is not kept."""
        target = tmp_path / "x.tflite"
        target.write_bytes(converted.read_bytes())
        command = [str(export_dir), "-o", str(target)]
        assert cli.main([*command, "--max-mean-kl", "0"]) == 1
        assert "mean KL divergence is 0.0" in capfd.readouterr().err
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["x.tflite", "x.tflite.rejected"]
        assert cli.main(command) == 0
        assert "other weights" not in capfd.readouterr().out
        assert not list(tmp_path.glob("*.rejected"))
        assert not list(tmp_path.glob("*.previous.*"))

    def test_float_variants_are_written_although_int8_is_refused(
        self, broken_dir: Path, tmp_path: Path
    ) -> None:
        add_outlier_channel(broken_dir)
        target = tmp_path / "models" / "x.tflite"
        with pytest.raises(GateError) as refused:
            convert_on_litert(broken_dir, target, "all")
        (sentence,) = str(refused.value).splitlines()
        assert "the int8 model is not good enough" in sentence
        assert "convert with --variants float16" in sentence
        names = {path.name for path in target.parent.iterdir()}
        assert names == {
            "x.float32.tflite", "x.float16.tflite", "x.dynamic.tflite", "x.tflite.rejected",
            "x.report.json", "x.report.md", "x.report.html",
        }  # fmt: skip
        assert "**Refused:** the int8 model" in target.with_suffix(".report.md").read_text("utf-8")

    def test_a_few_wrong_images_of_a_small_test_set_are_no_evidence(self, broken_dir: Path) -> None:
        """One image of 28 is 3.6 points, more than every limit."""
        images, classes = stripes(28, seed=2)
        export = exports.read(broken_dir)
        model = network.load(export)
        content = quantize.to_tflite(model, export.calibration, variants.INT8)
        certain = candidate.probabilities(content, images).max(axis=1).argsort()
        classes[certain[-1]] = (classes[certain[-1]] + 1) % 7
        np.savez(broken_dir / "test.npz", x=images, y=classes)
        comparisons = compared(model, exports.read(broken_dir), content)
        gate.refuse_broken("int8 model", comparisons, LABELS, gate.Limits())

    @pytest.mark.parametrize(
        ("damage", "sentence"),
        [
            (
                edit_spec(labels=[*LABELS[1:], LABELS[0]], dataset={"name": "FER2013"}),
                "class 0 of FER2013 is 'angry', spec.json calls it 'disgust'",
            ),
            (
                save_arrays("test.npz", x=stripes(280, 2)[0], y=(stripes(280, 2)[1] + 2) % 7),
                "the labels do not fit: of the 80 test images of 'angry' and",
            ),
            (
                edit_spec(metrics={"accuracy": 0.5, "faces": 280}),
                "of test.npz, training measured 50.00 %",
            ),
        ],
        ids=["list", "truth", "accuracy"],
    )
    def test_shuffled_labels_are_refused(
        self,
        damage: Callable[[Path], None],
        sentence: str,
        broken_dir: Path,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        damage(broken_dir)
        assert cli.main([str(broken_dir), "-o", str(tmp_path / "x.tflite")]) == 1
        assert sentence in capfd.readouterr().err
        assert not list(tmp_path.glob("x.*"))

    def test_a_dead_network_is_refused(
        self, broken_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        replace_network(kernel_initializer="zeros")(broken_dir)
        assert cli.main([str(broken_dir), "-o", str(tmp_path / "x.tflite")]) == 1
        assert "answers 'angry' to every test image" in capfd.readouterr().err

    def test_an_unwritable_target_is_refused_before_the_work(
        self, export_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_text("")
        for target in (tmp_path / "file" / "x.tflite", tmp_path, Path("/proc/x.tflite")):
            assert cli.main([str(export_dir), "-o", str(target)]) == 2
            said = capsys.readouterr()
            assert f"python -m convert: {target}" in said.err
            assert said.out == ""

    def test_failed_write_leaves_nothing_behind(self, tmp_path: Path) -> None:
        good, bad = tmp_path / "good", tmp_path / "missing" / "bad"
        good.write_bytes(b"old")
        with pytest.raises(ConvertError, match="cannot be written"):
            outputs.write_all({good: b"new", bad: b"new"})
        assert good.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [good]


def test_recurrent_layers_are_refused_before_tensorflow_crashes() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((48, 48, 1)), layers.Reshape((48, 48)), layers.LSTM(2, name="reader"),
         layers.Dense(7, activation="softmax")]
    )  # fmt: skip
    with pytest.raises(ConvertError, match=r"reader is recurrent.*convert it with --variants"):
        quantize.to_tflite(model, np.zeros((1, 48, 48, 1), np.uint8), variants.INT8)


def test_dim_faces_leave_the_input_raw_pixels() -> None:
    """The first layers only move pixels, so that they have the scale of the input."""
    layers = keras.layers
    inputs = keras.Input((48, 48, 1))
    x = layers.Concatenate()([layers.ZeroPadding2D(1)(inputs)] * 3)
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(layers.MaxPooling2D(2)(x))
    model = keras.Model(inputs, layers.Dense(7, activation="softmax")(layers.Flatten()(x)))
    dim = np.random.default_rng(1).integers(20, 200, (60, 48, 48, 1)).astype(np.uint8)
    converted = tflite.read(quantize.to_tflite(model, dim, variants.INT8))
    assert (converted.inputs[0].dtype, converted.inputs[0].scale) == ("UINT8", 1.0)
