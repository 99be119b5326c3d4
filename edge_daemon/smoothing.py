"""Steady expressions: a face's scores frame by frame in, one label that does not flicker out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_daemon.types import Scores

UNCERTAIN = "uncertain"
FLOOR = 1e-3  # the least probability a class counts with: one frame must not rule a class out


@dataclass(frozen=True, slots=True)
class Reading:
    """A face's smoothed expression; `label` is "" until one has lasted the dwell time.

    `score` is the label's, or the top class's while it is "" or "uncertain".
    """

    label: str
    score: float
    scores: tuple[float, ...]
    since_s: float


@dataclass(slots=True)
class _State:
    log_scores: np.ndarray
    updated_s: float
    label: str
    since_s: float
    candidate: str
    candidate_since_s: float


class Smoother:
    """Smooths every face's log-probabilities over time and holds labels against flicker.

    A frame's weight halves every `half_life_s`. The label is the top class, or "uncertain" where
    it scores under `min_score` or leads by less than `min_margin`. Another label counts only once
    it has lasted `dwell_s`.
    """

    def __init__(
        self,
        *,
        labels: Sequence[str],
        half_life_s: float,
        min_score: float,
        min_margin: float,
        dwell_s: float,
    ) -> None:
        self._labels = tuple(labels)
        self._half_life_s = half_life_s
        self._min_score, self._min_margin = min_score, min_margin
        self._dwell_s = dwell_s
        self._states: dict[int, _State] = {}

    def update(self, face: int, scores: Scores, now_s: float) -> Reading:
        """Take `scores` of the face with id `face` at `now_s` into account."""
        fresh = np.log(np.maximum(scores, FLOOR))
        state = self._states.get(face)
        if state is None:
            state = self._states[face] = _State(fresh, now_s, "", now_s, "", now_s)
        else:
            keep = self._keep(now_s - state.updated_s)
            state.log_scores = keep * state.log_scores + (1 - keep) * fresh
            state.updated_s = now_s
        mean = np.exp(state.log_scores - state.log_scores.max())
        mean /= mean.sum()
        self._settle(state, self._name(mean), now_s)
        return self._reading(state, mean)

    def last(self, face: int) -> Reading | None:
        """The reading of `face` as it stands, None if it was never scored."""
        state = self._states.get(face)
        if state is None:
            return None
        mean = np.exp(state.log_scores)
        return self._reading(state, mean / mean.sum())

    def keep_only(self, faces: Iterable[int]) -> None:
        """Forget every face that is not in `faces`."""
        alive = set(faces)
        self._states = {face: s for face, s in self._states.items() if face in alive}

    def _keep(self, age_s: float) -> float:
        return 0.5 ** (age_s / self._half_life_s) if self._half_life_s > 0 else 0.0

    def _name(self, mean: np.ndarray) -> str:
        second, first = np.sort(mean)[-2:]
        if first < self._min_score or first - second < self._min_margin:
            return UNCERTAIN
        return self._labels[int(mean.argmax())]

    def _settle(self, state: _State, name: str, now_s: float) -> None:
        if name != state.candidate:
            state.candidate, state.candidate_since_s = name, now_s
        if name != state.label and now_s - state.candidate_since_s >= self._dwell_s:
            state.label, state.since_s = name, now_s

    def _reading(self, state: _State, mean: np.ndarray) -> Reading:
        scores = tuple(float(s) for s in mean)
        named = dict(zip(self._labels, scores, strict=True))
        return Reading(state.label, named.get(state.label, max(scores)), scores, state.since_s)
