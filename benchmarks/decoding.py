"""Decoding video files: PyAV, which the daemon uses, beside OpenCV.

    python -m benchmarks.decoding

Writes benchmarks/decoding.md. Each reader decodes the sample clips to BGR on one thread, in a
process of its own, in turns; compare the ratios. The files that one of them gets wrong are made
from the demo scene.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import ROOT, clips

ROUNDS = 5
FRAMES, FPS = 24, 12
REPORT = ROOT / "benchmarks" / "decoding.md"
PACKAGES = {"PyAV": ["av"], "OpenCV": ["opencv-python-headless"]}

Frames = Iterator[tuple[NDArray[np.uint8], float]]


def by_pyav(path: Path) -> Frames:
    """Frames and their times, as the daemon reads them."""
    from edge_daemon.capture.sources import SourceError  # noqa: PLC0415
    from edge_daemon.capture.video import VideoFile  # noqa: PLC0415

    try:
        for image in VideoFile(path).frames():
            yield image.picture.bgr, image.time_s or 0.0
    except SourceError as error:
        print(f"PyAV: {error}", file=sys.stderr)


def by_opencv(path: Path) -> Frames:
    """Frames and their times by the nominal rate."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    fps, number = capture.get(cv2.CAP_PROP_FPS), 0
    while True:
        ok, bgr = capture.read()
        if not ok:
            return
        yield np.asarray(bgr, np.uint8), number / fps
        number += 1


READERS: dict[str, Callable[[Path], Frames]] = {"PyAV": by_pyav, "OpenCV": by_opencv}


def measure(reader: str, path: Path) -> dict[str, float]:
    """Processor milliseconds a frame, and the process's memory in MB, before and at its peak."""
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for _ in READERS[reader](path):  # the first pass loads the library
        pass
    began_s, count = time.process_time(), 0
    for _ in READERS[reader](path):
        count += 1
    spent_s = time.process_time() - began_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": 1000 * spent_s / count, "mb": peak_mb - before_mb}


def measured(reader: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.decoding", reader, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    return dict(json.loads(done.stdout))


def installed_mb(package: str) -> float:
    files = importlib.metadata.files(package) or []
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.exists()) / 1e6


def speed() -> Iterator[str]:
    yield "| clip | PyAV, ms a frame | OpenCV, ms a frame | ratio | PyAV, MB | OpenCV, MB |"
    yield "|---|---|---|---|---|---|"
    for clip in clips():
        found: dict[str, list[dict[str, float]]] = {reader: [] for reader in READERS}
        for _ in range(ROUNDS):
            for reader, results in found.items():
                results.append(measured(reader, clip))
        ms, mb = (
            {name: statistics.median(each[key] for each in found[name]) for name in READERS}
            for key in ("ms", "mb")
        )
        yield (
            f"| {clip.name} | {ms['PyAV']:.2f} | {ms['OpenCV']:.2f} "
            f"| {ms['PyAV'] / ms['OpenCV']:.2f} | {mb['PyAV']:.0f} | {mb['OpenCV']:.0f} |"
        )


def encoded(path: Path, pictures: list[NDArray[np.uint8]], codec: str, **options: str) -> Path:
    """Return the pictures as a video; `options` are the codec's."""
    import av  # noqa: PLC0415

    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for bgr in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(bgr, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def right_frames(reader: str, path: Path, pictures: list[NDArray[np.uint8]]) -> int:
    """Return how many frames look as they were encoded."""
    pairs = zip(READERS[reader](path), pictures, strict=False)
    return sum(np.abs(frame.astype(int) - sent).mean() < 8 for (frame, _), sent in pairs)


def kinds(folder: Path) -> Iterator[str]:
    from edge_daemon.capture.demo.scene import Demo  # noqa: PLC0415

    demo = Demo(320, 240)
    pictures = [demo.render(n / FPS) for n in range(FRAMES)]
    interlaced = {"flags": "+ildct+ilme"}
    whole = encoded(folder / "whole.mkv", pictures, "libx264")
    cut = folder / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    files = {
        "progressive H.264": whole,
        "interlaced H.264": encoded(folder / "i.mp4", pictures, "libx264", **interlaced),
        "interlaced MPEG-2": encoded(folder / "i.ts", pictures, "mpeg2video", **interlaced),
        "cut in half": cut,
    }
    yield f"| file of {FRAMES} frames | right frames, PyAV | right frames, OpenCV |"
    yield "|---|---|---|"
    for kind, path in files.items():
        found = [str(right_frames(reader, path, pictures)) for reader in READERS]
        yield f"| {kind} | {' | '.join(found)} |"


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
        return
    sizes = {name: sum(map(installed_mb, packages)) for name, packages in PACKAGES.items()}
    versions = {name: importlib.metadata.version(each[0]) for name, each in PACKAGES.items()}
    lines = [
        "Decoding to BGR on one thread; memory is what decoding adds to the process. Made by "
        "`python -m benchmarks.decoding`.",
        "",
        *(f"{name} {versions[name]}: {sizes[name]:.0f} MB installed.  " for name in READERS),
        "",
        *speed(),
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        lines += kinds(Path(folder))
    REPORT.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
