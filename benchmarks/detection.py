"""Which faces are found, and what is taken for a face: Mien beside its parts and Haar.

    python -m benchmarks.detection FOLDER        (writes benchmarks/detection.md)

FOLDER holds pictures without faces; the committed figures are of the sample pictures in the wheels
of scikit-image and scikit-learn that show no person. Faces are composed from the clips, and are
FER2013's pictures as they are. `MIEN_DATA` names the folder that holds `media/` and `fer2013/`
(default `../shared/data`).
"""

from __future__ import annotations

import csv
import lzma
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks.clips import ROOT
from benchmarks.composites import MODELS, Composite, Setting, Source, composites, is_found, sources
from edge_daemon.core.types import Box, Detection, ImageBgr
from edge_daemon.vision.blazeface import BlazeFace, whole
from edge_daemon.vision.detector import BLAZEFACE_FILES, Detector, HaarDetector, build_detector
from edge_daemon.vision.interpreter import Interpreter
from edge_daemon.vision.plan import Hint, around
from edge_daemon.vision.tracker import Tracker

COUNT = 20  # faces for a figure
MEMORY_PX = 130_000_000  # of one figure's frames at once
SEARCHES_HZ = 15
VGA = [Setting(px) for px in (25, 30, 40, 60, 100, 200, 320, 400, 480)]
LARGE = [
    Setting(50, 1920, 1080),
    Setting(96, 1920, 1080),
    Setting(240, 4000, 3000),
]
TILTS = [Setting(80, tilt=tilt) for tilt in (-60, -45, 45, 60, 90, 180, 270)]
LIGHT = [Setting(80, gain=gain) for gain in (0.3, 0.15, 0.1, 0.08)]
BORDERS = {"as they are": (0.0, 0), "gray border": (1.0, 128), "black border": (0.5, 0)}

Finder = Callable[[Composite], bool]


def finders() -> dict[str, Finder]:
    """Return the methods by name."""
    still = build_detector("blazeface", models_dir=MODELS, still=True)
    live = build_detector("blazeface", models_dir=MODELS)
    full = build_detector("blazeface", models_dir=MODELS, face_range="full")
    short = build_detector("blazeface", models_dir=MODELS, face_range="short")
    haar = HaarDetector()
    return {
        "Mien, stills": lambda made: is_found(still, made),
        "Mien, live, shown within 1 s": lambda made: is_shown(live, made),
        "full-range alone": lambda made: is_found(full, made),
        "short-range alone": lambda made: is_found(short, made),
        "Haar": lambda made: is_found(haar, made),
    }


def is_shown(detector: Detector, made: Composite) -> bool:
    """Return whether a face that appears now is a track within a second."""
    tracker = Tracker()
    for turn in range(SEARCHES_HZ):
        now_s = turn / SEARCHES_HZ
        hint = Hint(turn, tracker.known(now_s), tracker.has_lost)
        tracks = tracker.update(detector.detect(made.bgr, hint), now_s)
        if any(track.box.iou(made.face) > 0.3 for track in tracks):
            return True
    return False


def recall_table(title: str, rows: dict[str, list[Composite]], found_by: dict[str, Finder]) -> str:
    """Measure the share of faces found by each method, as Markdown."""
    lines = [f"| {title} | {' | '.join(found_by)} |", "|---" * (len(found_by) + 1) + "|"]
    for name, made in rows.items():
        shares = [100 * statistics.mean(map(finder, made)) for finder in found_by.values()]
        lines.append(f"| {name} | {' | '.join(f'{share:.0f}' for share in shares)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def rows_of(faces: Sequence[Source], settings: Sequence[Setting]) -> dict[str, list[Composite]]:
    """Compose the rows of a table."""
    counts = [min(COUNT, MEMORY_PX // (each.width * each.height)) for each in settings]
    return {
        _name(each): list(composites(faces, each, count))
        for each, count in zip(settings, counts, strict=True)
    }


def fer2013_rows(path: Path) -> dict[str, list[Composite]]:
    """Return pictures of FER2013's PublicTest with and without borders."""
    rows: dict[str, list[Composite]] = {}
    pictures = list(islice(_fer2013(path), 0, None, 36))
    for name, (border, value) in BORDERS.items():
        px = round(48 * border)
        rows[name] = [
            Composite(
                np.asarray(
                    cv2.cvtColor(np.pad(each, px, constant_values=value), cv2.COLOR_GRAY2BGR),
                    np.uint8,
                ),
                Box(px, px, 48, 48),
            )
            for each in pictures
        ]
    return rows


def false_table(pictures: Sequence[ImageBgr]) -> str:
    """Count the faceless pictures in which each detector finds a face."""
    still = build_detector("blazeface", models_dir=MODELS, still=True)
    full = build_detector("blazeface", models_dir=MODELS, face_range="full")
    short = build_detector("blazeface", models_dir=MODELS, face_range="short")
    methods = {
        "Mien, stills": still.detect,
        "full-range alone": full.detect,
        "short-range alone": short.detect,
        "Haar": HaarDetector().detect,
    }
    lines = [f"| {len(pictures)} pictures without a face | with a detection |", "|---|---|"]
    for name, detect in methods.items():
        lines.append(f"| {name} | {sum(bool(detect(each)) for each in pictures)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def faceless(folder: Path) -> list[ImageBgr]:
    """Read the pictures of `folder`: each whole, upside-down, and in quarters."""
    found = []
    for path in sorted(folder.rglob("*")):
        bgr = cv2.imread(str(path)) if path.suffix.lower() in {".png", ".jpg", ".jpeg"} else None
        if bgr is not None:
            height, width = bgr.shape[0] // 2, bgr.shape[1] // 2
            quarters = [bgr[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
            found += [bgr, bgr[::-1], *(each for each in quarters if min(each.shape[:2]) >= 64)]
    if not found:
        raise SystemExit(f"{folder} holds no picture")
    return [np.ascontiguousarray(each, np.uint8) for each in found]


def time_table(faces: Sequence[Source]) -> str:
    """Measure what a thorough search of a still picture takes."""
    still = build_detector("blazeface", models_dir=MODELS, still=True)
    lines = ["| still picture | CPU ms |", "|---|---|"]
    for width, height in ((320, 240), (640, 480), (1920, 1080), (4000, 3000)):
        made = list(composites(faces, Setting(height // 5, width, height), 6))
        started_s = time.thread_time()
        for each in made:
            still.detect(each.bgr)
        took_ms = 1000 * (time.thread_time() - started_s) / len(made)
        lines.append(f"| {width}×{height}, one face | {took_ms:.0f} |")
    return "\n".join(lines)


def box_table(faces: Sequence[Source]) -> str:
    """Compare short-range boxes in regions around faces with full-range boxes of the frame."""
    full, short = (BlazeFace(Interpreter(MODELS / file)) for file in BLAZEFACE_FILES.values())
    rows = []
    for source in faces:
        wide = _like(full.search(source.bgr, whole(source.bgr)), source.face)
        near = _like(short.search(source.bgr, around(source.face, factor=3.0)), source.face)
        if wide and near:
            one, other = near[0].box, wide[0].box
            dx, dy = one.center.x - other.center.x, one.center.y - other.center.y
            rows.append((dx / other.w, dy / other.w, one.w / other.w))
    dx, dy, size = np.median(rows, axis=0)
    return (
        f"Short-range boxes are {size:.3f} times as wide as full-range ones, and their centers lie "
        f"{dx:+.3f} to the right and {dy:+.3f} below, in widths (medians of {len(rows)} faces)."
    )


def _like(found: Sequence[Detection], face: Box) -> list[Detection]:
    return [each for each in found if each.box.iou(face) > 0.2]


def _name(setting: Setting) -> str:
    name = f"{setting.face_px} px in {setting.width}×{setting.height}"
    name += f", tilted {setting.tilt:g}°" if setting.tilt else ""
    return name + (f", brightness {setting.gain:g}" if setting.gain != 1 else "")


def _fer2013(path: Path) -> Iterator[np.ndarray]:
    with lzma.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            if row["Usage"] == "PublicTest":
                yield np.array(row["pixels"].split(), np.uint8).reshape(48, 48)


def main() -> None:
    """Measure, print and write the tables."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m benchmarks.detection FOLDER_OF_FACELESS_PICTURES")
    cv2.setNumThreads(1)
    data = Path(os.environ.get("MIEN_DATA", ROOT / "../shared/data"))
    faces, found_by = sources(), finders()
    without_haar = {name: finder for name, finder in found_by.items() if name != "Haar"}
    still_only = {name: each for name, each in found_by.items() if "live" not in name}
    tables = [
        recall_table("% found by size", rows_of(faces, VGA), found_by),
        recall_table("% found by frame", rows_of(faces, LARGE), without_haar),
        recall_table("% found by tilt", rows_of(faces, TILTS), still_only),
        recall_table("% found by light", rows_of(faces, LIGHT), still_only),
        recall_table(
            "% of FER2013 pictures", fer2013_rows(data / "fer2013" / "fer2013.csv.xz"), still_only
        ),
        false_table(faceless(Path(sys.argv[1]))),
        time_table(faces),
        box_table(faces),
    ]
    note = (
        f"{COUNT} faces of the clips a figure (10 in the largest frames), composed at that size,\n"
        "and 100 pictures of FER2013's PublicTest. The single networks are MediaPipe's files,\n"
        "decoded as MediaPipe does. Made by `python -m benchmarks.detection FOLDER`; FOLDER held\n"
        "the sample pictures of scikit-image and scikit-learn without people, each whole,\n"
        "upside-down and in quarters."
    )
    (Path(__file__).parent / "detection.md").write_text("\n\n".join([note, *tables]) + "\n")


if __name__ == "__main__":
    main()
