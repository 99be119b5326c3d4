"""Which faces are found, and what is taken for a face: Mien beside other ways.

    make bench-detection FACELESS=FOLDER        (half an hour; writes benchmarks/detection.md)

FACELESS holds pictures without faces; the committed figures are of the sample pictures in the
wheels of scikit-image and scikit-learn that show no person. Faces are composed from the clips and
the demo, and are FER2013's pictures as they are. `MIEN_DATA` names the folder that holds `media/`
and `fer2013/` (default `../shared/data`). A run that was interrupted resumes, while the code is the
same: what was measured is in benchmarks/out/detection.json.
"""

from __future__ import annotations

import csv
import hashlib
import json
import lzma
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks.clips import ROOT, clips, frames
from benchmarks.composites import (
    MODELS,
    Composite,
    Setting,
    Source,
    composites,
    demo_sources,
    groups,
    sources,
)
from benchmarks.detection_methods import LIVE, STILL, LiveCamera, Search, has, searches
from edge_daemon.core.types import Box, Detection, ImageBgr
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.vision.blazeface import BlazeFace, whole
from edge_daemon.vision.detector import BLAZEFACE_FILES, build_detector
from edge_daemon.vision.interpreter import Interpreter
from edge_daemon.vision.plan import around

COUNT = 80  # faces for a figure
EVERY = 4  # frames of the clips
PICTURES = 400  # of FER2013
VOTERS = 10  # of FER+
VGA = [Setting(px) for px in (25, 30, 35, 40, 60, 100, 200, 320, 400, 480)]
LARGE = [Setting(50, 1920, 1080), Setting(96, 1920, 1080), Setting(240, 4000, 3000)]
TILTS = [Setting(80, tilt=tilt) for tilt in (-60, -45, 45, 60, 90, 180, 270)]
LIGHT = [Setting(80, gain=gain) for gain in (0.3, 0.15, 0.1, 0.08)]
BORDERS = {"as they are": (0.0, 0), "gray border": (1.0, 128), "black border": (0.5, 0)}
ROOMS = {"640×480, faces of 35 px": (35, 320, 240), "640×480, faces of 60 px": (60, 320, 240),
         "1280×720, faces of 60 px": (60, 640, 360)}  # fmt: skip
PEOPLE = {"30 people, faces of 60 px in 1920×1440": (60, 6, 5, (320, 288))}
STORE = ROOT / "benchmarks" / "out" / "detection.json"

Figures = dict[str, float]
Measure = Callable[[], Figures]


class Detections:
    """Measures the rows of the tables; `methods` are what searches one picture, by name."""

    def __init__(self, faces: Sequence[Source], methods: Mapping[str, Search]) -> None:
        self._faces, self._methods = faces, methods
        self._live = LiveCamera()

    def recall(self, setting: Setting, *, live: bool) -> Figures:
        """Return the share of composed faces that each method finds, in percent."""
        return self._shares(composites(self._faces, setting, COUNT), live=live)

    def fer2013(self, folder: Path, border: float, value: int) -> Figures:
        """Return the share of FER2013's pictures in which each method finds the face."""
        px = round(48 * border)
        box = Box(px, px, 48, 48)
        padded = (np.pad(each, px, constant_values=value) for each in _fer2013(folder))
        bgr = (np.asarray(cv2.cvtColor(each, cv2.COLOR_GRAY2BGR), np.uint8) for each in padded)
        return self._shares((Composite(each, box, each) for each in bgr), live=False)

    def group(self, face_px: int, columns: int, rows: int, cell: tuple[int, int]) -> Figures:
        """Return how many people of a group each method finds: the mean of ten groups."""
        counts: dict[str, list[int]] = {name: [] for name in self._methods}
        for made in islice(groups(self._faces, face_px, columns, rows, cell), 10):
            for name, search in self._methods.items():
                found = search(made.bgr)
                counts[name].append(sum(has(found, face) for face in made.faces))
        return {name: statistics.mean(each) for name, each in counts.items()}

    def classroom(self, face_px: int, width: int, height: int) -> Figures:
        """Return the share of frames of four people in which all four are found."""
        rooms = list(islice(groups(self._faces, face_px, 2, 2, (width, height)), COUNT // 2))
        shown = [self._live.finds_all(room) for room in rooms]
        figures = {"Mien, live, all within 1 s": 100 * statistics.mean(shown)}
        for name, search in self._methods.items():
            found = [(search(room.bgr), room.faces) for room in rooms]
            all_found = [all(has(each, face) for face in faces) for each, faces in found]
            figures[name] = 100 * statistics.mean(all_found)
        return figures

    def false(self, pictures: Sequence[ImageBgr]) -> Figures:
        """Return the number of faceless pictures in which each method finds a face."""
        return {
            name: sum(bool(search(each)) for each in pictures)
            for name, search in self._methods.items()
        }

    def _shares(self, made: Iterator[Composite], *, live: bool) -> Figures:
        hits: dict[str, list[bool]] = {}
        for each in made:
            for name, search in self._methods.items():
                hits.setdefault(name, []).append(has(search(each.bgr), each.face))
                if live and name == STILL:
                    hits.setdefault(LIVE, []).append(self._live.finds(each))
        return {name: 100 * statistics.mean(every) for name, every in hits.items()}


def classroom_clip(scale: float) -> Figures:
    """Play four clips side by side; return the ids given, and how often all four are shown."""
    camera, counts = LiveCamera(), []
    ids: set[int] = set()
    each_clip = [islice(frames([path]), 0, 240, 2) for path in clips()[:4]]
    for one, two, three, four in zip(*each_clip, strict=False):
        tiled = np.vstack([np.hstack([one, two]), np.hstack([three, four])])
        bgr = cv2.resize(tiled, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        faces = camera.shown(encode_jpeg(np.asarray(bgr, np.uint8), quality=90))
        ids.update(face.id for face in faces)
        counts.append(len(faces))
    shown = 100 * statistics.mean(count == 4 for count in counts[15:])
    return {"ids given": len(ids), "% of frames with all four, after 1 s": shown}


def still_times(faces: Sequence[Source], width: int, height: int) -> Figures:
    """Measure what a thorough search of a still picture takes."""
    still = build_detector("blazeface", models_dir=MODELS, still=True)
    made = list(composites(faces, Setting(height // 5, width, height), 6))
    started_s = time.thread_time()
    for each in made:
        still.detect(each.bgr)
    return {"CPU ms": 1000 * (time.thread_time() - started_s) / len(made)}


def boxes(faces: Sequence[Source]) -> Figures:
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
    return {"to the right": dx, "below": dy, "times as wide": size}


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


def tables(pictures: Sequence[ImageBgr]) -> dict[str, dict[str, Measure]]:
    """Return what measures each row of each table."""
    data = Path(os.environ.get("MIEN_DATA", ROOT / "../shared/data"))
    of_clips = sources(EVERY)
    every = Detections([*of_clips, *demo_sources()], searches())
    return {
        "% found by size": {_name(each): partial(every.recall, each, live=True) for each in VGA},
        "% found by frame": {_name(each): partial(every.recall, each, live=True) for each in LARGE},
        "% found by tilt": {_name(each): partial(every.recall, each, live=False) for each in TILTS},
        "% found by light": {
            _name(each): partial(every.recall, each, live=False) for each in LIGHT
        },
        f"% of {PICTURES} FER2013 pictures": {
            name: partial(every.fer2013, data / "fer2013", *border)
            for name, border in BORDERS.items()
        },
        "people found": {name: partial(every.group, *each) for name, each in PEOPLE.items()},
        "% of four people all found": {
            name: partial(every.classroom, *room) for name, room in ROOMS.items()
        },
        "four clips side by side, live": {
            "1280×960, faces of 55 px": partial(classroom_clip, 1.0),
            "640×480, faces of 28 px": partial(classroom_clip, 0.5),
        },
        "pictures without a face, with a detection": {
            f"of {len(pictures)}": partial(every.false, pictures)
        },
        "a thorough search of a still picture": {
            f"{width}×{height}, one face": partial(still_times, of_clips, width, height)
            for width, height in ((320, 240), (640, 480), (1920, 1080), (4000, 3000))
        },
        "short-range boxes beside full-range boxes, in widths": {
            f"median of {len(of_clips)} faces": partial(boxes, of_clips)
        },
    }


def measured(work: Mapping[str, Mapping[str, Measure]]) -> dict[str, dict[str, Figures]]:
    """Measure all rows, but for those in STORE that the same code has measured."""
    code = _digest()
    stored = json.loads(STORE.read_text()) if STORE.is_file() else {}
    done = stored["tables"] if stored.get("code") == code else {}
    STORE.parent.mkdir(exist_ok=True)
    for table, rows in work.items():
        for name, measure in rows.items():
            row = done.setdefault(table, {})
            if name not in row:
                row[name] = measure()
                print(table, name, row[name], flush=True)
                STORE.write_text(json.dumps({"code": code, "tables": done}))
    return done


def markdown(title: str, rows: Mapping[str, Figures]) -> str:
    """Return one table."""
    digits = 3 if "boxes" in title else 0
    heads = list(next(iter(rows.values())))
    lines = [f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(f'{row[head]:.{digits}f}' for head in heads)} |")
    return "\n".join(lines)


def _digest() -> str:
    """Return what tells whether the same code has measured."""
    here = [
        ROOT / "benchmarks" / f"{name}.py"
        for name in ("detection", "detection_methods", "composites")
    ]
    files = [*sorted((ROOT / "edge_daemon" / "vision").glob("*.py")), *here]
    files += [ROOT / "edge_daemon" / "pipeline" / "pipeline.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _like(found: Sequence[Detection], face: Box) -> list[Detection]:
    return [each for each in found if each.box.iou(face) > 0.2]


def _name(setting: Setting) -> str:
    name = f"{setting.face_px} px in {setting.width}×{setting.height}"
    name += f", tilted {setting.tilt:g}°" if setting.tilt else ""
    return name + (f", brightness {setting.gain:g}" if setting.gain != 1 else "")


def _fer2013(folder: Path) -> Iterator[np.ndarray]:
    """Yield pictures of PublicTest that most of FER+'s voters do not call "not a face"."""
    with (
        lzma.open(folder / "fer2013.csv.xz", "rt", newline="") as file,
        (folder / "fer2013new.csv").open(newline="") as votes,
    ):
        rows = zip(csv.DictReader(file), csv.DictReader(votes), strict=True)
        of_test = (pair for pair in rows if pair[0]["Usage"] == "PublicTest")
        of_faces = (row for row, voted in of_test if int(voted["NF"]) <= VOTERS // 2)
        for row in islice(of_faces, 0, 8 * PICTURES - 7, 8):
            yield np.array(row["pixels"].split(), np.uint8).reshape(48, 48)


def main() -> None:
    """Measure what is missing, and write the tables."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m benchmarks.detection FOLDER_OF_FACELESS_PICTURES")
    cv2.setNumThreads(1)
    result = measured(tables(faceless(Path(sys.argv[1]))))
    note = (
        f"{COUNT} faces of the clips and the demo a figure, composed at that size, and {PICTURES}\n"
        "pictures of FER2013's PublicTest that FER+ calls faces. full-range alone and\n"
        "short-range alone are MediaPipe's files, decoded as MediaPipe does; MediaPipe's columns\n"
        "are its own FaceDetector with each file. Live figures are of the daemon's frame path at\n"
        "15 frames a second: after an empty scene the frame with the face comes again and again.\n"
        "Pictures without a face are the samples of scikit-image and scikit-learn without people:\n"
        "whole, upside-down and in quarters. Made by `make bench-detection`."
    )
    text = [note, *(markdown(title, rows) for title, rows in result.items())]
    (ROOT / "benchmarks" / "detection.md").write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
