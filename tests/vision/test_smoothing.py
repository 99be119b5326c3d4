"""Tests smoothing on made-up scores: no flicker, lasting changes count, doubt gives "uncertain"."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edge_daemon.config.sections import SmoothingConfig
from edge_daemon.core.types import UNCERTAIN, Scores
from edge_daemon.vision.smoothing import STALE_S, Smoother

LABELS = ("calm", "glad", "cross")
FRAME_S = 1 / 15


def scores(top: int, value: float = 0.9) -> Scores:
    rest = (1 - value) / 2
    out = np.full(3, rest, dtype=np.float32)
    out[top] = value
    return out


SETTING = SmoothingConfig(
    half_life_s=0.2, min_score=0.4, min_margin=0.1, hysteresis=0.0, dwell_s=0.5
)


def smoother(**changed: Any) -> Smoother:
    return Smoother(labels=LABELS, **(SETTING.model_dump(exclude={"calibration"}) | changed))


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
    assert subject.current(1, 0.0) is None
    assert subject.current(2, 0.0) is not None


def settled(subject: Smoother, given: Scores, *, start_s: float = 0.0) -> str:
    """Return the label after two seconds of `given`."""
    for number in range(30):
        reading = subject.update(1, given, start_s + number * FRAME_S)
    return reading.label


def test_a_frame_counts_by_its_weight() -> None:
    subject = smoother(half_life_s=10)
    subject.update(1, scores(1), 0.0, weight=0.9)
    blurred = subject.update(1, scores(2), FRAME_S, weight=0.1)
    assert np.argmax(blurred.scores) == 1
    sharp = subject.update(1, scores(2), 2 * FRAME_S, weight=0.9)
    assert np.argmax(sharp.scores) == 2


def test_the_mean_is_the_weighted_mean_of_the_logarithms() -> None:
    subject = smoother(half_life_s=1.0)
    frames = [(scores(0, 0.8), 0.0, 0.5), (scores(1, 0.6), 1.0, 1.0), (scores(2, 0.9), 1.5, 0.2)]
    for given, now_s, weight in frames:
        reading = subject.update(1, given, now_s, weight)
    shares = [weight * 0.5 ** (1.5 - now_s) for _, now_s, weight in frames]
    logs = [np.log(given.astype(np.float64)) for given, _, _ in frames]
    mean = np.exp(np.average(logs, axis=0, weights=shares))
    assert reading.scores == pytest.approx(tuple(mean / mean.sum()))


def test_a_frame_without_weight_is_no_error() -> None:
    reading = smoother().update(1, scores(1), 0.0, weight=0.0)
    assert np.argmax(reading.scores) == 1
    assert np.isfinite(reading.scores).all()


def test_two_frames_at_one_time_count_alike() -> None:
    subject = smoother()
    subject.update(1, scores(1), 0.0)
    reading = subject.update(1, scores(2), 0.0)
    assert reading.scores[1] == pytest.approx(reading.scores[2])


def even(first: int, second: int, lead: float) -> Scores:
    """Two classes with nearly all there is, `lead` apart."""
    out = np.full(3, 0.1, np.float32)
    out[first], out[second] = 0.45 + lead / 2, 0.45 - lead / 2
    return out


@pytest.mark.parametrize(("hysteresis", "expected"), [(0.0, "cross"), (0.2, "glad")])
def test_the_label_that_holds_yields_only_to_a_clear_lead(hysteresis: float, expected: str) -> None:
    subject = smoother(hysteresis=hysteresis, min_margin=0.0)
    assert settled(subject, scores(1)) == "glad"
    assert settled(subject, even(2, 1, lead=0.1), start_s=2) == expected
    assert settled(subject, even(2, 1, lead=0.5), start_s=4) == "cross"


@pytest.mark.parametrize(("hysteresis", "expected"), [(0.0, UNCERTAIN), (0.2, "glad")])
def test_and_does_not_turn_uncertain_at_once(hysteresis: float, expected: str) -> None:
    subject = smoother(hysteresis=hysteresis, min_margin=0.3)
    assert settled(subject, even(1, 2, lead=0.2)) == UNCERTAIN
    assert settled(subject, scores(1), start_s=2) == "glad"
    assert settled(subject, even(1, 2, lead=0.2), start_s=4) == expected
    assert settled(subject, even(1, 2, lead=0.0), start_s=6) == UNCERTAIN


def test_a_label_may_have_a_threshold_of_its_own() -> None:
    strict = {"cross": 0.8}
    assert settled(smoother(label_min_scores=strict), scores(2, 0.7)) == UNCERTAIN
    assert settled(smoother(label_min_scores=strict), scores(2, 0.9)) == "cross"
    assert settled(smoother(label_min_scores=strict), scores(1, 0.7)) == "glad"
    assert settled(smoother(label_min_scores={"cross": 0.2}), scores(2, 0.36)) == UNCERTAIN


def test_a_face_no_longer_scored_is_uncertain() -> None:
    subject = smoother()
    assert settled(subject, scores(1)) == "glad"
    scored_s = 29 * FRAME_S
    labels = []
    for number in range(60):
        reading = subject.current(1, scored_s + number * FRAME_S)
        assert reading is not None
        labels.append(reading.label)
    assert labels[0] == "glad"
    assert labels[-1] == UNCERTAIN
    assert labels.index(UNCERTAIN) * FRAME_S > STALE_S
