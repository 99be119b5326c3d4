"""The converter on a real, tiny network: model files, variants and `inspect`."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.labels import LABELS
from support.paths import ROOT
from support.stripes import SPEC, stripes
from support.xnnpack import XNNPACK_INT8

from convert import __main__ as cli
from convert import candidate, metadata, network, quantize, tflite, variants
from convert import export_folder as exports
from convert.errors import ConvertError
from edge_daemon.vision.interpreter import Interpreter
from edge_daemon.vision.model_file import read_model_file
from train import architectures

# https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/delegates/xnnpack/README.md

# What MediaPipe's own reader says of a model, as JSON: the metadata and the files inside.
SHOW_METADATA = """
import json
import sys
from mediapipe.tasks.python.metadata.metadata import MetadataDisplayer

displayer = MetadataDisplayer.with_model_file(sys.argv[1])
shown = json.loads(displayer.get_metadata_json())
print(json.dumps([shown, displayer.get_packed_associated_file_list()]))
"""

SHIPPED = ROOT / "models" / "expression.tflite"

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def again(export_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Convert once more, in a process, where a model of other weights is; return the output too."""
    target = tmp_path_factory.mktemp("again") / "stripes.tflite"
    target.write_bytes(SHIPPED.read_bytes())
    command = [sys.executable, "-m", "convert", str(export_dir), "-o", str(target)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return target, run.stdout


@pytest.fixture(scope="module")
def alone(export_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the float16 model of an export whose spec has only what it must have."""
    folder = tmp_path_factory.mktemp("alone")
    export, target = shutil.copytree(export_dir, folder / "export"), folder / "x.tflite"
    omitted = ("schema", "crop", "version", "description", "author", "license", "resize")
    spec = {key: value for key, value in SPEC.items() if key not in omitted}
    (export / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert cli.main([str(export), "-o", str(target), "--variants", "float16"]) == 0
    assert "spec.json has no 'crop': using " in printed.getvalue()
    return target


class TestConvertedFile:
    def test_takes_raw_pixels_and_gives_probabilities_both_uint8(self, converted: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter as LiteRt

        interpreter = LiteRt(model_path=str(converted), num_threads=1)
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

    def test_is_integer_throughout_with_batch_normalization_folded(self, converted: Path) -> None:
        described = tflite.read(converted.read_bytes())
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

    def test_carries_its_own_answers_to_drawn_faces(self, converted: Path) -> None:
        content = converted.read_bytes()
        with np.load(io.BytesIO(tflite.read_files(content)["goldens.npz"])) as goldens:
            faces, expected = goldens["faces"], goldens["scores"]
        assert (faces.shape, faces.dtype) == ((14, 48, 48, 1), np.uint8)
        assert len(np.unique(faces.reshape(14, -1), axis=0)) == 14
        assert np.array_equal(candidate.probabilities(content, faces), expected)

    def test_carries_standard_metadata(self, converted: Path) -> None:
        notes = tflite.read_metadata(converted.read_bytes())
        assert notes is not None
        assert (notes.name, notes.version) == ("stripes", "1.2.3")
        assert notes.description == SPEC["description"]
        assert notes.outputs[0].files[0].name == "labels.txt"
        assert notes.outputs[0].files[0].kind == metadata.TENSOR_AXIS_LABELS

    def test_metadata_is_read_by_mediapipe(self, converted: Path) -> None:
        python = ROOT / ".venv" / "metadata-reader" / "bin" / "python"
        if not python.exists():
            pytest.skip(f"{python} is missing; `make other-runtimes`")
        command = [str(python), "-c", SHOW_METADATA, str(converted)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        shown, files = json.loads(run.stdout)
        face = shown["subgraph_metadata"][0]["input_tensor_metadata"][0]
        assert face["content"]["content_properties"]["color_space"] == "GRAYSCALE"
        assert face["process_units"][0]["options"] == {"mean": [0.0], "std": [1.0]}
        answer = shown["subgraph_metadata"][0]["output_tensor_metadata"][0]
        assert answer["associated_files"][0]["type"] == "TENSOR_AXIS_LABELS"
        assert files == ["labels.txt", "spec.json", "goldens.npz"]

    def test_aligns_weights_as_the_schema_asks(self, converted: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        model = schema.Model.GetRootAs(converted.read_bytes(), 0)
        buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
        starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
        assert starts
        assert not any(start % 16 for start in starts)

    def test_same_export_gives_the_same_bytes_in_another_process(
        self, converted: Path, again: tuple[Path, str]
    ) -> None:
        target, output = again
        assert output.splitlines()[-1].startswith(f"Wrote {target}")
        assert target.read_bytes() == converted.read_bytes()

    def test_a_model_of_other_weights_is_kept(self, again: tuple[Path, str]) -> None:
        target, output = again
        previous = target.with_name("stripes.previous.tflite")
        assert f"has other weights; it is kept as {previous}." in output
        assert previous.read_bytes() == SHIPPED.read_bytes()


class TestVariants:
    @pytest.mark.parametrize("name", ["float32", "float16", "dynamic"])
    def test_float_ends_take_raw_pixels(self, name: str, converted: Path) -> None:
        content = converted.with_suffix(f".{name}.tflite").read_bytes()
        described = tflite.read(content)
        assert (described.inputs[0].dtype, described.inputs[0].shape) == ("FLOAT32", (1, 48, 48, 1))
        assert described.outputs[0].dtype == "FLOAT32"
        images, classes = stripes(70, seed=3)
        answers = candidate.probabilities(content, images)
        assert (answers.argmax(axis=1) == classes).mean() > 0.9
        assert answers.sum(axis=1) == pytest.approx(1, abs=1e-3)
        spec = json.loads(tflite.read_files(content)["spec.json"])
        assert spec["quantization"]["scheme"] == name
        assert "calibration_samples" not in spec["quantization"]

    @pytest.mark.parametrize("name", ["", ".float32", ".float16", ".dynamic"])
    def test_tensorflow_answers_to_the_bit_as_litert_does(self, name: str, converted: Path) -> None:
        model = converted.with_suffix(f"{name}.tflite")
        tensorflow = Interpreter(model, runtime="tensorflow")
        images, _ = stripes(280, seed=2)
        pixels = images.astype(tensorflow.input.dtype)
        answers = np.stack([tensorflow.run(image[np.newaxis])[0][0] for image in pixels])
        assert np.array_equal(answers, candidate.probabilities(model.read_bytes(), images))

    @pytest.mark.parametrize("name", ["compact", "seed"])
    def test_our_architectures_are_all_integer_with_fast_kernels(self, name: str) -> None:
        model = architectures.ARCHITECTURES[name]()
        content = quantize.to_tflite(model, stripes(2, seed=1)[0], variants.INT8)
        described = tflite.read(content)
        assert described.float_operators == ()
        used = {operator.name for operator in described.operators}
        # RESHAPE only renames; SOFTMAX has no such kernel, and seven values to work on.
        assert used - XNNPACK_INT8 <= {"RESHAPE", "SOFTMAX"}

    def test_a_variant_alone_is_the_model_that_the_daemon_runs(self, alone: Path) -> None:
        spec = json.loads(tflite.read_files(alone.read_bytes())["spec.json"])
        assert spec["quantization"]["scheme"] == "float16"
        report = json.loads(alone.with_suffix(".report.json").read_text(encoding="utf-8"))
        assert list(report["variants"]) == ["float16"]
        assert report["layers"] == []
        model = read_model_file(alone)
        assert model.labels == LABELS
        answers = Interpreter(alone).run(stripes(1, seed=2)[0].astype(np.float32))
        assert answers[0].sum() == pytest.approx(1, abs=1e-3)

    def test_what_an_external_network_omits_has_a_default(self, alone: Path) -> None:
        model = read_model_file(alone)
        assert model.crop.side == 1.12
        assert model.name == "stripes"


class TestInspect:
    def test_shows_contract_and_operators(
        self, converted: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["inspect", str(converted)]) == 0
        shown = capsys.readouterr().out
        for wanted in (
            "disgust",
            "CONV_2D version 3 ×2",
            '"side": 1.12',
            "UINT8 1×48×48×1",
            "not text",
        ):
            assert wanted in shown

    def test_says_what_a_bare_model_lacks(
        self, export_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        export = exports.read(export_dir)
        bare = tmp_path / "bare.tflite"
        bare.write_bytes(
            quantize.to_tflite(network.load(export), export.calibration, variants.INT8)
        )
        assert cli.main(["inspect", str(bare)]) == 0
        shown = capsys.readouterr().out
        assert "Metadata: absent" in shown
        assert "Files inside (labels, spec): absent" in shown

    def test_shows_blazeface(self, blazeface_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = blazeface_dir / "face_detection_full_range_sparse.tflite"
        assert cli.main(["inspect", str(file)]) == 0
        shown = capsys.readouterr().out
        for wanted in (
            "  name: Full Range Face Detection\n  version: absent\n",
            "Files inside (labels, spec): absent",
            "  input_1: FLOAT32 1×192×192×3",
            "  Identity_1: FLOAT32 1×2304×1",
            "  DENSIFY version 1 ×46",
            "  model_1/model/conv2d/Conv2D: FLOAT16 32×3×3×3",
        ):
            assert wanted in shown

    def test_shows_a_model_whose_tensors_have_no_names(
        self, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = tflite.unpack(converted.read_bytes())
        for tensor in model.subgraphs[0].tensors:
            tensor.name = None
        nameless = tmp_path / "nameless.tflite"
        nameless.write_bytes(tflite.pack(model))
        assert cli.main(["inspect", str(nameless)]) == 0
        assert "  unnamed: UINT8 1×48×48×1, scale 1, zero point 0" in capsys.readouterr().out

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
