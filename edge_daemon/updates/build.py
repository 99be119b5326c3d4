"""Builds model updates from the configuration.

The library for signatures is an extra; it is imported only if updates are configured.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edge_daemon.config.schema import Config, overridden
from edge_daemon.core.errors import UserError
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Progress
from edge_daemon.updates.guard import ModelGuard
from edge_daemon.vision.interpreter import ModelError, RuntimeUnavailable
from edge_daemon.vision.model_file import read_model_file

if TYPE_CHECKING:
    from edge_daemon.updates.store import ModelStore
    from edge_daemon.updates.updater import Updater

log = logging.getLogger(__name__)


class UpdatesUnavailable(UserError):
    """The library for signatures is not installed; the message says what to do."""


def with_fetched_model(config: Config, guard: ModelGuard) -> Config:
    """Return `config` with the fetched model, if there is one that works; else `config`."""
    if not config.models.url:
        return config
    store = _store(config)
    from edge_daemon.updates.manifest import UpdateRefused  # noqa: PLC0415

    try:
        path = store.kept()
        if path is None:
            return config
        guard.check(read_model_file(path), config.runtime)
    except (UpdateRefused, ModelError, RuntimeUnavailable) as error:
        log.warning("model update: %s; %s is used instead", error, config.model)
        return config
    return overridden(config, {"model": str(path)})


def with_working_model(config: Config, guard: ModelGuard) -> Config:
    """Return `config`; if its model cannot be used, with the last good one. Raises UserError."""
    path = guard.working(Path(config.model), config.runtime)
    return overridden(config, {"model": str(path)}) if str(path) != config.model else config


def build_updater(
    config: Config,
    *,
    guard: ModelGuard,
    running: Callable[[], Path],
    progress: Callable[[], Progress],
    use: Callable[[Path], None],
    stop: Stop,
) -> Updater:
    """Build the updater, which fetches newer models. Raises UpdatesUnavailable."""
    models = config.models
    store = _store(config)
    from edge_daemon.updates.updater import Updater  # noqa: PLC0415

    return Updater(
        url=models.url,
        public=_public(config),
        store=store,
        running=running,
        verify=lambda path: guard.check(read_model_file(path), config.runtime),
        use=use,
        progress=progress,
        every_s=models.every_h * 3600,
        probation_s=models.probation_s,
        stop=stop,
    )


def _store(config: Config) -> ModelStore:
    if find_spec("cryptography") is None:
        raise UpdatesUnavailable(
            "models.url: updates need the package cryptography; "
            "pip install cryptography, or leave models.url empty."
        )
    from edge_daemon.updates.store import ModelStore  # noqa: PLC0415

    return ModelStore(Path(config.models.folder), _public(config))


def _public(config: Config) -> bytes:
    return base64.b64decode(config.models.key)
