"""Tests model files: values out of range and sizes that are too large are refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_daemon.vision.interpreter import ModelError
from edge_daemon.vision.model_file import parse_model

FILES = dict[str, bytes]


def rewritten(model: Path, change: Callable[[FILES], None]) -> bytes:
    """Return the model with other associated files."""
    content = model.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        start = min(info.header_offset for info in archive.infolist())
    change(files)
    packed = io.BytesIO(content[:start])
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(ModelError) as refused:
        parse_model(Path("odd.tflite"), content)
    message = str(refused.value)
    assert message.startswith("odd.tflite: ")
    assert message.isprintable()
    return message


def test_the_shipped_model_is_read_all_the_same(shipped_model: Path) -> None:
    model = parse_model(shipped_model, rewritten(shipped_model, lambda files: None))
    assert len(model.labels) == 7
    assert model.goldens is not None


SPEC_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "nan side": lambda spec: spec["crop"].update(side=float("nan")),
    "infinite side": lambda spec: spec["crop"].update(side=float("inf")),
    "negative side": lambda spec: spec["crop"].update(side=-1.0),
    "side of zero": lambda spec: spec["crop"].update(side=0),
    "huge side": lambda spec: spec["crop"].update(side=1e300),
    "true side": lambda spec: spec["crop"].update(side=True),
    "text side": lambda spec: spec["crop"].update(side="1"),
    "nan eyes": lambda spec: spec["crop"].update(eyes=[float("nan"), 0.5]),
    "far eyes": lambda spec: spec["crop"].update(eyes=[0.5, 99]),
    "three numbers": lambda spec: spec["crop"].update(box=[0.5, 0.5, 0.5]),
    "no box": lambda spec: spec["crop"].pop("box"),
    "crop is a list": lambda spec: spec.update(crop=[]),
    "negative width": lambda spec: spec["input"].update(width=-48),
    "huge width": lambda spec: spec["input"].update(width=10**9),
    "fractional width": lambda spec: spec["input"].update(width=48.5),
    "endless width": lambda spec: spec["input"].update(width=float("inf")),
    "no labels": lambda spec: spec.update(labels=[]),
    "labels are a text": lambda spec: spec.update(labels="abcdefg"),
    "a label is a number": lambda spec: spec["labels"].__setitem__(0, 1),
    "a label twice": lambda spec: spec["labels"].__setitem__(0, spec["labels"][1]),
    "a surrogate": lambda spec: spec["labels"].__setitem__(0, "\ud800"),
    "a line feed": lambda spec: spec["labels"].__setitem__(0, "a\nb"),
    "an escape": lambda spec: spec.update(name="\x1b[2J"),
    "an override": lambda spec: spec.update(name="gnp.\u202e"),
    "an endless name": lambda spec: spec.update(name="x" * 10_000),
    "a reserved label": lambda spec: spec["labels"].__setitem__(0, "uncertain"),
    "a thousand labels": lambda spec: spec.update(labels=[f"l{n}" for n in range(1000)]),
    "no name": lambda spec: spec.update(name=None),
}


@pytest.mark.parametrize("change", SPEC_CHANGES.values(), ids=SPEC_CHANGES)
def test_a_spec_out_of_range_is_refused(
    shipped_model: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    def spoil(files: FILES) -> None:
        spec = json.loads(files["spec.json"])
        change(spec)
        files["spec.json"] = json.dumps(spec).encode()

    assert "spec.json" in refusal(rewritten(shipped_model, spoil))


@pytest.mark.parametrize(
    "spec",
    [b"", b"[]", b"\xff\xfe", b"[" * 50_000, b'{"schema":1}', b"1" * 50_000, b" " * 10_000_000],
    ids=["empty", "list", "not UTF-8", "deep", "bare", "number", "bomb"],
)
def test_a_spec_that_is_none_is_refused(shipped_model: Path, spec: bytes) -> None:
    content = rewritten(shipped_model, lambda files: files.update({"spec.json": spec}))
    assert "spec.json" in refusal(content)


def npy(array: Any, shape: tuple[int, ...] | None = None) -> bytes:
    """Return an array as a .npy file, whose header may lie about its shape."""
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(file, header | {"shape": shape or array.shape})
    return file.getvalue() + bytes(array.tobytes())


FACES, SCORES = np.zeros((2, 48, 48, 1), np.uint8), np.full((2, 7), 1 / 7, np.float32)


@pytest.mark.parametrize(
    ("faces", "scores"),
    [
        (npy(FACES, (10**9, 48, 48, 1)), npy(SCORES)),
        (npy(FACES, (900, 48, 48, 1)), npy(SCORES)),
        (npy(FACES, (-1, 48, 48, 1)), npy(SCORES)),
        (npy(FACES), npy(SCORES, (2, 10**12))),
        (npy(FACES), npy(SCORES[:1])),
        (npy(FACES[:0]), npy(SCORES[:0])),
        (npy(FACES.astype(np.float64)), npy(SCORES)),
        (npy(FACES), npy(SCORES * np.float32("nan"))),
        (npy(FACES), npy(SCORES * np.float32("inf"))),
        (npy(FACES), npy(SCORES * 0)),
        (npy(FACES), npy(-SCORES)),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70_000, npy(SCORES)),
        (npy(np.zeros(3, object)), npy(SCORES)),
        (b"", npy(SCORES)),
    ],
)
def test_goldens_that_do_not_fit_are_refused_before_they_are_read(
    shipped_model: Path, faces: bytes, scores: bytes
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("faces.npy", faces)
        archive.writestr("scores.npy", scores)
    goldens = {"goldens.npz": packed.getvalue()}
    content = rewritten(shipped_model, lambda files: files.update(goldens))
    assert "goldens.npz is damaged" in refusal(content)
