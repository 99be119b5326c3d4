"""Runs the three commands of docs/own-model.md with a network from outside."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.daemon import Daemon
from support.drawn_faces import faces, write_table
from support.paths import ROOT

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from support.conversion import convert_on_litert

from train.__main__ import main as train
from train.external import scaled

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),
]

PAGE = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")


def mini_xception() -> Any:
    """Return a small relative of mini-Xception (arXiv:1710.07557): 64×64 pixels of -1 to 1."""
    layers = keras.layers
    inputs = keras.Input((64, 64, 1))
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
    for filters in (16, 32):
        shortcut = layers.Conv2D(filters, 1, strides=2, padding="same", use_bias=False)(x)
        shortcut = layers.BatchNormalization(momentum=0.5)(shortcut)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.Add()([x, shortcut])
    x = layers.Flatten()(layers.AveragePooling2D(3)(x))
    return keras.Model(inputs, layers.Dense(7, activation="softmax")(x))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the dataset of the page, and a trained network in the two kinds of file."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "data" / "fer2013").mkdir(parents=True)
    write_table(folder / "data" / "fer2013" / "fer2013.csv", training=210, test=70)
    keras.utils.set_random_seed(5)
    network = mini_xception()
    x, y = faces(210, 1)
    pixels = scaled(x[..., None], 64).astype(np.float32) / 127.5 - 1
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    network.fit(pixels, y, batch_size=21, epochs=12, verbose=0)
    network.save(folder / "mini_xception.keras")
    keras.saving.save_model(network, folder / "mini_xception.h5")
    return folder


@pytest.mark.filterwarnings("ignore:.*HDF5 file.*legacy")
def test_the_three_commands_of_the_page_run_it_in_the_daemon(workplace: Path) -> None:
    commands = [shlex.split(line) for line in re.findall(r"^    (\S.*)$", PAGE, re.M)]
    (python, *of_train), (_, of_convert, name), (_, _, model) = commands[:3]
    assert python == ".venv/train/bin/python"
    assert of_train[:3] == ["-m", "train", "import"]
    assert (of_convert, name) == ("convert", "NAME=mini")
    # What `make convert NAME=mini` runs; `make` itself would install its environments.
    converting = ["-m", "convert", "--output", "models/mini.tflite", "--", "exports/mini"]
    output = ""
    for command in (of_train, converting):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=workplace,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        output += done.stdout
    accuracy = float(re.findall(r"accuracy ([\d.]+)% on 70 faces, as imported", output)[0])
    assert accuracy > 80
    path = workplace / model.removeprefix("MODEL=")
    with Daemon(workplace, f"model={path}", "camera.source=demo") as daemon:
        assert daemon.state()["model"]["name"] == "mini"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--labels", "a,b,c,d,e,f,g,h"), "the dataset has 8 classes; name the network's classes"),
        ((), "is neither a .keras nor a .h5 file"),
    ],
    ids=["classes", "no network"],
)
def test_a_network_that_does_not_fit_is_refused(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...], sentence: str,
) -> None:  # fmt: skip
    file = workplace / "mini_xception.keras"
    if not options:
        file = tmp_path / "broken.keras"
        file.write_text("no network")
    words = ["import", str(file), str(workplace / "data" / "fer2013"), "--name", "x"]
    assert train([*words, "--output", str(tmp_path), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: {file}: ")
    assert sentence in line


def in_color(network: Any) -> Any:
    inputs = keras.Input((64, 64, 3))
    return keras.Model(inputs, network(keras.ops.mean(inputs, axis=-1, keepdims=True)))


def one_at_a_time(network: Any) -> Any:
    inputs = keras.Input((64, 64, 1), batch_size=1)
    return keras.Model(inputs, network(inputs))


def without_softmax(network: Any) -> Any:
    inputs = keras.Input((64, 64, 1))
    return keras.Model(inputs, keras.ops.log(network(inputs)))


def in_half_precision(network: Any) -> Any:
    policy = '"DTypePolicy", "config": {"name": "%s"}'
    config = network.to_json().replace(policy % "float32", policy % "mixed_float16")
    copy = keras.models.model_from_json(config)
    assert any(layer.compute_dtype == "float16" for layer in copy.layers)
    copy.set_weights(network.get_weights())
    return copy


@pytest.mark.parametrize(
    "form", [in_color, one_at_a_time, without_softmax, in_half_precision], ids=lambda f: f.__name__
)
@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
def test_networks_of_other_forms_answer_as_the_original(
    workplace: Path, tmp_path: Path, form: Any
) -> None:
    """Saved under a name without a suffix, as some downloads are."""
    original = keras.models.load_model(workplace / "mini_xception.keras")
    form(original).save(tmp_path / "other.keras")
    (tmp_path / "other.keras").rename(tmp_path / "other")
    words = ["import", str(tmp_path / "other"), str(workplace / "data" / "fer2013")]
    assert train([*words, "--name", "x", "--output", str(tmp_path), "--pixels=-1..1"]) == 0
    network = keras.models.model_from_json((tmp_path / "x" / "model.json").read_text())
    network.load_weights(tmp_path / "x" / "model.weights.h5")
    x = scaled(faces(14, 2)[0][..., None], 64).astype(np.float32)
    expected = original.predict_on_batch(x / 127.5 - 1)
    np.testing.assert_allclose(network.predict_on_batch(x), expected, atol=0.01)


def two_outputs(folder: Path) -> Path:
    inputs = keras.Input((48, 48, 1))
    x = keras.layers.Flatten()(inputs)
    outputs = [keras.layers.Dense(7, activation="softmax")(x) for _ in range(2)]
    keras.Model(inputs, outputs).save(folder / "two.keras")
    return folder / "two.keras"


def sigmoids(folder: Path) -> Path:
    layers = [keras.layers.Flatten(), keras.layers.Dense(7, activation="sigmoid")]
    keras.Sequential([keras.Input((48, 48, 1)), *layers]).save(folder / "sigmoids.keras")
    return folder / "sigmoids.keras"


def written(name: str, content: bytes) -> Any:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (two_outputs, "has 2 outputs; save a network with one"),
        (sigmoids, "its answers do not sum to 1, as those of independent sigmoids"),
        (written("model.json", b'{"class_name": "Functional"}'), "an architecture without weights"),
        (
            written("model.tflite", b"\x1c\0\0\0TFL3"),
            "is a TFLite file, which is converted already",
        ),
        (written("model.keras", b""), "is empty; copy it again"),
        (lambda folder: folder, "is a folder, as of a SavedModel"),
        (lambda folder: folder / "nothing.h5", "cannot be read (No such file or directory)"),
    ],
    ids=["outputs", "sigmoids", "json", "tflite", "empty", "SavedModel", "missing"],
)
def test_what_is_no_such_network_is_named(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, sentence: str
) -> None:
    file = make(tmp_path)
    words = ["import", str(file), str(workplace / "data" / "fer2013"), "--name", "x"]
    assert train([*words, "--output", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: {file}: ")
    assert sentence in line


def test_wrong_pixels_show_as_a_low_accuracy(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", str(workplace / "mini_xception.keras"), str(workplace / "data" / "fer2013")]
    assert train([*words, "--name", "x", "--output", str(tmp_path), "--pixels", "0..1"]) == 0
    accuracy = float(re.findall(r"accuracy ([\d.]+)%", capsys.readouterr().out)[0])
    assert accuracy < 60


def test_a_network_for_three_own_classes_runs_in_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Class folders of 96×96 pixels, an ELU network for them, and the daemon with their names.

    The evaluation takes the classes from the model file.
    """
    from PIL import Image

    x, y = faces(420, 3)
    names = {0: "Calm", 3: "smile", 6: "frown"}
    chosen = np.isin(y, list(names))
    for i, (image, label) in enumerate(zip(x[chosen], y[chosen], strict=True)):
        folder = tmp_path / "moods" / names[int(label)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((96, 96)).save(folder / f"{i}.png")
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            layers.Conv2D(4, 3, strides=2, activation="elu"),  # which int8 kernels do not suit
            layers.MaxPooling2D(3),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    network.fit(x[chosen][..., None] / 255.0, y[chosen] // 3, epochs=30, verbose=0)
    network.save(tmp_path / "moods.keras")
    dataset = [str(tmp_path / "moods"), "--labels", "calm,smile,frown"]
    words = ["import", str(tmp_path / "moods.keras"), *dataset, "--pixels", "0..1"]
    assert train([*words, "--name", "moods", "--output", str(tmp_path / "exports")]) == 0
    assert "180 pictures of 96×96 pixels were scaled to 48×48" in capsys.readouterr().out
    target = tmp_path / "moods.tflite"
    convert_on_litert(tmp_path / "exports" / "moods", target, "float16")
    card = tmp_path / "moods.md"
    words = ["evaluate", str(target), dataset[0], "--card", str(card)]
    assert train([*words, "--output", str(tmp_path / "evaluate")]) == 0
    text = card.read_text(encoding="utf-8")
    assert "moods: " in text
    assert "FER2013" not in text
    assert "| frown | 60 |" in text
    with Daemon(tmp_path, f"model={target}", "camera.source=demo") as daemon:
        assert daemon.state()["model"]["name"] == "moods"
