"""The check of `spec.json` that the converter and the daemon share through a JSON schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.stripes import SPEC

from convert import export_folder, tflite
from convert.errors import ConvertError
from edge_daemon.vision.interpreter import ModelError
from edge_daemon.vision.model_file import read_model_file

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ACCEPTED: dict[str, Callable[[dict[str, Any]], object]] = {
    "as it is": lambda spec: None,
    "other labels": lambda spec: spec.update(labels=["ruhig", "笑", "böse", "d", "e", "f", "g"]),
    "no resize": lambda spec: spec.pop("resize"),
    "no metrics": lambda spec: spec.pop("metrics"),
    "a wide crop": lambda spec: spec.update(crop={"side": 9, "eyes": [0.5, -0.3], "box": [0, 2]}),
}
REFUSED: dict[str, Callable[[dict[str, Any]], object]] = {
    "another schema": lambda spec: spec.update(schema=2),
    "a crop without eyes": lambda spec: spec["crop"].pop("eyes"),
    "a crop of words": lambda spec: spec["crop"].update(side="wide"),
    "one number for a point": lambda spec: spec["crop"].update(box=[0.5]),
    "no width": lambda spec: spec["input"].pop("width"),
    "a tiny input": lambda spec: spec["input"].update(width=7, height=7),
    "a huge input": lambda spec: spec["input"].update(width=513, height=513),
    "half a pixel": lambda spec: spec["input"].update(width=48.5),
    "a crop of nothing": lambda spec: spec["crop"].update(side=0),
    "a crop of everything": lambda spec: spec["crop"].update(side=11),
    "eyes elsewhere": lambda spec: spec["crop"].update(eyes=[0.5, 3]),
    "no name": lambda spec: spec.update(name=""),
    "a long name": lambda spec: spec.update(name="n" * 101),
    "a name of two lines": lambda spec: spec.update(name="a\nb"),
    "one label": lambda spec: spec.update(labels=["a"]),
    "a hundred and one labels": lambda spec: spec.update(labels=[str(n) for n in range(101)]),
    "a label twice": lambda spec: spec.update(labels=["a", "b", "a"]),
    "the label uncertain": lambda spec: spec.update(labels=["a", "uncertain"]),
    "a number for a label": lambda spec: spec.update(labels=["a", 1]),
    "an empty label": lambda spec: spec.update(labels=["a", ""]),
}


def spec_with(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(json.dumps(SPEC))
    change(spec)
    return spec


def sealed(converted: Path, spec: dict[str, Any], target: Path) -> Path:
    """Return the converted model with another spec inside."""
    content = converted.read_bytes()
    notes, files = tflite.read_metadata(content), tflite.read_files(content)
    assert notes is not None
    bare = content[: content.index(b"PK\x03\x04")]
    target.write_bytes(tflite.seal(bare, notes, files | {"spec.json": json.dumps(spec).encode()}))
    return target


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_the_converter_accepts_the_daemon_runs(
    case: str, broken_dir: Path, converted: Path, tmp_path: Path
) -> None:
    spec = spec_with(ACCEPTED[case])
    (broken_dir / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    assert export_folder.read(broken_dir).spec == spec
    model = read_model_file(sealed(converted, spec, tmp_path / "x.tflite"))
    assert list(model.labels) == spec["labels"]


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_daemon_refuses_the_converter_refuses(
    case: str, broken_dir: Path, converted: Path, tmp_path: Path
) -> None:
    spec = spec_with(REFUSED[case])
    (broken_dir / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(ConvertError, match=r"spec\.json: "):
        export_folder.read(broken_dir)
    with pytest.raises(ModelError):
        read_model_file(sealed(converted, spec, tmp_path / "x.tflite"))
