"""Installs and runs the bundle on arm64, as on a Raspberry Pi, under user-mode emulation.

Debian 12 has Python 3.11 and Debian 13 has 3.13; on 3.11 everything is repeated with tflite-runtime
2.14 and NumPy 1.26. `make test-arm64` prints how long each step took. An emulated program takes ten
to twenty times as long as the same program here.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from support.daemon import Daemon
from support.emulated import CannotEmulate, command, debian, register, why_not
from support.machine import timed
from support.paths import ROOT

from deploy.bundle import download_wheels
from edge_daemon.vision.classifier import MAX_DIFFERENCE

pytestmark = pytest.mark.long

BROKEN_MODEL = 2  # the doctor's exit code
RUN_S = 60.0
# A frame takes a second or more here; every frame of a source of five a second is processed.
DEMO = ("camera.source=demo", "camera.lossless=true", "camera.fps=5", "detector.interval=1")
GOLDENS = """
import json
import platform
from dataclasses import asdict
from pathlib import Path
import numpy
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.goldens import deviation
from edge_daemon.vision.model_file import read_model_file

model = read_model_file(Path("models/expression.tflite"))
classifier = Classifier(model, runtime="auto")
versions = {"runtime": classifier.runtime, "numpy": numpy.__version__}
versions |= {"machine": platform.machine(), "python": platform.python_version()}
print(json.dumps(versions | asdict(deviation(model.goldens, classifier.score))))
"""


class EmulatedDaemon(Daemon):
    deadline_s: ClassVar[float] = 300.0


@dataclass(frozen=True)
class Kind:
    """A combination to test: a Debian, its Python and a TFLite runtime."""

    release: str
    python: str
    runtime: str
    numpy: str

    def __str__(self) -> str:
        return f"{self.release}-{self.python}-{self.runtime.split()[0]}"


KINDS = (
    Kind("bookworm", "3.11", "ai-edge-litert 2.", "2."),
    Kind("bookworm", "3.11", "tflite-runtime 2.14.", "1.26."),
    Kind("trixie", "3.13", "ai-edge-litert 2.", "2."),
)


@dataclass(frozen=True)
class Board:
    """An emulated board with Mien; `code` is the release's folder, `folder` is free to use."""

    kind: Kind
    root: Path
    folder: Path
    code: Path
    interpreter: Path

    def python(self, *words: str) -> Sequence[str]:
        return command(self.root, self.folder, str(self.interpreter), *words, cwd=self.code)

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        return _run(self.python(*words))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def board(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Board:
    if reason := why_not():
        pytest.skip(f"NOT TESTED: {reason}")
    kind: Kind = request.param
    try:
        register()
        with timed(f"Debian {kind.release}"):
            root = debian(ROOT / "build" / "arm64", kind.release)
    except CannotEmulate as error:
        pytest.skip(f"NOT TESTED: arm64 is not emulated here: {error}")
    folder = tmp_path_factory.mktemp(str(kind))
    _unpack_bundle(folder, kind.python)
    if kind.runtime.startswith("tflite-runtime"):
        code = folder / "bundle"
        interpreter = _old_environment(root, folder, kind.python)
    else:
        code = _installed(root, folder)
        interpreter = code / "venv/bin/python"
    return Board(kind, root, folder, code, interpreter)


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _succeed(words: Sequence[str]) -> str:
    done = _run(words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _unpack_bundle(folder: Path, python: str) -> None:
    with timed(f"make bundle PYTHON={python}"):
        made = ["make", "-C", str(ROOT), "--silent", "bundle", "ARCH=aarch64", f"PYTHON={python}"]
        packed = ROOT / _succeed(made).splitlines()[-1]
    (folder / "bundle").mkdir()
    unpack = ["tar", "xf", str(packed), "-C", str(folder / "bundle"), "--strip-components=1"]
    subprocess.run(unpack, check=True)


def _installed(root: Path, folder: Path) -> Path:
    """Return the release that the bundle's installer makes in the root of a future board."""
    image = folder / "image"
    install = ["python3", "-B", "-m", "deploy", "--destdir", str(image), "install"]
    with timed("install from the bundle"):
        _succeed(command(root, folder, *install, cwd=folder / "bundle"))
    (release,) = (image / "opt/mien/releases").iterdir()
    return release


def _old_environment(root: Path, folder: Path, python: str) -> Path:
    """Return the Python of an environment with tflite-runtime, installed from wheels only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"]["edge-tflite-runtime"]
    download_wheels(folder / "old-wheels", "aarch64", python, wanted)
    interpreter = folder / "old/bin/python"
    offline = ["--no-index", f"--find-links={folder / 'old-wheels'}"]
    pip = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    with timed("install the extra edge-tflite-runtime"):
        _succeed(
            command(root, folder, "python3", "-m", "venv", str(interpreter.parents[1]), cwd=folder)
        )
        _succeed(command(root, folder, str(interpreter), *pip, *offline, *wanted, cwd=folder))
    return interpreter


def test_the_shipped_models_goldens_match(board: Board) -> None:
    with timed("goldens"):
        done = board.attempt("-c", GOLDENS)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"\n  {done.stdout.strip()}", end="")
    assert found["machine"] == "aarch64"
    assert found["python"].startswith(board.kind.python + ".")
    assert found["runtime"].startswith(board.kind.runtime)
    assert found["numpy"].startswith(board.kind.numpy)
    assert found["largest"] <= MAX_DIFFERENCE


def test_the_doctor_finds_the_model_well(board: Board) -> None:
    with timed("doctor"):
        done = board.attempt("-m", "edge_daemon", "doctor")
    print("\n" + done.stdout, end="")
    assert done.returncode != BROKEN_MODEL, done.stdout + done.stderr
    assert re.search(r"the same label on \d+ of \d+ faces, scores within", done.stdout)
    assert board.kind.runtime in done.stdout
    assert "Traceback" not in done.stderr


def test_the_daemon_runs_the_demo_for_a_minute(board: Board) -> None:
    with EmulatedDaemon(
        board.folder,
        *DEMO,
        config=board.code / "config.yaml",
        interpreter=board.python(),
    ) as daemon:
        with timed("start until it has a face"):
            daemon.until(lambda: daemon.state()["faces"])
        frames = list(_frames_of(daemon, RUN_S))
        state = daemon.state()
        print(f"\n  {frames[-1] - frames[0]} frames in {RUN_S:.0f} s", end="")
        print(f", {state['memory_mb']} MB, stages {state['stages_ms']}", end="")
        assert frames[-1] > frames[0]
        assert state["camera"]["state"] == "ok"
        assert daemon.get("/snapshot.jpg").startswith(b"\xff\xd8")
        daemon.until(lambda: [e for e in daemon.events() if e["type"] == "expression_start"])
        with timed("stop"):
            assert daemon.stop() == 0
    assert "Traceback" not in "\n".join(daemon.log)
    assert daemon.events()[-1]["type"] == "daemon_stop"


def _frames_of(daemon: Daemon, seconds: float) -> Iterator[int]:
    """Yield the number of processed frames now and every ten seconds."""
    began_s = time.monotonic()
    while True:
        yield daemon.state()["frames"]["processed"]
        if time.monotonic() > began_s + seconds:
            return
        time.sleep(10)
