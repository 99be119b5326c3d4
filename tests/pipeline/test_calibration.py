"""Tests the face at rest: what is learned from it, and which scores it corrects."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.labels import LABELS
from support.paths import ROOT

from edge_daemon.capture.picamera import pi_cameras
from edge_daemon.capture.v4l2 import capture_devices
from edge_daemon.config.file import ConfigError
from edge_daemon.config.schema import Config, validated
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Frame
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.build import build_stages, calibration_file
from edge_daemon.pipeline.calibration import LEAST_SAMPLES, MAX_BIAS, Calibrator, rest_bias
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.vision.model_file import ModelFile, read_model_file


def scores(**shares: float) -> np.ndarray:
    """Return scores of all labels; what `shares` leave is spread over the others."""
    rest = (1 - sum(shares.values())) / (len(LABELS) - len(shares))
    return np.array([shares.get(label, rest) for label in LABELS], np.float32)


def bias_of(at_rest: np.ndarray, samples: int = 100_000) -> dict[str, float]:
    return rest_bias(np.log(at_rest).tolist(), LABELS, samples)


def top(values: np.ndarray) -> str:
    return str(LABELS[int(values.argmax())])


@pytest.fixture
def model(shipped_model: Path) -> ModelFile:
    return read_model_file(shipped_model)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.calibration.json"


def recorded(file: Path, model: ModelFile, at_rest: np.ndarray) -> Calibrator:
    """Record two seconds at 15 frames a second, and some after the end."""
    calibrator = Calibrator()
    calibrator.use(file, model)
    calibrator.start(2.0)
    for number in range(40):
        calibrator.add(at_rest, 0.5, 100.0 + number / 15)
    return calibrator


@pytest.mark.parametrize("label", [label for label in LABELS if label != "neutral"])
def test_a_face_that_looks_like_something_at_rest_becomes_neutral(
    label: str, file: Path, model: ModelFile
) -> None:
    at_rest = scores(**{label: 0.6, "neutral": 0.3})
    calibrator = recorded(file, model, at_rest)
    assert not calibrator.is_recording
    assert top(calibrator.corrected(at_rest)) == "neutral"
    clear = [each for each in LABELS if each not in {label, "neutral"}]
    for other in clear:
        assert top(calibrator.corrected(scores(**{other: 0.8, "neutral": 0.1}))) == other
    very = calibrator.corrected(scores(**{label: 0.97}))
    assert top(very) == label
    assert very.sum() == pytest.approx(1, abs=1e-5)


def test_only_what_is_too_high_is_lowered_and_only_neutral_is_raised() -> None:
    bias = bias_of(scores(sad=0.5, angry=0.2, neutral=0.25))
    assert bias["sad"] < bias["angry"] < 0 < bias["neutral"]
    assert all(bias[label] == 0 for label in ("disgust", "fear", "happy", "surprise"))
    assert max(map(abs, bias_of(scores(sad=0.9999), 10**9).values())) == MAX_BIAS


def test_a_typical_neutral_face_needs_no_bias() -> None:
    assert set(bias_of(scores(neutral=0.7)).values()) == {0.0}
    assert set(bias_of(scores(neutral=0.95)).values()) == {0.0}


def test_few_samples_are_trusted_less() -> None:
    at_rest = scores(sad=0.6, neutral=0.3)
    by_samples = [bias_of(at_rest, count)["sad"] for count in (10_000, 300, 30, 3)]
    assert by_samples == sorted(by_samples)
    assert by_samples[2] == pytest.approx(bias_of(at_rest)["sad"] / 2, rel=0.3)


def test_it_holds_over_a_restart_and_can_be_removed(file: Path, model: ModelFile) -> None:
    at_rest = scores(sad=0.6, neutral=0.3)
    made = recorded(file, model, at_rest)
    again = Calibrator()
    again.use(file, model)
    assert again.report() == made.report()
    assert np.array_equal(again.corrected(at_rest), made.corrected(at_rest))
    assert set(json.loads(file.read_text())) == {"model", "bias", "samples", "made_at"}
    again.remove()
    assert not file.exists()
    assert np.array_equal(again.corrected(at_rest), at_rest)
    report = again.report()
    assert report is not None
    assert report["state"] == "none"


def test_a_recording_waits_for_enough_of_a_face_and_can_be_canceled(
    file: Path, model: ModelFile
) -> None:
    calibrator = Calibrator()
    calibrator.use(file, model)
    calibrator.start(1.0)
    for number in range(LEAST_SAMPLES - 1):
        calibrator.add(scores(sad=0.9), 1.0, 100.0 + number)
    report = calibrator.report()
    assert report is not None
    assert (report["state"], report["samples"]) == ("recording", LEAST_SAMPLES - 1)
    calibrator.remove()
    assert not calibrator.is_recording
    assert not file.exists()


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"model": "another"}, "another model"),
        ({"bias": {"sad": -1.0}}, "another model"),
        ({"bias": {"sad": float("nan")}}, "cannot be read"),
        ({"bias": dict.fromkeys(LABELS, 50)}, "cannot be read"),
        ({"bias": 3}, "cannot be read"),
        ({"more": 1}, "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_corrects_nothing_and_says_why(
    change: dict[str, object], trouble: str, file: Path, model: ModelFile
) -> None:
    recorded(file, model, scores(sad=0.6))
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    calibrator = Calibrator()
    calibrator.use(file, model)
    assert trouble in calibrator.trouble
    assert calibrator.corrected(scores(sad=0.6)) is not None
    assert calibrator.calibration is None


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, model: ModelFile) -> None:
    calibrator = recorded(tmp_path / "nowhere" / "file.json", model, scores(sad=0.6))
    assert "file.json: cannot be written: No such file" in calibrator.trouble
    assert calibrator.calibration is None


def test_only_models_with_a_neutral_label_have_a_face_at_rest(tmp_path: Path) -> None:
    events = {"path": str(tmp_path / "events.jsonl")}
    on: Config = validated({"smoothing": {"calibration": True}, "events": events})
    assert calibration_file(on, LABELS) == tmp_path / "events.calibration.json"
    assert calibration_file(Config(), ("yes", "no")) is None
    with pytest.raises(ConfigError, match=r"has no label 'neutral'.*its labels are yes, no"):
        calibration_file(on, ("yes", "no"))
    stream = validated({"smoothing": {"calibration": True}, "events": {"path": "-"}})
    with pytest.raises(ConfigError, match=r"set events\.path to a file"):
        calibration_file(stream, LABELS)


def test_a_clip_at_rest_is_named_neutral_after_its_recording(
    file: Path, media_dir: Path, blazeface_dir: Path
) -> None:
    """To the model the person of this clip looks a little sad; here that is her rest."""
    assert blazeface_dir
    stages = build_stages(validated({"smoothing": {"half_life_s": 0.0}}), "")
    calibrator = Calibrator()
    calibrator.use(file, stages.classifier.model)
    pipeline = Pipeline(
        frames=Latest(), views=Latest(), events=EventFeed([]), shots=Backlog(1), stages=stages,
        notice=lambda: "", blank_size=(640, 480), stop=threading.Event(), calibrator=calibrator,
    )  # fmt: skip
    read = cv2.VideoCapture(str(media_dir / "signing-bird.mkv")).read
    clip = [np.asarray(read()[1], np.uint8) for _ in range(60)]
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def neutral_scores(first: int) -> list[float]:
        views = [
            pipeline.process(Frame(first + number, Picture(bgr), (first + number) / 15, start))
            for number, bgr in enumerate(clip)
        ]
        place = LABELS.index("neutral")
        return [face.scores[place] for view in views for face in view.faces if face.scores]

    before = neutral_scores(1)
    calibrator.start(2.0)
    neutral_scores(61)
    made = calibrator.calibration
    assert made is not None
    assert made.bias["sad"] < 0
    after = neutral_scores(121)
    assert np.mean(after) > np.mean(before) + 0.05
    calibrator.remove()
    assert np.mean(neutral_scores(181)) == pytest.approx(np.mean(before), abs=0.02)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_daemon", "calibrate", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_records_a_clip_and_forgets_it(
    tmp_path: Path, media_dir: Path, blazeface_dir: Path
) -> None:
    assert blazeface_dir
    settings = ("--set", f"events.path={tmp_path}/events.jsonl")
    clip = ("--set", f"camera.source={media_dir}/signing-book.mkv")
    done = command(*settings, *clip, "--seconds", "2")
    assert done.returncode == 0, done.stderr
    assert "Set smoothing.calibration: true to use it." in done.stdout
    file = tmp_path / "events.calibration.json"
    assert json.loads(file.read_text())["samples"] >= LEAST_SAMPLES
    assert "removed" in command(*settings, "--remove").stdout
    assert not file.exists()
    missing = command(*settings, "--set", "camera.source=/dev/video77", "--seconds", "2")
    assert missing.returncode == 2
    assert "mien: /dev/video77" in missing.stderr
    assert "record on its page instead" in missing.stderr


def test_without_a_camera_the_demo_is_not_taken_for_a_face_at_rest(
    tmp_path: Path, blazeface_dir: Path
) -> None:
    assert blazeface_dir
    if capture_devices() or pi_cameras():
        pytest.skip("NOT TESTED: this machine has a camera")
    done = command("--set", f"events.path={tmp_path}/events.jsonl", "--seconds", "2")
    assert done.returncode == 2
    assert "mien: no camera on this machine delivers a picture; fix: " in done.stderr
    assert list(tmp_path.iterdir()) == []
