"""The interpreter adapter, on real models and every runtime that is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.vision.interpreter import Interpreter, ModelError, RuntimeUnavailable

BLAZEFACE = "face_detection_full_range_sparse.tflite"
EXPRESSION = Path(__file__).parents[2] / "models" / "expression.tflite"
RUNTIMES = {
    "litert": ("ai_edge_litert", "ai-edge-litert"),
    "tflite-runtime": ("tflite_runtime", "tflite-runtime"),
    "tensorflow": ("tensorflow", "tensorflow"),
}


@pytest.fixture(scope="module")
def gray() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1), np.uint8)


@pytest.fixture(scope="module")
def expression() -> Path:
    if not EXPRESSION.is_file():
        pytest.skip(f"no {EXPRESSION}")
    return EXPRESSION


def test_describes_a_float_model(blazeface_dir: Path) -> None:
    interpreter = Interpreter(blazeface_dir / BLAZEFACE)
    assert interpreter.input.shape == (1, 192, 192, 3)
    assert interpreter.input.dtype == np.float32
    assert {output.shape for output in interpreter.outputs} == {(1, 2304, 16), (1, 2304, 1)}
    package, _, version = interpreter.runtime.partition(" ")
    assert package in {package for _, package in RUNTIMES.values()}
    assert version[0].isdigit()


def test_a_later_run_leaves_earlier_outputs_alone(blazeface_dir: Path) -> None:
    interpreter = Interpreter((blazeface_dir / BLAZEFACE).read_bytes())
    black = np.full(interpreter.input.shape, -1, np.float32)
    first = interpreter.run(black)
    before = [output.copy() for output in first]
    second = interpreter.run(-black)
    for kept, copy, other in zip(first, before, second, strict=True):
        np.testing.assert_array_equal(kept, copy)
        assert not np.array_equal(kept, other)


def test_takes_raw_pixels_and_gives_probabilities(expression: Path, gray: np.ndarray) -> None:
    interpreter = Interpreter(expression)
    assert interpreter.input.dtype == np.uint8
    (scores,) = interpreter.run(gray)
    assert scores.dtype == np.float32
    assert scores.shape == (1, 7)
    assert scores.min() >= 0
    assert scores.sum() == pytest.approx(1, abs=0.03)
    steps = scores / interpreter.outputs[0].scale
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_gives_the_same_answer(
    runtime: str, expression: Path, gray: np.ndarray
) -> None:
    module, package = RUNTIMES[runtime]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{package} is not installed")
    probe = (
        "import sys, numpy as np; from pathlib import Path;"
        "from edge_daemon.vision.interpreter import Interpreter;"
        "interpreter = Interpreter(Path(sys.argv[1]), runtime=sys.argv[2]);"
        "gray = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(1, 48, 48, 1);"
        "print(interpreter.runtime); print(*interpreter.run(gray)[0][0])"
    )
    command = [sys.executable, "-c", probe, str(expression), runtime]
    done = subprocess.run(command, input=gray.tobytes(), capture_output=True, check=True)
    name, scores = done.stdout.decode().splitlines()
    assert name.startswith(package)
    # tflite-runtime's int8 kernels round differently.
    expected = Interpreter(expression).run(gray)[0][0]
    np.testing.assert_allclose([float(score) for score in scores.split()], expected, atol=0.05)


def test_tensorflow_stays_out_while_a_light_runtime_is_there(blazeface_dir: Path) -> None:
    light = ("ai_edge_litert", "tflite_runtime")
    if all(importlib.util.find_spec(module) is None for module in light):
        pytest.skip("neither ai-edge-litert nor tflite-runtime is installed")
    probe = (
        "import sys; from pathlib import Path;"
        "from edge_daemon.vision.interpreter import Interpreter;"
        "Interpreter(Path(sys.argv[1])); sys.exit('tensorflow' in sys.modules)"
    )
    model = str(blazeface_dir / BLAZEFACE)
    subprocess.run([sys.executable, "-c", probe, model], check=True, capture_output=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_absent_runtime_is_named(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, package = RUNTIMES[runtime]
    for name in (module, f"{module}.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RuntimeUnavailable, match=f"pip install {package}"):
        Interpreter(b"\0\0\0\0TFL3", runtime=runtime)


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="known are auto, litert, tflite-runtime, tensorflow"):
        Interpreter(b"\0\0\0\0TFL3", runtime="onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.tflite"
    with pytest.raises(ModelError, match=r"absent\.tflite: No such file"):
        Interpreter(path)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\3\4 a zip, not a flatbuffer"])
def test_another_kind_of_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.tflite is not a TFLite file"):
        Interpreter(path)


def test_a_truncated_file_is_refused(blazeface_dir: Path, tmp_path: Path) -> None:
    content = (blazeface_dir / BLAZEFACE).read_bytes()
    if Interpreter(content).runtime.startswith("tflite-runtime"):
        pytest.skip("tflite-runtime crashes on damaged files")
    path = tmp_path / "half.tflite"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"half\.tflite does not run on "):
        Interpreter(path)


def test_pixels_of_another_shape_or_type_are_refused(blazeface_dir: Path) -> None:
    interpreter = Interpreter(blazeface_dir / BLAZEFACE)
    with pytest.raises(ValueError, match=r"(?i)dimension mismatch"):
        interpreter.run(np.zeros((1, 128, 128, 3), np.float32))
    with pytest.raises(ValueError, match=r"(?i)type"):
        interpreter.run(np.zeros(interpreter.input.shape, np.uint8))
