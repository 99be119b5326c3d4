"""The protocol of the daemon's parts, and the metrics they report.

`wiring.py` lists the parts in the order of their start. Whatever the daemon does with all of them
(start, stop, reload, `/state`, `/metrics`, `/healthz`) is a loop over that list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

ConfigT_contra = TypeVar("ConfigT_contra", contravariant=True)

Apply = Callable[[], None]


def nothing_to_apply() -> None:
    """Change nothing: the `Apply` of a part whose configuration is the same."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its samples: pairs of labels and a value.

    Several parts may report the same `name` with other labels.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"]
    samples: tuple[tuple[Mapping[str, str], float], ...]


class EventLogger(Protocol):
    """Logs an event of the daemon itself, at the time `at`."""

    def __call__(self, kind: str, at: datetime, **fields: Any) -> None: ...


class Part(Protocol[ConfigT_contra]):
    """A subsystem of the running daemon.

    Its constructor checks the configuration, but runs nothing before `start`. Subclasses define
    `start` and `stop`, and those of the other methods that apply to them.
    """

    name: str

    def start(self) -> None:
        """Start the part. Raises UserError if the user has to fix something first."""

    def stop(self) -> None:
        """Stop the part, within about a second; called once, after `start` has returned."""

    def report(self) -> Mapping[str, Any]:
        """Return the part's share of `/state`, as values for JSON.

        Mappings that several parts report under the same key are merged.
        """
        return {}

    def metrics(self) -> Iterable[Metric]:
        """Return the part's share of `/metrics`."""
        return ()

    def trouble(self) -> str:
        """Return why the part does not work, "" while it does; for `/healthz`."""
        return ""

    def adopt(self, config: ConfigT_contra) -> Apply:
        """Prepare to run with `config`; the function returned switches to it and never fails.

        Everything that can fail happens here and changes nothing: raises UserError.
        """
        return nothing_to_apply


def counter(name: str, help_text: str, value: float, **labels: str) -> Metric:
    """Return a counter with a single sample."""
    return Metric(name, help_text, "counter", ((labels, value),))


def gauge(name: str, help_text: str, value: float) -> Metric:
    """Return a gauge with a single sample and no labels."""
    return Metric(name, help_text, "gauge", (({}, float(value)),))


def counters(name: str, help_text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    """Return a counter with a sample for each value of `label`."""
    return Metric(name, help_text, "counter", tuple(({label: each}, v) for each, v in values))


def gauges(name: str, help_text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    """Return a gauge with a sample for each value of `label`."""
    return Metric(name, help_text, "gauge", tuple(({label: each}, v) for each, v in values))


def frames_dropped(count: int, reason: str) -> Metric:
    """Return the counter of frames dropped for `reason`; several parts report it."""
    help_text = "Frames that were not processed: a newer one came, throttling, or damage."
    return counter("mien_frames_dropped", help_text, count, reason=reason)


def info(name: str, help_text: str, /, **labels: str) -> Metric:
    """Return a gauge `name`_info that is always 1 and carries its facts as labels."""
    return Metric(f"{name}_info", help_text, "gauge", ((labels, 1.0),))
