"""Tests the test suite: it loses no test, runs with SIGINT ignored, and shares its helpers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

TWICE = """
import pytest

class Twice(pytest.File):
    def collect(self):
        return [One.from_parent(self, name="same") for _ in range(2)]

class One(pytest.Item):
    def runtest(self):
        pass

def pytest_collect_file(file_path, parent):
    return Twice.from_parent(parent, path=file_path) if file_path.suffix == ".twice" else None
"""


def run_pytest(
    folder: Path, *words: str, ignored: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "support.completeness", *words],
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT / "tests"),
            "PATH": "/usr/bin:/bin",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the others take seconds to import
        },
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None,
    )


def test_a_run_that_loses_a_test_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(TWICE)
    (tmp_path / "a.twice").touch()
    lossy = run_pytest(tmp_path, "-n", "1")
    assert lossy.returncode == 1, lossy.stdout
    assert "1 tests were lost: they share a node id" in lossy.stdout
    assert run_pytest(tmp_path).returncode == 0


def test_a_whole_run_passes_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    whole = run_pytest(tmp_path, "-n", "1")
    assert whole.returncode == 0, whole.stdout
    assert "2 of 2 collected tests ran" in whole.stdout


def test_ctrl_c_reaches_the_programs_of_a_run_in_the_background(tmp_path: Path) -> None:
    child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    (tmp_path / "test_a.py").write_text(
        "import subprocess, sys\n"
        "def test_a():\n"
        f"    child = {child!r}\n"
        "    done = subprocess.run([sys.executable, '-c', child], capture_output=True)\n"
        "    assert done.stdout == b'True\\n'\n"
    )
    for words in ((), ("-n", "1")):
        done = run_pytest(tmp_path, *words, ignored=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("pattern", "where"),
    [
        (r"^def _?(?:wait_)?(?:until|for_)\(", "tests/support/waiting.py"),
        (r"cv2\.imdecode\(", "tests/support/pictures.py"),
        (r"[\[(][\"']angry[\"'], [\"']disgust[\"'], [\"']fear", "tests/support/labels.py"),
        (r"^(?:from|import) (?:test_|tests\.|\w+\.test_)", ""),
    ],
    ids=["waiting", "decoding", "labels", "imports of tests"],
)
def test_what_tests_share_exists_once(pattern: str, where: str) -> None:
    """The guard's own test calls the decoder to compare with it."""
    compares = "test_picture_headers.py"
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name != compares]
    users = {
        str(path.relative_to(ROOT)) for path in files if re.search(pattern, path.read_text(), re.M)
    }
    assert users - {"tests/docs/test_suite.py"} == ({where} if where else set())
