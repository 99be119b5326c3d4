"""Checks that the model and the detector work on this device."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.doctor.finding import Finding, edit, error, ok, sudo_for, warning
from edge_daemon.vision.classifier import Classifier, check_goldens
from edge_daemon.vision.detector import (
    FETCH_COMMAND,
    SHIPPED_MODELS,
    Detector,
    DetectorUnavailable,
    Range,
    blazeface_files,
)
from edge_daemon.vision.interpreter import ModelError, RuntimeUnavailable
from edge_daemon.vision.model_file import read_model_file

SHIPPED = SHIPPED_MODELS / "expression.tflite"


def examine_model(path: Path, *, runtime: str, config_file: Path) -> Iterator[Finding]:
    """Check that the model loads and reproduces its golden answers on this device."""
    remedy = "make convert"
    if SHIPPED.is_file() and path.resolve() != SHIPPED:
        remedy = edit(config_file, f"model: {SHIPPED}")
    try:
        classifier = Classifier(read_model_file(path), runtime=runtime)
        model = classifier.model
    except (ModelError, RuntimeUnavailable) as problem:
        yield error("model", str(problem), remedy)
        return
    runtime = classifier.runtime
    yield ok("model", f"{path} ({model.name}), sha256 {model.sha256[:12]}, on {runtime}")
    try:
        sentence = check_goldens(classifier)
    except ModelError as problem:
        yield error("goldens", str(problem), remedy)
        return
    if model.goldens is None:
        yield warning("goldens", sentence, "make convert")
    else:
        yield ok("goldens", sentence)


def examine_detector(
    build: Callable[[], Detector],
    *,
    backend: str,
    face_range: Range,
    models_dir: Path,
    config_file: Path,
) -> Finding:
    """Check that the detector made by `build` finds the faces of the built-in demo."""
    files = blazeface_files(face_range)
    missing = [file for file in files if not (models_dir / file).is_file()]
    try:
        detector = build()
    except DetectorUnavailable as problem:
        return error("detector", str(problem), edit(config_file, "detector.backend: auto"))
    except (ModelError, RuntimeUnavailable) as problem:
        sentence = str(problem).removesuffix(f"; fix: {FETCH_COMMAND}")
        return error("detector", sentence, _fetch(missing or files, models_dir))
    try:
        faces = len(detector.detect(Demo(640, 480).render(0.0)))
    finally:
        detector.close()
    if backend == "auto" and detector.name == "haar":
        return warning(
            "detector",
            f"{models_dir / missing[0]} is missing; OpenCV's Haar cascade is used instead, which "
            "is slower and finds fewer faces",
            _fetch(missing or files, models_dir),
        )
    if not faces:
        return warning(
            "detector",
            f"{detector.name} finds no face in the demo's picture with this configuration",
            edit(config_file, "detector.min_score: 0.5"),
        )
    return ok("detector", f"{detector.name} finds {faces} faces in the demo's picture")


def _fetch(files: Sequence[str], models_dir: Path) -> str:
    """Return the command that fetches BlazeFace's files into `models_dir`."""
    fetch = shlex.join([sys.executable, str(SHIPPED_MODELS / "fetch_blazeface.py")])
    commands = [sudo_for(SHIPPED_MODELS) + fetch]
    if models_dir.resolve() != SHIPPED_MODELS:
        copy = shlex.join(["cp", *(str(SHIPPED_MODELS / file) for file in files), str(models_dir)])
        commands.append(sudo_for(models_dir) + copy)
    return " && ".join(commands)
