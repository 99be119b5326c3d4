"""Model updates as a part of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from edge_daemon.config.schema import Config
from edge_daemon.core.parts import Apply, Metric, Part, gauges, nothing_to_apply
from edge_daemon.core.threads import JOIN_S, Stop, Worker
from edge_daemon.core.types import Progress
from edge_daemon.updates.build import build_updater
from edge_daemon.updates.guard import ModelGuard

if TYPE_CHECKING:
    from edge_daemon.updates.updater import Updater


class UpdatesPart(Part[Config]):
    """Fetches newer models if a publisher is configured, and calls `use` to switch to them.

    `running` returns the file of the model in use, `progress` the pipeline's progress. Raises
    UpdatesUnavailable.
    """

    name = "updates"

    def __init__(
        self,
        config: Config,
        *,
        guard: ModelGuard,
        running: Callable[[], Path],
        progress: Callable[[], Progress],
        use: Callable[[Path], None],
        stop: Stop,
    ) -> None:
        def build(config: Config, own_stop: Stop) -> Updater | None:
            if not config.models.url:
                return None
            return build_updater(
                config, guard=guard, running=running, progress=progress, use=use, stop=own_stop
            )

        self._build, self._daemon_stop = build, stop
        self._settings = config.models
        self._own_stop = Stop()  # of this updater; a reload may replace it
        self._updater = build(config, self._own_stop)
        self._worker: Worker | None = None

    def start(self) -> None:
        if self._updater is not None:
            self._worker = Worker("updates", self._updater.run, self._daemon_stop.fail)
            self._worker.start()

    def stop(self) -> None:
        self._own_stop.failure = self._daemon_stop.failure
        self._own_stop.request()
        if self._worker is not None:
            self._worker.join(JOIN_S)

    def report(self) -> dict[str, Any]:
        return {"update": asdict(self._updater.status) if self._updater else None}

    def metrics(self) -> Iterable[Metric]:
        if self._updater is None:
            return []
        from edge_daemon.updates.updater import UpdateState  # noqa: PLC0415 (it needs an extra)

        state = self._updater.status.state
        states = [(each, float(each == state)) for each in get_args(UpdateState)]
        return [gauges("mien_update_state", "1 for the state of model updates.", "state", states)]

    def adopt(self, config: Config) -> Apply:
        """Start another updater if anything about the publisher has changed."""
        if config.models == self._settings:
            return nothing_to_apply
        own_stop = Stop()
        updater = self._build(config, own_stop)

        def apply() -> None:
            self.stop()
            self._settings, self._own_stop, self._updater = config.models, own_stop, updater
            self._worker = None
            self.start()

        return apply
