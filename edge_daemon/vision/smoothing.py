"""Smooths a face's scores over time and keeps its label from flickering."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_daemon.core.types import UNCERTAIN, Scores

FLOOR = 1e-3  # lowest probability used, so that one frame cannot rule a class out
STALE_S = 2.0  # a face that was not classified for this long becomes uncertain


@dataclass(frozen=True, slots=True)
class SmoothedExpression:
    """A face's smoothed scores and label; `label` is "" until one has lasted the dwell time.

    `score` is the label's score, or the highest score while the label is "" or "uncertain".
    """

    label: str
    score: float
    scores: tuple[float, ...]
    since_s: float


@dataclass(slots=True)
class _FaceState:
    """One face's decayed sums of weighted log-probabilities and of weights, and its label."""

    log_sum: list[float]
    weight_sum: float
    mean: tuple[float, ...]  # as probabilities
    updated_s: float
    label: str
    since_s: float
    candidate: str
    candidate_since_s: float


class Smoother:
    """Averages every face's log-probabilities over time and chooses a stable label.

    A frame's weight halves every `half_life_s`. The label is the class with the highest score, or
    "uncertain" if that score is below `min_score` (or the class's entry in `label_min_scores`) or
    leads by less than `min_margin`. For these comparisons the current label's score is raised by
    `hysteresis`. A new label is adopted only after it has lasted `dwell_s`; a face's first label
    after `first_dwell_s`, if that is given.
    """

    def __init__(
        self,
        *,
        labels: Sequence[str],
        half_life_s: float,
        min_score: float,
        label_min_scores: Mapping[str, float],
        min_margin: float,
        hysteresis: float,
        dwell_s: float,
        first_dwell_s: float | None = None,
    ) -> None:
        self._labels = tuple(labels)
        self._half_life_s = half_life_s
        self._min_scores = [label_min_scores.get(label, min_score) for label in labels]
        self._min_margin = min_margin
        self._dwell_s = dwell_s
        self._first_dwell_s = dwell_s if first_dwell_s is None else first_dwell_s
        self._hysteresis = hysteresis
        self._states: dict[int, _FaceState] = {}

    def adopt(self, old: Smoother) -> None:
        """Take over the state of `old` if it has the same labels."""
        if old._labels == self._labels:
            self._states = old._states

    def update(
        self, face: int, scores: Scores, now_s: float, weight: float = 1.0
    ) -> SmoothedExpression:
        """Add the `scores` of a frame at `now_s`, with `weight`, to the face with id `face`."""
        state = self._states.get(face)
        if state is None:
            none = [0.0] * len(self._labels)
            state = self._states[face] = _FaceState(none, 0.0, (), now_s, "", now_s, "", now_s)
        decay = self._decay(now_s - state.updated_s)
        weight = max(weight, FLOOR)
        fresh = [math.log(max(score, FLOOR)) for score in scores.tolist()]
        state.log_sum = [
            decay * old + weight * new for old, new in zip(state.log_sum, fresh, strict=True)
        ]
        state.weight_sum = decay * state.weight_sum + weight
        state.updated_s = now_s
        state.mean = _probabilities([value / state.weight_sum for value in state.log_sum])
        self._adopt_label(state, self._choose_label(state), now_s)
        return self._smoothed(state)

    def current(self, face: int, now_s: float) -> SmoothedExpression | None:
        """Return the smoothed expression of `face` at `now_s`; None if it was never classified."""
        state = self._states.get(face)
        if state is None:
            return None
        if state.label and now_s - state.updated_s > STALE_S:
            self._adopt_label(state, UNCERTAIN, now_s)
        return self._smoothed(state)

    def keep_only(self, faces: Iterable[int]) -> None:
        """Discard every face that is not in `faces`."""
        alive = set(faces)
        self._states = {face: s for face, s in self._states.items() if face in alive}

    def _decay(self, age_s: float) -> float:
        return 0.5 ** (age_s / self._half_life_s) if self._half_life_s > 0 else 0.0

    def _choose_label(self, state: _FaceState) -> str:
        """Return the label that the smoothed scores support."""
        credited = list(state.mean)
        if state.label in self._labels:
            credited[self._labels.index(state.label)] += self._hysteresis
        second, first = sorted(credited)[-2:]
        top = credited.index(first)
        if first < self._min_scores[top] or first - second < self._min_margin:
            return UNCERTAIN
        return self._labels[top]

    def _adopt_label(self, state: _FaceState, name: str, now_s: float) -> None:
        """Make `name` the label once it has lasted the dwell time."""
        if name != state.candidate:
            state.candidate, state.candidate_since_s = name, now_s
        dwell_s = self._dwell_s if state.label else self._first_dwell_s
        if name != state.label and now_s - state.candidate_since_s >= dwell_s:
            state.label, state.since_s = name, now_s

    def _smoothed(self, state: _FaceState) -> SmoothedExpression:
        scores, label = state.mean, state.label
        score = scores[self._labels.index(label)] if label in self._labels else max(scores)
        return SmoothedExpression(label, score, scores, state.since_s)


def _probabilities(logs: Sequence[float]) -> tuple[float, ...]:
    most = max(logs)
    odds = [math.exp(value - most) for value in logs]
    total = sum(odds)
    return tuple(value / total for value in odds)
