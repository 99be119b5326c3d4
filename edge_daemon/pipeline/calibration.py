"""Corrects scores by a face at rest.

A neutral face can look sad to the model, another one angry, because faces and the light on them
differ. While a neutral face is recorded, the logarithms of its scores are averaged. Later a bias is
added to every logarithm. It lowers the labels that scored higher than for a typical neutral face,
and raises "neutral". Other labels are never raised, because that would amplify noise.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.errors import reason_of
from edge_daemon.core.files import read_file, replace_file
from edge_daemon.core.types import Scores, rfc3339
from edge_daemon.vision.model_file import ModelFile
from edge_daemon.vision.smoothing import FLOOR

NEUTRAL: Final = "neutral"
REST_SHARE: Final = 0.7  # score of "neutral" for a typical neutral face; the others share the rest
MAX_BIAS: Final = 2.0  # changes odds by 7.4 at most, so that a clear expression keeps its label
HALF_SAMPLES: Final = 30  # with this many samples, the bias is half of what was measured
LEAST_SAMPLES: Final = 30
MAX_BYTES: Final = 100_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The correction learned from a face at rest; it contains no picture.

    `bias` is added to the logarithms of the scores of the model with the checksum `model`;
    `samples` is the number of classified frames that it was computed from.
    """

    model: str
    bias: Mapping[str, float]
    samples: int
    made_at: str


def rest_bias(mean_logs: Sequence[float], labels: Sequence[str], samples: int) -> dict[str, float]:
    """Return the bias for each of `labels`, from the mean logarithms of their scores at rest.

    With n `samples`, it is n ÷ (n + HALF_SAMPLES) times the measured excess, and at most MAX_BIAS.
    """
    logs = np.asarray(mean_logs, np.float64)
    logs = logs - np.log(np.exp(logs).sum())
    other = (1 - REST_SHARE) / max(len(labels) - 1, 1)
    trust = samples / (samples + HALF_SAMPLES)
    bias = {}
    for label, measured in zip(labels, logs.tolist(), strict=True):
        excess = measured - math.log(REST_SHARE if label == NEUTRAL else other)
        wanted = max(-excess, 0.0) if label == NEUTRAL else -max(excess, 0.0)
        bias[label] = round(trust * min(max(wanted, -MAX_BIAS), MAX_BIAS), 4) + 0.0  # no -0.0
    return bias


class _Recording:
    """The sums of a recording, which lasts `duration_s` from its first sample."""

    def __init__(self, duration_s: float, classes: int) -> None:
        self.duration_s = self.left_s = duration_s
        self.samples = 0
        self._started_s: float | None = None
        self._log_sum = np.zeros(classes)
        self._weight_sum = 0.0

    def add(self, scores: Scores, weight: float, now_s: float) -> bool:
        """Add a sample; return whether the recording is complete."""
        weight = max(weight, FLOOR)
        self._log_sum += weight * np.log(np.maximum(scores, FLOOR))
        self._weight_sum += weight
        self.samples += 1
        self._started_s = now_s if self._started_s is None else self._started_s
        self.left_s = max(self._started_s + self.duration_s - now_s, 0.0)
        return not self.left_s and self.samples >= LEAST_SAMPLES

    def mean_logs(self) -> list[float]:
        means: list[float] = (self._log_sum / self._weight_sum).tolist()
        return means


class Calibrator:
    """Records a face at rest, keeps the calibration in a file, and corrects scores by it.

    Without a file it does nothing. The pipeline's thread calls `add` and `corrected`; any thread
    may call the rest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: Path | None = None
        self._model: ModelFile | None = None
        self._recording: _Recording | None = None
        self._calibration: Calibration | None = None
        self._factors: NDArray[np.float64] | None = None
        self._trouble = ""

    @property
    def calibration(self) -> Calibration | None:
        """The calibration in use; None if there is none."""
        return self._calibration

    @property
    def trouble(self) -> str:
        """Why a recorded calibration is not used; "" if it is, or if there is none."""
        return self._trouble

    @property
    def is_recording(self) -> bool:
        """Whether a recording is being made."""
        return self._recording is not None

    def use(self, file: Path | None, model: ModelFile) -> None:
        """Use the calibration in `file`, if it was made with `model`.

        A recording continues only if file and model stay the same.
        """
        with self._lock:
            before, self._file, self._model = (self._file, self._model), file, model
            if before[0] != file or before[1] is None or before[1].sha256 != model.sha256:
                self._recording = None
            self._trouble = ""
            self._set(None)
            if file is not None and file.exists():
                self._load(file, model)

    def start(self, duration_s: float) -> None:
        """Record the largest face for `duration_s`, beginning with its first sample."""
        with self._lock:
            if self._model is not None:
                self._recording = _Recording(duration_s, len(self._model.labels))

    def remove(self) -> None:
        """Cancel the recording; if there is none, remove the calibration. Raises OSError."""
        with self._lock:
            if self._recording is not None:
                self._recording = None
                return
            if self._file is not None:
                self._file.unlink(missing_ok=True)
            self._set(None)
            self._trouble = ""

    def add(self, scores: Scores, weight: float, now_s: float) -> None:
        """Add the scores of a frame to the recording, if one is being made."""
        with self._lock:
            if self._recording is not None and self._recording.add(scores, weight, now_s):
                self._finish(self._recording)

    def corrected(self, scores: Scores) -> Scores:
        """Return `scores` with the bias added to their logarithms."""
        factors = self._factors
        if factors is None:
            return scores
        odds = scores * factors
        return np.asarray(odds / odds.sum(), np.float32)

    def report(self) -> dict[str, Any] | None:
        """Return the state for `/state`; None while it is off."""
        with self._lock:
            if self._file is None:
                return None
            recording, made = self._recording, self._calibration
            state = "recording" if recording else "active" if made else "none"
            return {
                "state": state,
                "left_s": round(recording.left_s, 1) if recording else None,
                "samples": recording.samples if recording else made.samples if made else 0,
                "bias": dict(made.bias) if made else {},
                "made_at": made.made_at if made else None,
                "trouble": self._trouble,
            }

    def _finish(self, recording: _Recording) -> None:
        if self._model is None or self._file is None:
            return
        self._recording = None
        bias = rest_bias(recording.mean_logs(), self._model.labels, recording.samples)
        now = rfc3339(datetime.now(UTC))
        made = Calibration(self._model.sha256, bias, recording.samples, now)
        try:
            content = json.dumps(asdict(made), indent=2) + "\n"
            replace_file(self._file, content.encode(), mode=0o640, sync=False)
        except OSError as error:
            self._trouble = f"{self._file}: cannot be written: {reason_of(error)}."
            log.warning("calibration: %s", self._trouble)
            return
        self._trouble = ""
        self._set(made)
        log.info("calibration: made from %d samples", made.samples)

    def _load(self, file: Path, model: ModelFile) -> None:
        try:
            values = json.loads(read_file(file, max_bytes=MAX_BYTES))
            made = Calibration(**values)
            fits = made.model == model.sha256 and set(made.bias) == set(model.labels)
            is_sane = all(abs(float(each)) <= MAX_BIAS for each in made.bias.values())
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            fits, is_sane = True, False
        if not is_sane:
            self._trouble = f"{file.name} cannot be read; record the face at rest again."
        elif not fits:
            self._trouble = "It was made with another model; record the face at rest again."
        else:
            self._set(made)
            return
        log.warning("calibration: %s", self._trouble)

    def _set(self, made: Calibration | None) -> None:
        self._calibration = made
        self._factors = None
        if made is not None and self._model is not None:
            self._factors = np.exp([made.bias[label] for label in self._model.labels])
