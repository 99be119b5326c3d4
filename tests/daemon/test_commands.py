"""The command line `mien`: its output, its error sentences, and odd environments."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import Daemon
from support.paths import ROOT

from edge_daemon import __version__

# Runs mien on a Python that does not have the package argv[1].
WITHOUT_A_PACKAGE = """
import sys
missing = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
from edge_daemon.__main__ import run
run()
"""

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def mien(
    *words: str | Path, cwd: Path = ROOT, python: tuple[str, ...] = ("-m", "edge_daemon")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_version_names_model_and_runtime() -> None:
    done = mien("--version")
    first, model, runtime, python = done.stdout.splitlines()
    assert first == f"mien {__version__}"
    assert model.startswith("model: ")
    assert "expression.tflite (expression), sha256 " in model
    assert runtime.startswith("runtime: ai-edge-litert ")
    assert python.startswith("Python 3.")


def test_a_damaged_package_is_named_with_the_reason(tmp_path: Path) -> None:
    script = WITHOUT_A_PACKAGE.replace(
        'ModuleNotFoundError(f"No module named {name!r}"', 'ImportError("libGL.so.1 is missing"'
    )
    done = mien("cv2", "run", python=("-c", script), cwd=tmp_path)
    assert done.returncode == 2
    expected = f"the package 'cv2' is damaged (libGL.so.1 is missing) in {sys.executable}; fix: "
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_that_is_too_old_is_named() -> None:
    script = "import sys; sys.version_info = (3, 10, 1); sys.version = '3.10.1 (main)'"
    done = mien("run", python=("-c", f"{script}; from edge_daemon.__main__ import run; run()"))
    assert (done.returncode, done.stderr) == (
        2,
        "mien: Python 3.10.1 is too old; use 3.11, 3.12 or 3.13\n",
    )


@pytest.mark.parametrize("package", ["yaml", "pydantic", "numpy", "cv2", "flask", "gevent"])
def test_a_missing_package_is_named_with_the_fix(package: str, tmp_path: Path) -> None:
    settings = ["--set", f"events.path={tmp_path / 'e.jsonl'}", "--set", "web.port=0"]
    done = mien(package, "run", *settings, python=("-c", WITHOUT_A_PACKAGE))
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mien: ")]
    assert f"the package '{package}' is not installed for {sys.executable}; fix: " in line
    assert "-m pip install" in line
    assert "Traceback" not in done.stderr


def test_ctrl_c_leaves_no_traceback_at_any_moment_of_the_start(tmp_path: Path) -> None:
    settings = ["--set", f"events.path={tmp_path / 'e.jsonl'}", "--set", "web.port=0"]
    for moment in ("yaml", "pydantic", "numpy", "cv2", "flask"):
        interrupted = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {moment!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from edge_daemon.__main__ import run
run()
"""
        done = mien("run", *settings, python=("-c", interrupted))
        assert done.returncode == -signal.SIGINT, (moment, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["classify", "--workers", "0", "x"], "'0' is not a whole number from 1 on"),
        (["classify", "--workers", "many", "x"], "'many' is not a whole number from 1 on"),
        (["sign", "m.tflite", "--version", "-1"], "'-1' is not a whole number from 1 on"),
        (["rnu"], "'rnu'"),
    ],
)
def test_a_wrong_option_is_refused_without_inner_names(words: list[str], expected: str) -> None:
    done = mien(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: mien")
    assert expected in done.stderr.splitlines()[-1]
    assert "_positive" not in done.stderr


def test_the_defaults_work_in_any_folder(tmp_path: Path) -> None:
    done = mien("check-config", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "the defaults: valid\n"), done.stderr
    assert not list(tmp_path.iterdir())


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "settings"
    folder.mkdir()
    config = folder / "mien.yaml"
    config.write_text("events: {path: log/e.jsonl}\ncamera: {source: demo}\n")
    elsewhere = ("events.path=" + str(folder / "log/e.jsonl"),)
    with Daemon(tmp_path, *elsewhere, config=config) as daemon:
        daemon.until(lambda: daemon.state()["event_log"]["path"] == str(folder / "log/e.jsonl"))
    config.write_text("camera: {source: nowhere.mp4}\n")
    done = mien("check-config", "--config", config, cwd=tmp_path)
    assert done.returncode == 2
    assert f"{folder}/nowhere.mp4 does not exist" in done.stderr


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("model=nowhere.tflite", "nowhere.tflite: the model cannot be read"),
        ("smoothing.label_min_scores={hapy: 0.5}", "has no label 'hapy'"),
        ("camera.source=nowhere.mp4", "nowhere.mp4 does not exist"),
        ("events.path=README.md/e.jsonl", "README.md is not a folder"),
        ("events.ram_dir=README.md", "README.md is not a folder"),
        ("events.ram_dir=.", "is the folder of events.path"),
    ],
)
def test_a_check_finds_what_the_start_would(setting: str, expected: str) -> None:
    done = mien("check-config", "--set", setting)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_daemon_on_the_same_log_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with Daemon(tmp_path, "camera.source=demo") as first:
        first.until(lambda: first.state()["event_log"]["written"])
        with Daemon(tmp_path, "camera.source=demo") as second:
            assert second.ended() == 2
        (line,) = [line for line in second.log if "in use" in line]
        assert (
            f"{first.events_path} is in use by another daemon (process {first.process.pid}" in line
        )
        assert "events.path to another place" in line
        first.process.kill()  # the lock goes with the process
        first.process.wait()
        with Daemon(tmp_path, "camera.source=demo") as third:
            third.until(lambda: third.state()["event_log"]["written"])
            assert third.stop() == 0


def test_log_lines_have_the_time_outside_the_journal(tmp_path: Path) -> None:
    read, write = os.pipe()
    status = os.fstat(write)
    journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    words = [
        "run",
        "--set",
        f"events.path={tmp_path / 'e.jsonl'}",
        "--set",
        "web.host=nowhere.invalid",
    ]
    lines = []
    for environment in ({}, journal):
        subprocess.run(
            [sys.executable, "-m", "edge_daemon", *words, "--set", "web.auth=none"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stderr=write,
            timeout=60,
            check=False,
        )
        text = os.read(read, 1 << 16).decode()
        lines.append(next(line for line in text.splitlines() if "goldens" in line))
    os.close(read)
    os.close(write)
    assert lines[1].startswith("INFO goldens: ")
    date, time, level, *_ = lines[0].split()
    assert (len(date), len(time), level) == (10, 12, "INFO")


class Systemd:
    """Listens on a NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(20)

    def received(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody-listens", "vsock:2:9", "x" * 200])
def test_a_bad_notify_socket_neither_ends_nor_blocks_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        daemon.until(lambda: daemon.state()["frames"]["processed"] > 5)
        assert daemon.stop() == 0
        told = [line for line in daemon.log if "NOTIFY_SOCKET" in line]
        assert len(told) == 1
        assert "Traceback" not in "\n".join(daemon.log)


def test_a_full_notify_socket_gets_what_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mien-{os.getpid()}"
    systemd = Systemd(f"\0{name}")
    stuffing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stuffing.setblocking(False)
    stuffing.connect(f"\0{name}")
    stuffed = 0
    while True:
        try:
            stuffing.send(b"x")
        except BlockingIOError:
            break
        stuffed += 1
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        daemon.until(lambda: daemon.state()["frames"]["processed"] > 5)
        for _ in range(stuffed):
            assert systemd.received() == "x"
        assert systemd.received() == "READY=1"
        assert systemd.received().startswith("WATCHDOG=1\nSTATUS=ok, ")
        assert daemon.stop() == 0
    systemd.socket.close()
    stuffing.close()


def test_being_stopped_for_long_is_not_an_outage(tmp_path: Path, media_dir: Path) -> None:
    clip = media_dir / "signing-book.mkv"
    with Daemon(tmp_path, f"camera.source={clip}", "camera.timeout_s=0.5") as daemon:
        daemon.until(lambda: daemon.state()["frames"]["processed"] > 5)
        daemon.process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.process.wait(1.5)
        daemon.process.send_signal(signal.SIGCONT)
        before = daemon.state()["frames"]["processed"]
        daemon.until(lambda: daemon.state()["frames"]["processed"] > before + 5)
        assert daemon.stop() == 0
        assert "camera_lost" not in {event["type"] for event in daemon.events()}
