"""The doctor on this machine, and each check on problems seen on devices."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from support.board import pi
from support.daemon import Daemon
from support.paths import ROOT

from deploy.release import requirements
from edge_daemon.capture.v4l2 import capture_devices
from edge_daemon.commands import main
from edge_daemon.doctor import software
from edge_daemon.doctor.camera import examine_cameras
from edge_daemon.doctor.finding import EXIT_CODES, Finding, worst
from edge_daemon.doctor.machine import (
    clock_state,
    examine_board,
    examine_clock,
    examine_log,
    examine_snapshots,
)
from edge_daemon.doctor.model import examine_detector
from edge_daemon.status.board import Board
from edge_daemon.vision.detector import build_detector
from edge_daemon.web.credentials import hash_token, new_token

CONFIG = ROOT / "config.yaml"
NOBODY = 65534

Found = dict[str, list[dict[str, str]]]


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the checkout, as the README's commands are; config.yaml's paths are relative."""
    monkeypatch.chdir(ROOT)


def doctor(capsys: pytest.CaptureFixture[str], *settings: str) -> Found:
    """Return the findings by check, after checking what every report promises."""
    words = [word for setting in settings for word in ("--set", setting)]
    code = main(["doctor", "--json", "--config", str(CONFIG), *words])
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"version", "verdict", "findings"}
    findings = [Finding(**each) for each in report["findings"]]
    assert report["verdict"] == worst(findings)
    assert code == EXIT_CODES[worst(findings)]
    assert all(bool(each.remedy) == (each.verdict != "ok") for each in findings)
    found: Found = {}
    for each in report["findings"]:
        found.setdefault(each["check"], []).append(each)
    return found


def only(found: Found, check: str) -> tuple[str, str, str]:
    """Return verdict, sentence and remedy of the check's only finding."""
    (each,) = found[check]
    return each["verdict"], each["sentence"], each["remedy"]


class TestWholeReport:
    def test_a_well_device_has_every_check(
        self, capsys: pytest.CaptureFixture[str], blazeface_dir: Path, tmp_path: Path
    ) -> None:
        log = f"events.path={tmp_path / 'events.jsonl'}"
        found = doctor(capsys, "camera.source=demo", "web.port=0", log)
        well = ["python", "packages", "model", "goldens", "detector", "picture", "port", "disk"]
        for check in well:
            assert only(found, check)[0] == "ok", found[check]
        assert set(found) == {*well, "user", "camera", "clock", "temperature", "throttling"}
        assert "finds 2 faces in the demo's picture" in only(found, "detector")[1]
        assert only(found, "picture")[1] == "demo delivers 640×480"
        assert not list(tmp_path.iterdir()), "it writes nothing"

    def test_text_has_a_line_for_each_finding_and_its_fix(self, tmp_path: Path) -> None:
        missing = tmp_path / "gone.mp4"
        settings = ["--set", f"camera.source={missing}", "--set", "web.port=0"]
        done = subprocess.run(
            [sys.executable, "-m", "edge_daemon", "doctor", "--config", CONFIG, *settings],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        lines = done.stdout.splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith("error    picture:"))
        assert f"{missing} does not exist" in lines[at]
        assert lines[at + 1].strip() == f"fix: nano {CONFIG}  # camera.source: auto"
        assert "Traceback" not in done.stderr

    def test_a_bad_configuration_is_one_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = tmp_path / "bad.yaml"
        config.write_text("camera:\n  sauce: demo\n")
        assert main(["doctor", "--json", "--config", str(config)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"mien: {config}, line 2: unknown key 'camera.sauce'")
        assert said.err.count("\n") == 1


WELL = {
    "ai-edge-litert": "2.3.0",
    "numpy": "2.4.6",
    "opencv-python-headless": "4.14.0.94",
}
OLD = {
    "tflite-runtime": "2.14.0",
    "numpy": "1.26.4",
    "opencv-python-headless": "4.11.0.86",
}


def checked(
    versions: Mapping[str, str], *extras: str, without: Sequence[str] = ()
) -> list[Finding]:
    """Return the findings on `versions` and the packages installed here, `without` some."""
    others = {name: version for name, version in software.installed().items() if name not in CORE}
    there = {name: found for name, found in {**others, **versions}.items() if name not in without}
    needed = software.requirements(there, runtime="auto", extras=extras)
    return list(software.check_packages(there, needed))


CORE = {*WELL, *OLD, "opencv-python", "opencv-contrib-python"}


class TestSoftware:
    @pytest.mark.parametrize("versions", [WELL, OLD], ids=["LiteRT", "tflite-runtime"])
    def test_what_the_extras_install_fits(self, versions: Mapping[str, str]) -> None:
        (finding,) = checked(versions)
        assert finding.verdict == "ok"
        assert f"numpy {versions['numpy']}" in finding.sentence

    def test_the_requirements_are_those_of_the_installed_distribution(self) -> None:
        distributed = importlib.metadata.requires("mien") or []
        for extra, versions in (("edge", WELL), ("edge-tflite-runtime", OLD)):
            found = software.requirements(versions, runtime="auto", extras=["mqtt"])
            wanted = {
                Requirement(each).name
                for each in distributed
                if f'extra == "{extra}"' in each or 'extra == "mqtt"' in each
            }
            assert {each.name for each in found} == wanted

    def test_every_requirement_is_loaded_by_the_module_that_it_has(self) -> None:
        for text in requirements(ROOT / "pyproject.toml"):
            assert find_spec(software.module_of(Requirement(text).name)), text

    def test_an_environment_without_mien_is_one_finding(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(software, "DISTRIBUTION", "mien-elsewhere")
        (finding,) = software.examine(WELL, runtime="auto", extras=[])
        assert finding.verdict == "error"
        assert "Mien is not installed in this environment" in finding.sentence

    @pytest.mark.parametrize(("version", "verdict"), [("3.13.9", "ok"), ("3.14.0", "warning")])
    def test_python(self, version: str, verdict: str) -> None:
        finding = software.check_python(Version(version), SpecifierSet(">=3.11,<3.14"))
        assert finding.verdict == verdict
        assert verdict == "ok" or "is untested; use 3.11 to 3.13" in finding.sentence

    def test_numpy_2_does_not_fit_tflite_runtime(self) -> None:
        (finding,) = checked(OLD | {"numpy": "2.4.6"})
        assert finding.verdict == "error"
        assert "tflite-runtime needs NumPy 1" in finding.sentence
        assert "pip install tflite-runtime==2.14.0 'numpy>=1.26,<2'" in finding.remedy

    def test_a_package_that_is_missing_is_named_with_its_command(self) -> None:
        (finding,) = checked(WELL, without=["gevent"])
        assert (finding.verdict, finding.sentence) == ("error", "gevent is not installed")
        assert "-m pip install 'gevent>=" in finding.remedy

    def test_without_a_runtime_litert_is_asked_for(self) -> None:
        (finding,) = checked(WELL, without=["ai-edge-litert"])
        assert finding.sentence == "ai-edge-litert is not installed"

    def test_mqtt_needs_its_package_only_where_there_is_a_broker(self) -> None:
        assert worst(checked(WELL, without=["paho-mqtt"])) == "ok"
        (finding,) = checked(WELL, software.MQTT, without=["paho-mqtt"])
        assert finding.sentence == "paho-mqtt is not installed"

    def test_an_untested_version_is_a_warning(self) -> None:
        (finding,) = checked(WELL | {"opencv-python-headless": "5.0.0.93"})
        assert finding.verdict == "warning"
        assert finding.sentence.startswith("opencv-python-headless 5.0.0.93 is untested; use ")

    def test_two_opencvs_are_in_each_others_way(self) -> None:
        (finding,) = checked(WELL | {"opencv-contrib-python": "4.14.0.94"})
        assert finding.verdict == "warning"
        assert "pip uninstall -y opencv-contrib-python opencv-python-headless &&" in finding.remedy

    def test_any_opencv_and_one_from_apt_will_do(self) -> None:
        others = {name: WELL[name] for name in WELL if name != "opencv-python-headless"}
        assert worst(checked(others | {"opencv-python": "4.14.0.94"})) == "ok"
        assert worst(checked(others | {"opencv-python-headless": ""})) == "ok"


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
        verdict, _, remedy = only(doctor(capsys, *settings), "detector")
        assert verdict == "error"
        subprocess.run(remedy, shell=True, check=True)
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


class Other(BaseHTTPRequestHandler):
    """Another program: it answers ok to everything but is not our daemon."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def other_program() -> Iterator[int]:
    """The port of another program."""
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class TestService:
    def test_a_port_that_another_program_has(
        self, other_program: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = doctor(capsys, "camera.source=demo", f"web.port={other_program}")
        verdict, sentence, remedy = only(found, "port")
        assert verdict == "error"
        assert f"cannot listen on 127.0.0.1:{other_program}: Address already" in sentence
        assert "stream" not in found
        free = int(remedy.partition("web.port: ")[2].partition(";")[0])
        socket.create_server(("127.0.0.1", free)).close()

    def test_an_address_that_this_machine_has_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        settings = ("web.host=192.0.2.7", "web.port=8080", "web.auth=none")
        verdict, sentence, remedy = only(doctor(capsys, "camera.source=demo", *settings), "port")
        assert verdict == "error"
        assert "cannot listen on 192.0.2.7:8080: Cannot assign" in sentence
        assert remedy.endswith("# web.host: 127.0.0.1")

    def test_a_running_daemon_is_well_and_keeps_its_camera(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Daemon(tmp_path, "camera.source=demo") as daemon:
            daemon.until(lambda: daemon.state()["frames"]["processed"] > 0)
            port = daemon.url.rpartition(":")[2]
            found = doctor(capsys, "camera.source=/dev/video77", f"web.port={port}")
            assert only(found, "port")[:2] == ("ok", f"a daemon serves {daemon.url}")
            assert only(found, "stream")[:2] == (
                "ok",
                f"{daemon.url}/stream.mjpg delivers pictures",
            )
            assert only(found, "health")[0] == "ok"
            verdict, sentence, _ = only(found, "picture")
            assert verdict == "ok"
            assert "uses the camera; it was not opened" in sentence

    def test_a_daemon_with_a_token_and_no_camera(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        guarded = f"web.token={hash_token(new_token())}"
        with Daemon(tmp_path, "camera.source=http://127.0.0.1:9/", guarded) as daemon:
            port = daemon.url.rpartition(":")[2]
            daemon.until(lambda: "camera lost" in "\n".join(daemon.log))
            found = doctor(capsys, f"web.port={port}", guarded)
        verdict, sentence, remedy = only(found, "health")
        assert (verdict, remedy) == ("error", "journalctl -u 'edge-daemon*' -n 30")
        assert sentence == f"{daemon.url}/healthz answers failing"
        assert "requires the password or the token" in only(found, "stream")[1]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's rights, where the tests run with them."""
    groups = os.getgroups()
    if os.getuid() != 0:
        yield
        return
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can read; pytest's folders are only root's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def node(folder: Path, mode: int, gid: int | None = None) -> Path:
    """Make a video device without a driver; a plain file where that needs root."""
    path = folder / "video0"
    try:
        os.mknod(path, stat.S_IFCHR, os.makedev(81, 200))
    except PermissionError:
        path.touch()
    if gid is not None:
        os.chown(path, -1, gid)
    path.chmod(mode)
    return path


def cameras(path: Path, source: str) -> Finding:
    found = list(examine_cameras([path], [], source=source, width=640, height=480))
    assert len(found) == 1
    return found[0]


class TestPermissions:
    def test_a_node_for_nobody(self, open_folder: Path) -> None:
        path = node(open_folder, 0o000)
        with as_nobody():
            finding = cameras(path, str(path))
        assert (finding.check, finding.verdict) == ("permission", "error")
        assert finding.remedy == f"sudo chgrp video {path} && sudo chmod g+rw {path}"

    @pytest.mark.skipif(os.getuid() != 0, reason="NOT TESTED: giving a node to a group takes root")
    def test_a_node_for_a_group_one_is_not_in(self, open_folder: Path) -> None:
        path = node(open_folder, 0o660, gid=44)  # video on Debian
        with as_nobody():
            needed, not_needed = cameras(path, "auto"), cameras(path, "demo")
        assert (needed.verdict, not_needed.verdict) == ("error", "warning")
        assert "nobody is not a member" in needed.sentence
        assert needed.remedy.startswith("sudo usermod -aG ")

    def test_a_node_without_a_camera_is_none(self, open_folder: Path) -> None:
        finding = cameras(node(open_folder, 0o666), "auto")
        assert (finding.verdict, finding.sentence) == (
            "ok",
            "no camera is connected to this machine",
        )

    def test_a_log_that_cannot_be_written(self, open_folder: Path) -> None:
        open_folder.chmod(0o555)
        path = open_folder / "logs" / "events.jsonl"
        with as_nobody():
            finding = examine_log(path, keep_bytes=1e6, config_file=CONFIG)
        assert finding.verdict == "error"
        assert finding.remedy.endswith(f" {path.parent}")
        assert finding.remedy.startswith("sudo install -d -o ")


class TestMachine:
    def test_less_room_than_the_log_may_take(self, tmp_path: Path) -> None:
        (tmp_path / "events.jsonl").write_bytes(b"\n" * 1000)
        path = tmp_path / "events.jsonl"
        finding = examine_log(path, keep_bytes=1e18, config_file=CONFIG)
        assert finding.verdict == "warning"
        assert "events.keep_mb lets it grow" in finding.sentence
        assert f"nano {CONFIG}  # events.keep_mb: " in finding.remedy
        keep_mb = float(finding.remedy.rpartition(" ")[2])
        mended = examine_log(path, keep_bytes=keep_mb * 1e6, config_file=CONFIG)
        assert mended.verdict == "ok"

    def test_a_full_and_a_read_only_disk(self, small_disk: Path) -> None:
        full = examine_log(small_disk / "events.jsonl", keep_bytes=1e8, config_file=CONFIG)
        assert (full.verdict, full.check) == ("error", "disk")
        assert "too little" in full.sentence
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        shut = examine_snapshots(small_disk / "new", keep_bytes=1.0, config_file=CONFIG)
        assert shut.verdict == "error"
        assert shut.remedy == f"sudo mount -o remount,rw {small_disk}"

    def test_the_clock(self) -> None:
        assert clock_state() in range(-1, 6)
        found = [examine_clock(state).verdict for state in (5, 0, -1)]
        assert found == ["warning", "ok", "ok"]

    @pytest.mark.parametrize(
        ("bits", "verdict", "said"),
        [
            ("0", "ok", "none since boot"),
            ("50005", "warning", "(now): under voltage, throttled"),
            ("80000", "warning", "(earlier since boot, not now): soft temperature limit"),
        ],
    )
    def test_a_pi_that_holds_back(self, bits: str, verdict: str, said: str, tmp_path: Path) -> None:
        heat, throttling = examine_board(Board(pi(tmp_path, f"{bits}\n")).status)
        assert (heat.verdict, heat.sentence) == ("ok", "61.8 °C (thermal_zone0 cpu-thermal)")
        assert throttling.verdict == verdict
        assert said in throttling.sentence

    def test_a_hot_board(self, tmp_path: Path) -> None:
        board = Board(pi(tmp_path, "0\n"))
        (tmp_path / "class/thermal/thermal_zone0/temp").write_text("83200\n")
        heat, _ = examine_board(board.read())
        assert heat.verdict == "warning"
        assert heat.sentence.startswith("83.2 °C")
