"""Fetch BlazeFace's TFLite files, which find the faces, out of the mediapipe wheel on PyPI.

    python models/fetch_blazeface.py

MediaPipe's releases since 1.0 hold no model, so the wheel is 0.10.21's (Apache-2.0), whichever
Python and machine this runs on; it is read as an archive, never installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent
SHA256 = {
    "face_detection_full_range_sparse.tflite": (
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
    ),
    "face_detection_short_range.tflite": (
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
    ),
}
DOWNLOAD = [
    *("download", "mediapipe==0.10.21", "--no-deps", "--only-binary=:all:"),
    *("--implementation=cp", "--python-version=3.11", "--abi=cp311"),
    *("--platform=manylinux_2_28_x86_64", "--disable-pip-version-check"),
]


def main() -> None:
    missing = [name for name in SHA256 if not is_right(FOLDER / name)]
    if not missing:
        print(f"{' and '.join(SHA256)} are there already")
        return
    with tempfile.TemporaryDirectory() as folder:
        wheel = download_to(Path(folder))
        for name in missing:
            write(FOLDER / name, member_of(wheel, name))
            print(f"wrote {FOLDER / name}")


def is_right(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[path.name]


def download_to(folder: Path) -> Path:
    """Let pip put the wheel into `folder`; exits with the reason where it cannot.

    A terminal shows pip's progress.
    """
    python = sys.executable
    if importlib.util.find_spec("pip") is None:  # Debian's own Python has only venv
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv/bin/python")
    pip = [python, "-m", "pip", *DOWNLOAD, "--dest", str(folder)]
    shown = sys.stdout.isatty()
    done = subprocess.run(  # noqa: S603
        [*pip, *([] if shown else ["--quiet"])],
        stdout=None if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        sys.exit(
            "cannot fetch BlazeFace: pip could not download mediapipe 0.10.21; "
            f"is this machine online? ({reason})"
        )
    return next(folder.glob("*.whl"))


def member_of(wheel: Path, name: str) -> bytes:
    """The file `name` in `wheel`; exits where it is not the one expected."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(f"mediapipe/modules/face_detection/{name}")
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        sys.exit(f"{name} in the mediapipe wheel is not the file expected: its SHA-256 differs")
    return content


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step, so that no half-written file ever stands there."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)


if __name__ == "__main__":
    main()
