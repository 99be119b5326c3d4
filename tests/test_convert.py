"""The converter on real, tiny networks: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert import __main__ as cli
from convert import quiet

quiet.configure_tensorflow()
keras = pytest.importorskip("keras", reason="the train extra is not installed")
pytest.importorskip("tensorflow", reason="the train extra is not installed")
pytest.importorskip("ai_edge_litert", reason="the train extra is not installed")

# ruff: noqa: E402  # these import TensorFlow
from convert import container, graph, metadata, network, outputs, quantize, scores, verify
from convert import export_folder as exports
from convert.errors import ConvertError, GateError

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SPEC: dict[str, Any] = {
    "schema": 1,
    "name": "stripes",
    "version": "1.2.3",
    "description": "Where is the stripe? Größe 48.",
    "author": "The testers",
    "license": "Apache-2.0",
    "architecture": "tiny",
    "input": {"height": 48, "width": 48, "channels": 1, "color": "gray", "range": [0, 255]},
    "labels": list(LABELS),
    "crop": {"margin": 0.2},
    "resize": "area",
    "metrics": {"accuracy": 1.0},
}


def stripes(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise with a bright stripe whose height tells the class."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % len(LABELS)
    images = rng.normal(110, 30, (n, 48, 48, 1))
    for c in range(len(LABELS)):
        images[classes == c, 6 * c : 6 * c + 8] += 50
    return images.clip(0, 255).astype(np.uint8), classes.astype(np.int64)


def tiny_network(**head: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for filters in (6, 8):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.5)(x)
        x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3)(x)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    outputs_ = layers.Dense(len(LABELS), **({"activation": "softmax"} | head))(x)
    return keras.Model(inputs, outputs_)


@pytest.fixture(scope="session")
def export_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network in the form in which `train` hands one over."""
    folder = tmp_path_factory.mktemp("exports") / "stripes"
    folder.mkdir()
    keras.utils.set_random_seed(7)
    model = tiny_network()
    images, classes = stripes(350, seed=1)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images.astype(np.float32), classes, batch_size=35, epochs=4, verbose=0)
    save_network(folder, model)
    (folder / "spec.json").write_text(json.dumps(SPEC), encoding="utf-8")
    np.savez(folder / "calibration.npz", x=images[:100])
    test_images, test_classes = stripes(280, seed=2)
    np.savez(folder / "test.npz", x=test_images, y=test_classes)
    return folder


def save_network(folder: Path, model: Any) -> None:
    (folder / "model.json").write_text(model.to_json(), encoding="utf-8")
    model.save_weights(folder / "model.weights.h5")


@pytest.fixture(scope="session")
def converted(export_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 model made from `export_dir`, its reports beside it."""
    target = tmp_path_factory.mktemp("models") / "stripes.tflite"
    assert cli.main([str(export_dir), "--output", str(target)]) == 0
    return target


@pytest.fixture
def broken_dir(export_dir: Path, tmp_path: Path) -> Path:
    """A copy of the good export for a test to damage."""
    return Path(shutil.copytree(export_dir, tmp_path / "broken"))


class TestConvertedFile:
    def test_takes_raw_pixels_and_gives_probabilities_both_uint8(self, converted: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(converted), num_threads=1)
        interpreter.allocate_tensors()
        (pixels,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (pixels["dtype"], tuple(pixels["shape"])) == (np.uint8, (1, 48, 48, 1))
        assert pixels["quantization"] == (1.0, 0)
        assert (answer["dtype"], tuple(answer["shape"])) == (np.uint8, (1, len(LABELS)))
        images, classes = stripes(7, seed=3)
        for image, expected in zip(images, classes, strict=True):
            interpreter.set_tensor(pixels["index"], image[np.newaxis])
            interpreter.invoke()
            steps = interpreter.get_tensor(answer["index"])[0]
            assert int(steps.argmax()) == expected
            assert steps.sum() * answer["quantization"][0] == pytest.approx(1, abs=0.02)

    def test_is_integer_throughout_with_batch_normalisation_folded(self, converted: Path) -> None:
        described = graph.read(converted.read_bytes())
        assert {tensor.dtype for tensor in described.tensors} <= {"UINT8", "INT8", "INT32"}
        counts = {operator.name: operator.count for operator in described.operators}
        # One MUL and one ADD are the rescaling; SHAPE or PACK would mean an open batch.
        assert counts.pop("MUL") == counts.pop("ADD") == 1
        assert counts.keys() == {
            "QUANTIZE",
            "CONV_2D",
            "MAX_POOL_2D",
            "RESHAPE",
            "FULLY_CONNECTED",
            "SOFTMAX",
        }
        kernels = [t for t in described.tensors if t.dtype == "INT8" and t.shape[1:] == (3, 3, 1)]
        assert [kernel.channels for kernel in kernels] == [6]

    def test_carries_labels_and_spec_for_any_zip_reader(
        self, converted: Path, export_dir: Path
    ) -> None:
        with zipfile.ZipFile(converted) as archive:
            assert archive.read("labels.txt").decode().splitlines() == list(LABELS)
            spec = json.loads(archive.read("spec.json"))
        assert {key: spec[key] for key in SPEC} == SPEC
        assert spec["weights_sha256"] == exports.read(export_dir).weights_sha256
        assert spec["quantization"]["calibration_samples"] == 100
        assert spec["converter"].keys() == {"tensorflow", "keras"}

    def test_carries_standard_metadata(self, converted: Path) -> None:
        notes = container.read_metadata(converted.read_bytes())
        assert notes is not None
        assert (notes.name, notes.version) == ("stripes", "1.2.3")
        assert notes.description == SPEC["description"]
        assert notes.outputs[0].files[0].name == "labels.txt"
        assert notes.outputs[0].files[0].kind == metadata.TENSOR_AXIS_LABELS

    def test_metadata_is_read_by_mediapipe(self, converted: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MediaPipe's own imports warn
            reader = pytest.importorskip("mediapipe.tasks.python.metadata.metadata")
        displayer = reader.MetadataDisplayer.with_model_file(str(converted))
        shown = json.loads(displayer.get_metadata_json())
        face = shown["subgraph_metadata"][0]["input_tensor_metadata"][0]
        assert face["content"]["content_properties"]["color_space"] == "GRAYSCALE"
        assert face["process_units"][0]["options"] == {"mean": [0.0], "std": [1.0]}
        assert displayer.get_packed_associated_file_list() == ["labels.txt", "spec.json"]

    def test_aligns_weights_as_the_schema_asks(self, converted: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        model = schema.Model.GetRootAs(converted.read_bytes(), 0)
        buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
        starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
        assert starts
        assert not any(start % 16 for start in starts)

    def test_same_export_gives_the_same_bytes_in_another_process(
        self, converted: Path, export_dir: Path, tmp_path: Path
    ) -> None:
        again = tmp_path / "again" / "stripes.tflite"
        command = [sys.executable, "-m", "convert", str(export_dir), "-o", str(again)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.splitlines()[-1].startswith(f"Wrote {again}")
        assert again.read_bytes() == converted.read_bytes()


class TestReport:
    def test_json_has_the_figures(self, converted: Path) -> None:
        report = json.loads(converted.with_suffix(".report.json").read_text(encoding="utf-8"))
        assert report["file"]["bytes"] == converted.stat().st_size
        assert report["test"]["samples"] == 280
        assert report["test"]["agreement"] >= verify.MIN_AGREEMENT
        assert report["test"]["int8"]["accuracy"] > 0.9
        assert len(report["test"]["keras"]["recall"]) == len(LABELS)
        assert {"name": "CONV_2D", "version": 3, "count": 2} in report["operators"]
        assert report["command"].startswith("python -m convert ")

    def test_markdown_has_them_too(self, converted: Path) -> None:
        text = converted.with_suffix(".report.md").read_text(encoding="utf-8")
        assert "# stripes 1.2.3: conversion report" in text
        for wanted in ("top-1 agreement", "recall, disgust", "| CONV_2D | 3 | 2 |", "sha256"):
            assert wanted in text


class TestInspect:
    def test_shows_contract_and_operators(
        self, converted: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["inspect", str(converted)]) == 0
        shown = capsys.readouterr().out
        for wanted in ("disgust", "CONV_2D version 3 ×2", '"margin": 0.2', "UINT8 1×48×48×1"):
            assert wanted in shown

    def test_says_what_a_bare_model_lacks(
        self, export_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        export = exports.read(export_dir)
        bare = tmp_path / "bare.tflite"
        bare.write_bytes(quantize.to_int8(network.load(export), export.calibration))
        assert cli.main(["inspect", str(bare)]) == 0
        shown = capsys.readouterr().out
        assert "Metadata: absent" in shown
        assert "Files inside (labels, spec): absent" in shown

    def test_refuses_other_files(
        self, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        short = tmp_path / "short.tflite"
        short.write_bytes(converted.read_bytes()[:400])
        for path, reason in (
            (tmp_path / "none.tflite", "cannot be read"),
            (converted.with_suffix(".report.md"), "not a TFLite model"),
            (short, "damaged or cut short"),
        ):
            assert cli.main(["inspect", str(path)]) == 2
            assert reason in capsys.readouterr().err


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
    """A network of one dense layer in model.json, the weights of another beside it."""

    def dense(*units: int) -> Any:
        layers = [keras.layers.Dense(n, activation="softmax") for n in units]
        return keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(), *layers])

    def damage(folder: Path) -> None:
        save_network(folder, dense(*units))
        (folder / "model.json").write_text(dense(len(LABELS)).to_json(), encoding="utf-8")

    return damage


def add_operator(name: str) -> Callable[[Path], None]:
    """A network with one of Keras's operations that has no int8 kernel."""

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
    "other widths": (foreign_weights(8), "does not fit model.json"),
    "more layers": (foreign_weights(7, 7), "it holds 4 arrays, the network has 2"),
    "no softmax": (replace_network(activation="linear"), "must be a softmax"),
    "float operator": (add_operator("sin"), "cannot be all int8: DEQUANTIZE, SIN, QUANTIZE stayed"),
    "no operator": (add_operator("erf"), "cannot be quantised"),
    "bad spec": (lambda d: (d / "spec.json").write_text("{"), "not valid JSON"),
    "no licence": (edit_spec(license=None), "'license' must be a string"),
    "two labels alike": (edit_spec(labels=["a", "a"]), "'labels' must be two or more"),
    "six labels": (edit_spec(labels=list(LABELS[:6])), "one class for each label"),
    "eight labels": (edit_spec(labels=[*LABELS, "bored"]), "does not fit the 8 labels"),
    "colour": (edit_spec(input={"height": 48, "width": 48, "channels": 3}), "1 channel"),
    "few samples": (save_arrays("calibration.npz", x=stripes(49, 1)[0]), "holds 49 samples"),
    "float samples": (save_arrays("test.npz", x=np.zeros((9, 48, 48, 1))), "must be uint8"),
    "no truth": (save_arrays("test.npz", x=stripes(9, 1)[0]), "lacks the array 'y'"),
    "not arrays": (lambda d: (d / "test.npz").write_text("x"), "not a readable .npz"),
}


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

    def test_gate_keeps_the_model_that_was_there(
        self, broken_dir: Path, converted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        add_outlier_channel(broken_dir)
        target = Path(shutil.copy(converted, tmp_path / "x.tflite"))
        assert cli.main([str(broken_dir), "-o", str(target)]) == 1
        (sentence,) = capfd.readouterr().err.splitlines()
        assert "the int8 model is not good enough: accuracy drops by" in sentence
        assert target.read_bytes() == converted.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "x.tflite"]

    def test_dead_network_is_named(
        self, broken_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        replace_network(kernel_initializer="zeros")(broken_dir)
        assert cli.main([str(broken_dir), "-o", str(tmp_path / "x.tflite")]) == 1
        assert "answers 'angry' to every test image" in capfd.readouterr().err

    def test_unwritable_target_is_named_before_the_work(
        self, export_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_text("")
        for target in (tmp_path / "file" / "x.tflite", tmp_path):
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


class TestGate:
    truth = np.array([0, 1] * 100)
    sure = np.where(np.eye(2)[truth] > 0, 0.9, 0.1).astype(np.float32)

    def test_equal_answers_pass(self) -> None:
        comparison = verify.compare(self.sure, self.sure, self.truth, LABELS[:2])
        assert (comparison.agreement, comparison.mean_kl) == (1, 0)
        assert comparison.int8.recall == (1, 1)

    def test_every_broken_limit_is_named_with_its_figure(self) -> None:
        worse = self.sure.copy()
        worse[:10] = worse[:10, ::-1]
        with pytest.raises(GateError) as refusal:
            verify.compare(self.sure, worse, self.truth, LABELS[:2])
        assert str(refusal.value) == (
            "the int8 model is not good enough: "
            "accuracy drops by 5.00 points, at most 0.5 is allowed; "
            "top-1 agreement is 95.00 %, at least 97 % is needed; "
            "mean KL divergence is 0.0879, at most 0.02 is allowed"
        )

    def test_nan_is_dead(self) -> None:
        dead = self.sure.copy()
        dead[:3] = np.nan
        with pytest.raises(GateError, match=r"int8 model is dead: it answers NaN .* on 3 test"):
            verify.compare(self.sure, dead, self.truth, LABELS[:2])


class TestScores:
    def test_wilson_interval(self) -> None:
        assert scores.wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
        assert scores.wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)

    def test_untested_class_has_no_recall_and_no_part_in_macro_f1(self) -> None:
        answers = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
        figures = scores.score(answers, np.array([0, 0, 1, 0]))
        assert figures.recall[1:] == (1, None)
        assert figures.recall[0] == pytest.approx(2 / 3)
        assert figures.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)

    def test_rounding_to_zero_is_no_divergence(self) -> None:
        reference = np.array([[0.999, 0.001]], np.float32)
        candidate = np.array([[1, 0]], np.float32)
        assert scores.mean_kl(reference, candidate) == pytest.approx(0, abs=1e-6)


def test_metadata_round_trip() -> None:
    file = metadata.AssociatedFile("a.txt", "letters", metadata.TENSOR_AXIS_LABELS)
    notes = metadata.Metadata(
        name="n",
        description="ä",
        version="1",
        author="a",
        license="",
        inputs=(metadata.TensorNote("in", "pixels"),),
        outputs=(metadata.TensorNote("out", "", files=(file,)),),
        files=(metadata.AssociatedFile("b.txt", ""),),
    )
    assert metadata.unpack(metadata.pack(notes)) == notes
    with pytest.raises(ConvertError, match="not TFLite Metadata"):
        metadata.unpack(b"nothing of the kind")
