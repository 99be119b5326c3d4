"""Fixtures that several test files need."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from support.completeness import pytest_configure  # noqa: F401 - a hook of this file
from support.paths import CHROMIUM_FLAGS, ROOT, data_dir

if TYPE_CHECKING:
    from train.dataset import Split

# Files with the fixtures of one subject; one that imports another follows it.
pytest_plugins = [
    "support.clips",
    "support.classify",
    "support.http_camera",
    "support.publisher",
    "support.reload_site",
]

settings.register_profile("tests", deadline=None, database=None)
settings.register_profile("fuzz", parent=settings.get_profile("tests"), max_examples=20_000)
settings.load_profile("tests")


def pytest_collection_finish() -> None:
    """Exempt all that was imported from garbage collection.

    A web server collects garbage when it ends, and hundreds end here in a process that contains
    TensorFlow. Walking its objects took 0.3 s of processor time each.
    """
    gc.collect()
    gc.freeze()


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        pytest.skip(f"NOT TESTED: {what} is not at {path}; set MIEN_DATA to the data's folder")
    return path


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """Return the folder of real clips."""
    return _existing(data_dir() / "media", "the folder of clips")


@pytest.fixture(scope="session")
def fer2013_dir() -> Path:
    """Return the folder of fer2013.csv.xz."""
    return _existing(data_dir() / "fer2013", "FER2013")


@pytest.fixture(scope="session")
def fer2013(fer2013_dir: Path) -> dict[str, Split]:
    """Return FER2013, which is read once."""
    from train.dataset import read_dataset

    return read_dataset(fer2013_dir)


@pytest.fixture(scope="session")
def blazeface_dir() -> Path:
    """Return the folder of models, which contains the BlazeFace files."""
    file = ROOT / "models" / "face_detection_full_range_sparse.tflite"
    if not file.exists():
        pytest.skip(f"NOT TESTED: {file} is missing; run `python models/fetch_blazeface.py`")
    return file.parent


@pytest.fixture(scope="session")
def shipped_model() -> Path:
    """Return the path of the expression model of this repository."""
    return ROOT / "models" / "expression.tflite"


@pytest.fixture(scope="session")
def export_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export folder, as `train` writes it, with a tiny trained network."""
    from support.stripes import write_export

    folder = tmp_path_factory.mktemp("exports") / "stripes"
    write_export(folder)
    return folder


@pytest.fixture(scope="session")
def converted(export_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the int8 model of `export_dir`; its folder has the other variants and the reports."""
    from convert.__main__ import main

    target = tmp_path_factory.mktemp("models") / "stripes.tflite"
    without = ["--tflite-runtime", str(target.parent / "python")]  # this file does not exist
    assert main([str(export_dir), "-o", str(target), "--variants", "all", *without]) == 0
    return target


@pytest.fixture
def broken_dir(export_dir: Path, tmp_path: Path) -> Path:
    """Return a copy of the export, which a test may damage."""
    return Path(shutil.copytree(export_dir, tmp_path / "broken"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield the root of a new file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with tflite-runtime 2.14.0 and NumPy 1.26."""
    made = ROOT / ".venv" / "tflite-runtime" / "bin" / "python"
    if made.exists():
        return made
    base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if base is None:
        pytest.skip("NOT TESTED: tflite-runtime 2.14.0 needs Python 3.11, which is not here")
    folder = tmp_path_factory.mktemp("tflite-runtime")
    python = folder / "bin" / "python"
    for command in (
        [base, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "tflite-runtime==2.14.0", "numpy==1.26.4"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"NOT TESTED: no environment with tflite-runtime: {done.stderr[-300:]}")
    return python


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Yield a headless browser; each test opens its own pages."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="NOT TESTED: the page needs `pip install playwright`"
    )
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("NOT TESTED: the page needs chromium on the PATH")
    with playwright.sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
