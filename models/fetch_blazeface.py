"""Fetch BlazeFace's TFLite file, which finds the faces, out of the mediapipe wheel on PyPI.

    python models/fetch_blazeface.py

MediaPipe's releases since 1.0 hold no model, so the wheel is 0.10.21's (Apache-2.0), whichever
Python and machine this runs on; it is read as an archive, never installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FILE = "face_detection_full_range_sparse.tflite"
SHA256 = "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
MEMBER = f"mediapipe/modules/face_detection/{FILE}"
DOWNLOAD = [
    *("download", "mediapipe==0.10.21", "--no-deps", "--only-binary=:all:"),
    *("--implementation=cp", "--python-version=3.11", "--abi=cp311"),
    *("--platform=manylinux_2_28_x86_64", "--disable-pip-version-check", "--quiet"),
]


def main() -> None:
    path = Path(__file__).with_name(FILE)
    if is_right(path):
        print(f"{path} is there already")
        return
    with tempfile.TemporaryDirectory() as folder:
        content = member_of(download_to(Path(folder)))
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{FILE} in the mediapipe wheel is not the file expected: its SHA-256 differs")
    write(path, content)
    print(f"wrote {path}")


def is_right(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def download_to(folder: Path) -> Path:
    """Let pip put the wheel into `folder`; exits with pip's reason where it cannot."""
    pip = [sys.executable, "-m", "pip", *DOWNLOAD, "--dest", str(folder)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        sys.exit(
            f"cannot fetch {FILE}: pip could not download mediapipe 0.10.21; "
            f"is this machine online? ({reason})"
        )
    return next(folder.glob("*.whl"))


def member_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(MEMBER)


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step, so that no half-written file ever stands there."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)


if __name__ == "__main__":
    main()
