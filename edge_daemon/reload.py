"""Reloads: another configuration, command or model file in, new stages beside the old ones out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from edge_daemon.config.schema import Config, Mistakes, changed, needs_restart, overridden, reloaded
from edge_daemon.core.errors import UserError
from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Command
from edge_daemon.pipeline.stages import Stages

log = logging.getLogger(__name__)

Signature = tuple[int, int, int]  # inode, time of the last change in ns, bytes


class FileWatch:
    """Says once that a file has become another, when two looks in a row found it the same."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._last = _signature(path)

    def changed(self) -> bool:
        """Look; whether the file is another one by now and has settled."""
        found = _signature(self._path)
        settled, self._last = found == self._last, found
        if not settled or found is None or found == self._known:
            return False
        self._known = found
        return True


def _signature(path: Path) -> Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


class Reloader:
    """Goes over to what `load` gives, or stays with what runs where anything is wrong with it.

    `build` makes the stages of a configuration and raises UserError if it cannot, as `load` does;
    `apply` puts them in use. What `commands` ask for holds over reloads, whatever the file says.
    """

    def __init__(
        self,
        *,
        running: Config,
        load: Callable[[], Config],
        build: Callable[[Config], Stages],
        apply: Callable[[Config, Stages], None],
        commands: Backlog[Command],
    ) -> None:
        self._running = running
        self._load, self._build, self._apply = load, build, apply
        self._commands = commands
        self._commanded: dict[str, object] = {}
        self._model = FileWatch(Path(running.model))

    def reload(self) -> None:
        """Read the configuration again, and the model with it."""
        try:
            wanted = overridden(self._load(), self._commanded)
            config = reloaded(self._running, wanted)
            stages = self._build(config)
        except UserError as error:
            self._refuse(error)
            return
        live, fixed = changed(self._running, config), changed(config, wanted)
        log.info("reloaded; changed: %s", ", ".join(live) or "nothing but what files hold")
        for name in filter(needs_restart, fixed):
            log.warning("%s has changed, but needs a restart", name)
        self._use(config, stages)

    def obey(self) -> None:
        """Do what has been commanded since."""
        while (command := self._commands.get(timeout_s=0)) is not None:
            try:
                config = overridden(self._running, {command.key: command.value})
                if config == self._running:
                    continue
                stages = self._build(config)
            except Mistakes as error:
                log.warning("command refused: %s", error.mistakes[0].reason)
            except UserError as error:
                self._refuse(error)
            else:
                log.info("commanded: %s is %s", command.key, command.value)
                self._commanded[command.key] = command.value
                self._use(config, stages)

    def look(self) -> None:
        """Load the model anew if its file has become another."""
        if not self._model.changed():
            return
        try:
            stages = self._build(self._running)
        except UserError as error:
            self._refuse(error)
            return
        self._use(self._running, stages)

    def _use(self, config: Config, stages: Stages) -> None:
        if config.model != self._running.model:
            self._model = FileWatch(Path(config.model))
        self._running = config
        self._apply(config, stages)
        model = stages.classifier.model
        log.info("model: %s (%s), sha256 %s", model.path, model.name, model.sha256[:12])

    def _refuse(self, error: Exception) -> None:
        for line in str(error).splitlines():
            log.error("%s", line)
        log.error("reload refused; all stays as it was")
