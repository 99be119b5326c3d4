"""What smoothing does to labels on real clips: how often they change, and how late.

    python -m benchmarks.label_changes        (writes benchmarks/label_changes.md)

The clips last seconds, so each face's scores are played forwards and backwards in turn, at 15
frames a second: for a minute to count changes, and for the delay ten seconds of one face are
followed by ten of another that shows something else. `MIEN_DATA` names the folder that holds
`media/` (default `../shared/data`).
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice, pairwise, permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_daemon.config.sections import SmoothingConfig
from edge_daemon.core.types import UNCERTAIN, ImageBgr, Scores
from edge_daemon.pipeline.pipeline import side_of
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector, build_detector
from edge_daemon.vision.model_file import read_model_file
from edge_daemon.vision.plan import Hint
from edge_daemon.vision.quality import weight_of
from edge_daemon.vision.smoothing import Smoother
from edge_daemon.vision.tracker import Tracker

REPO = Path(__file__).parents[1]
FPS = 15
MINUTE = 60 * FPS
HALF = 10 * FPS
DEFAULT = SmoothingConfig()
BARE = DEFAULT.model_copy(
    update={"half_life_s": 0.0, "dwell_s": 0.0, "hysteresis": 0.0, "min_margin": 0.0}
    | {"min_score": 0.0}
)
VARIANTS: dict[str, SmoothingConfig] = {
    "raw: each frame's top class": BARE,
    "only smoothed": BARE.model_copy(update={"half_life_s": DEFAULT.half_life_s}),
    "and uncertain where in doubt": DEFAULT.model_copy(update={"dwell_s": 0.0, "hysteresis": 0.0}),
    "and hysteresis": DEFAULT.model_copy(update={"dwell_s": 0.0}),
    "and dwell: the default": DEFAULT,
    "half the half-life": DEFAULT.model_copy(update={"half_life_s": DEFAULT.half_life_s / 2}),
    "twice the half-life": DEFAULT.model_copy(update={"half_life_s": DEFAULT.half_life_s * 2}),
    "half the dwell": DEFAULT.model_copy(update={"dwell_s": DEFAULT.dwell_s / 2}),
    "twice the dwell": DEFAULT.model_copy(update={"dwell_s": DEFAULT.dwell_s * 2}),
    "min_score 0.3": DEFAULT.model_copy(update={"min_score": 0.3}),
    "min_score 0.5": DEFAULT.model_copy(update={"min_score": 0.5}),
    "min_score 0.6": DEFAULT.model_copy(update={"min_score": 0.6}),
    "twice the hysteresis": DEFAULT.model_copy(update={"hysteresis": DEFAULT.hysteresis * 2}),
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A face in one frame, as the smoother hears of it."""

    scores: Scores
    weight: float


def faces_of(clip: Path, detector: Detector, classifier: Classifier) -> list[list[Shot]]:
    """Return the shots of every face of `clip`, by id."""
    tracker = Tracker()
    shots: dict[int, list[Shot]] = {}
    for number, bgr in enumerate(_frames(clip)):
        now_s = number / FPS
        hint = Hint(number, tracker.known(now_s), tracker.has_lost)
        for track in tracker.update(detector.detect(bgr, hint), now_s):
            if track.seen:
                face = classifier.crop(bgr, track.box, track.eyes)
                weight = weight_of(face, side_of(track) * classifier.model.crop.side)
                shot = Shot(classifier.score(face), weight)
                shots.setdefault(track.id, []).append(shot)
    return list(shots.values())


def _frames(clip: Path) -> Iterator[ImageBgr]:
    """Yield the frames of `clip` at about FPS."""
    video = cv2.VideoCapture(str(clip))
    step = max(round(video.get(cv2.CAP_PROP_FPS) / FPS), 1)
    number = 0
    while (read := video.read())[0]:
        if number % step == 0:
            yield np.asarray(read[1], np.uint8)
        number += 1


def played(shots: list[Shot], frames: int) -> list[Shot]:
    """`shots` forwards and backwards in turn, `frames` in all."""
    return list(islice(cycle([*shots, *shots[-2:0:-1]]), frames))


def shown(shots: list[Shot], labels: tuple[str, ...], setting: SmoothingConfig) -> list[str]:
    """Return the label after each of `shots`."""
    smoother = Smoother(labels=labels, **setting.model_dump(exclude={"calibration"}))
    return [
        smoother.update(1, shot.scores, number / FPS, shot.weight).label
        for number, shot in enumerate(shots)
    ]


def changes(labels: list[str]) -> int:
    """Count the changes of the label, without its first one."""
    return sum(a != b for a, b in pairwise(label for label in labels if label))


def delay_s(first: list[str], both: list[str]) -> float | None:
    """Return how long the second half of `both` takes to show its own label; None without one.

    Its own label is the one it settles on, if that is an expression and not the one of `first`.
    """
    after = both[HALF:]
    own = statistics.mode(after[HALF // 2 :])
    if own in {UNCERTAIN, "", statistics.mode(first[HALF // 2 : HALF])}:
        return None
    return after.index(own) / FPS


def measure(faces: list[list[Shot]], labels: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Label changes a minute and delays by variant."""
    result = {}
    for name, setting in VARIANTS.items():
        minutes = [shown(played(shots, MINUTE), labels, setting) for shots in faces]
        delays = []
        for a, b in permutations(range(len(faces)), 2):
            spliced = played(faces[a], HALF) + played(faces[b], HALF)
            delay = delay_s(minutes[a], shown(spliced, labels, setting))
            delays += [] if delay is None else [delay]
        result[name] = {
            "changes": statistics.mean(changes(minute) for minute in minutes),
            "uncertain": statistics.mean(minute.count(UNCERTAIN) for minute in minutes) / MINUTE,
            "delay": statistics.median(delays) if delays else float("nan"),
            "slowest": max(delays, default=float("nan")),
            "pairs": len(delays),
        }
    return result


def table(result: dict[str, dict[str, float]]) -> str:
    rows = [
        f"| {name} | {r['changes']:.1f} | {100 * r['uncertain']:.0f} % | {_seconds(r['delay'])} | "
        f"{_seconds(r['slowest'])} | {r['pairs']:.0f} |"
        for name, r in result.items()
    ]
    head = "| labels | changes a minute | uncertain | median delay s | slowest s | pairs |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _seconds(delay: float) -> str:
    """Return a delay, or a dash where no two faces settle on different expressions."""
    return "–" if math.isnan(delay) else f"{delay:.2f}"


def main() -> None:
    """Measure, print and write the table."""
    media = Path(os.environ.get("MIEN_DATA", REPO / "../shared/data")) / "media"
    clips = sorted([*media.glob("*.mkv"), *media.glob("*.mp4")])
    detector = build_detector("blazeface", models_dir=REPO / "models")
    classifier = Classifier(read_model_file(REPO / "models" / "expression.tflite"))
    faces = [shots for clip in clips for shots in faces_of(clip, detector, classifier)]
    result = measure(faces, classifier.model.labels)
    text = f"{_note(len(faces), len(clips))}\n\n{table(result)}"
    print(text)
    (Path(__file__).parent / "label_changes.md").write_text(text + "\n")


def _note(faces: int, clips: int) -> str:
    values: dict[str, Any] = DEFAULT.model_dump()
    default = ", ".join(f"{key} {value:g}" for key, value in values.items() if value)
    return (
        f"{faces} faces of {clips} clips, {FPS} frames a second, `expression.tflite`. Made by\n"
        f"`python -m benchmarks.label_changes`.\n\nDefault: {default}.\n\n"
        "The delay is from the moment one face takes the place of another to its own label; a\n"
        "pair counts where the two settle on different expressions."
    )


if __name__ == "__main__":
    main()
