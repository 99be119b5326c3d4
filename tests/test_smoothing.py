"""Smoothing on made-up scores: no flicker, a steady change counts, doubt is called doubt."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from edge_daemon.smoothing import UNCERTAIN, Smoother
from edge_daemon.types import Scores

LABELS = ("calm", "glad", "cross")
FRAME_S = 1 / 15


def scores(top: int, value: float = 0.9) -> Scores:
    rest = (1 - value) / 2
    out = np.full(3, rest, dtype=np.float32)
    out[top] = value
    return out


def smoother(half_life_s: float = 0.2) -> Smoother:
    return Smoother(
        labels=LABELS, half_life_s=half_life_s, min_score=0.4, min_margin=0.1, dwell_s=0.5
    )


def labels_of(tops: list[int], *, value: float = 0.9) -> list[str]:
    subject = smoother()
    return [subject.update(1, scores(t, value), i * FRAME_S).label for i, t in enumerate(tops)]


def test_the_first_label_comes_after_the_dwell_time() -> None:
    labels = labels_of([1] * 15)
    assert labels[0] == ""
    assert labels[-1] == "glad"
    assert labels.index("glad") * FRAME_S >= 0.5


def test_a_single_odd_frame_changes_nothing() -> None:
    tops = [1] * 30
    tops[15] = 2
    assert set(labels_of(tops)[10:]) == {"glad"}


def test_alternating_scores_do_not_flicker() -> None:
    labels = labels_of([0] * 20 + [1, 2] * 30)
    changes = sum(a != b for a, b in pairwise(labels[20:]))
    assert changes <= 2


def test_a_lasting_change_counts_once() -> None:
    labels = labels_of([1] * 20 + [2] * 30)
    steady = [label for label in dict.fromkeys(labels) if label and label != UNCERTAIN]
    assert steady == ["glad", "cross"]


def test_even_scores_are_uncertain() -> None:
    assert labels_of([1] * 20, value=0.36)[-1] == UNCERTAIN


def test_scores_sum_to_one_and_the_score_is_the_labels() -> None:
    subject = smoother()
    for i in range(15):
        subject.update(1, scores(1), i * FRAME_S)
    reading = subject.update(1, scores(2), 1.0)
    assert reading.label == "glad"
    assert reading.score == reading.scores[1]
    assert abs(sum(reading.scores) - 1) < 1e-6


def test_half_life_zero_takes_each_frame_as_it_is() -> None:
    subject = smoother(half_life_s=0)
    subject.update(1, scores(1), 0.0)
    assert np.argmax(subject.update(1, scores(2), FRAME_S).scores) == 2


def test_faces_are_apart_and_forgotten() -> None:
    subject = smoother()
    subject.update(1, scores(1), 0.0)
    subject.update(2, scores(2), 0.0)
    subject.keep_only([2])
    assert subject.last(1) is None
    assert subject.last(2) is not None
