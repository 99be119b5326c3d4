"""Identities in made-up crowds: the tracker's pairing against the best pairing there is.

    python -m benchmarks.tracking        (writes benchmarks/tracking.md)

People walk to and fro and stop; the nearer hides the farther, detections are off by some pixels and
sometimes missing. "Lost" counts how often somebody goes on under another id, "swapped" how often
that id was somebody else's before. The optimum maximizes the sum of the fits of all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_daemon.core.types import Box, Detection
from edge_daemon.vision.tracker import Tracker

SCENES = 20
SECONDS = 30
MISS = 0.05  # of the detections
NOISE = 0.03  # of a detection's place and size, in face widths


class Crowd(NamedTuple):
    """How many people, frames a second, and how fast they walk, in face widths a second."""

    people: int
    fps: int
    speed: float


CROWDS = [Crowd(2, 15, 1), Crowd(2, 15, 2), Crowd(4, 15, 1), Crowd(4, 5, 1), Crowd(8, 15, 1)]


class BestSum(Tracker):
    """Pairs for the greatest sum of fits, what the Hungarian method finds; slow but plain."""

    def _assign(self, fits: Sequence[Sequence[float]]) -> dict[int, int]:
        # Fits lie above -5 or are -inf; what is added makes more pairs better than fewer.
        raised = [[10 + fit for fit in row] for row in fits]

        @cache
        def best(k: int, free: int) -> tuple[float, tuple[tuple[int, int], ...]]:
            if k == len(raised):
                return 0.0, ()
            options = [best(k + 1, free)]
            for d, fit in enumerate(raised[k]):
                if fit > 0 and free >> d & 1:
                    total, pairs = best(k + 1, free & ~(1 << d))
                    options.append((total + fit, ((k, d), *pairs)))
            return max(options)

        return dict(best(0, (1 << len(raised[0] if raised else ())) - 1)[1])


def scene(crowd: Crowd, seed: int) -> Iterator[dict[int, Detection]]:
    """Who is detected where, frame by frame; smaller numbers stand nearer to the camera."""
    rng = np.random.default_rng(seed)
    count = crowd.people
    widths = rng.uniform(50, 80, count)
    places = np.stack([rng.uniform(0, 640, count), rng.uniform(150, 250, count)], axis=1)
    velocities = np.zeros((count, 2))
    for _ in range(SECONDS * crowd.fps):
        turns = rng.random(count) < 0.3 / crowd.fps  # now and then somebody walks otherwise
        walks = rng.uniform(-crowd.speed, crowd.speed, count) * widths
        velocities[turns | ~velocities.any(axis=1), 0] = walks[turns | ~velocities.any(axis=1)]
        velocities[(places[:, 0] < 0) | (places[:, 0] > 640), 0] *= -1
        places += velocities / crowd.fps
        places[:, 0] = places[:, 0].clip(0, 640)
        boxes = [Box(x - w / 2, y - w / 2, w, w) for (x, y), w in zip(places, widths, strict=True)]
        yield {
            who: Detection(_noisy(box, rng), 0.9)
            for who, box in enumerate(boxes)
            if all(box.iou(nearer) < 0.25 for nearer in boxes[:who]) and rng.random() > MISS
        }


def _noisy(box: Box, rng: np.random.Generator) -> Box:
    dx, dy, dw = rng.normal(0, NOISE, 3) * box.w
    return Box(box.x + dx, box.y + dy, box.w + dw, box.w + dw)


def judge(tracker: Tracker, crowd: Crowd, seed: int) -> tuple[int, int]:
    """Return how often somebody's id was lost, and how often it had been somebody else's."""
    id_of: dict[int, int] = {}
    person_of: dict[int, int] = {}
    lost = swapped = 0
    for number, seen in enumerate(scene(crowd, seed)):
        who_at = {detection.box: who for who, detection in seen.items()}
        for track in tracker.update(list(seen.values()), number / crowd.fps):
            if not track.seen:
                continue
            who = who_at[track.box]
            lost += id_of.get(who, track.id) != track.id
            swapped += person_of.get(track.id, who) != who
            id_of[who], person_of[track.id] = track.id, who
    return lost, swapped


def judged(make: Callable[..., Tracker], crowd: Crowd) -> tuple[int, int]:
    """Return the sums over all scenes."""
    losses, swaps = zip(
        *(judge(make(confirm_hits=1), crowd, s) for s in range(SCENES)), strict=True
    )
    return sum(losses), sum(swaps)


def main() -> None:
    """Measure, print and write the table."""
    makers: list[Callable[..., Tracker]] = [Tracker, BestSum]
    rows = []
    for crowd in CROWDS:
        counts = [judged(make, crowd) for make in makers]
        cells = " | ".join(f"{lost} | {swapped}" for lost, swapped in counts)
        rows.append(f"| {crowd.people} | {crowd.fps} | {crowd.speed} | {cells} |")
        print(rows[-1], flush=True)
    note = (
        f"{SCENES} scenes of {SECONDS} s a row. Made by `python -m benchmarks.tracking`.\n\n"
        "| people | frames/s | widths/s | lost | swapped | lost, optimum | swapped, optimum |\n"
        "|---|---|---|---|---|---|---|"
    )
    (Path(__file__).parent / "tracking.md").write_text("\n".join([note, *rows]) + "\n")


if __name__ == "__main__":
    main()
