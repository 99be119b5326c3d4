"""Tests the doctor's checks of the model, the detector and the source."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.doctor import CONFIG, doctor, only
from support.paths import ROOT

from edge_daemon.capture.v4l2 import capture_devices
from edge_daemon.doctor.model import examine_detector
from edge_daemon.vision.detector import build_detector


@pytest.fixture
def own_model(shipped_model: Path, tmp_path: Path) -> Path:
    """Return the shipped model in another folder."""
    model = tmp_path / "expression.tflite"
    model.symlink_to(shipped_model)
    return model


class TestParts:
    """Model, detector and picture, as the daemon would use them."""

    def test_a_missing_model(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        model = tmp_path / "gone.tflite"
        found = doctor(capsys, f"model={model}", "camera.source=demo", "web.port=0")
        verdict, sentence, remedy = only(found, "model")
        assert (verdict, "goldens" in found) == ("error", False)
        assert f"{model}: the model cannot be read" in sentence
        assert remedy == f"nano {CONFIG}  # model: {ROOT / 'models/expression.tflite'}"

    def test_a_model_of_ones_own_has_the_shipped_blazeface(
        self, capsys: pytest.CaptureFixture[str], own_model: Path, blazeface_dir: Path
    ) -> None:
        found = doctor(capsys, f"model={own_model}", "camera.source=demo", "web.port=0")
        assert only(found, "detector")[:2] == (
            "ok",
            "blazeface finds 2 faces in the demo's picture",
        )

    def test_a_damaged_blazeface_is_fetched_again(
        self, capsys: pytest.CaptureFixture[str], own_model: Path, blazeface_dir: Path
    ) -> None:
        for name in ("full_range_sparse", "short_range"):
            own_model.with_name(f"face_detection_{name}.tflite").write_bytes(b"torn")
        settings = (f"model={own_model}", "camera.source=demo", "web.port=0")
        verdict, sentence, remedy = only(doctor(capsys, *settings), "detector")
        assert verdict == "error"
        assert sentence.endswith("is not a TFLite file")  # the fix is the remedy alone
        subprocess.run(remedy, shell=True, check=True, cwd=ROOT)
        assert only(doctor(capsys, *settings), "detector")[0] == "ok"

    def test_without_blazeface_the_detector_is_haar(self, tmp_path: Path) -> None:
        finding = examine_detector(
            lambda: build_detector("auto", models_dir=tmp_path),
            backend="auto",
            face_range="full",
            models_dir=tmp_path,
            config_file=CONFIG,
        )
        assert finding.verdict == "warning"
        assert "Haar" in finding.sentence
        assert "fetch_blazeface.py" in finding.remedy

    def test_a_clip_gives_a_picture(
        self, capsys: pytest.CaptureFixture[str], media_dir: Path
    ) -> None:
        clip = min(media_dir.rglob("*.mp4"), key=lambda path: path.stat().st_size)
        found = doctor(capsys, f"camera.source={clip}", "web.port=0")
        verdict, sentence, _ = only(found, "picture")
        assert verdict == "ok"
        assert sentence.startswith(f"{clip} delivers ")

    @pytest.mark.parametrize(
        ("source", "sentence", "remedy"),
        [
            ("/dev/video77", "/dev/video77 does not exist", ""),
            (
                "http://me:secret@127.0.0.1:9/cam",
                "http://127.0.0.1:9/cam",
                "# camera.source: an address",
            ),
            ("gopher://camera/", "gopher://", "# camera.source: auto"),
        ],
    )
    def test_a_source_that_does_not_answer(
        self, source: str, sentence: str, remedy: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = only(doctor(capsys, f"camera.source={source}", "web.port=0"), "picture")
        assert found[0] == "error"
        assert sentence in found[1]
        assert remedy in found[2]
        assert "secret" not in "".join(found)

    def test_a_folder_of_broken_images_gives_none(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "broken.png").write_bytes(b"no image")
        found = doctor(capsys, f"camera.source={tmp_path}", "web.port=0")
        assert only(found, "picture")[0] == "error"

    @pytest.mark.skipif(bool(capture_devices()), reason="NOT TESTED: there is a camera here")
    def test_no_camera_means_the_demo_and_a_warning(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = doctor(capsys, "camera.source=auto", "web.port=0")
        verdict, sentence, remedy = only(found, "picture")
        assert (verdict, remedy[:5]) == ("warning", "lsusb")
        assert "the built-in demo is shown" in sentence
