"""Switches the running parts to another configuration or model; a bad one changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from edge_daemon.config.schema import Config, changed, needs_restart, overridden, reloadable
from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.parts import Apply, Part
from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Command

log = logging.getLogger(__name__)

Signature = tuple[int, int, int]  # inode, time of the last change in ns, bytes


class FileWatch:
    """Reports a change of a file once, as soon as two checks in a row find it unchanged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._last = _signature(path)

    def changed(self) -> bool:
        """Check the file; return whether it has changed and settled."""
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


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A request to the main thread to set keys of the running configuration to other values.

    `store` is called when every part is prepared; if it raises an exception, the change is refused.
    `done` gets the result: None, or the exception that refused the change.
    """

    values: Mapping[str, object]
    store: Callable[[], None]
    done: Future[None] = field(default_factory=Future)


class Reloader:
    """Switches `parts` from `running` to another configuration.

    `load` reads the configuration. `model` is the file that is loaded again when it changes: the
    model of `running`, or its original if `running` uses a copy. A value that a command set wins
    over the file's, also after reloads, until one of `changes` sets the same key. An error while
    loading or preparing is logged and changes nothing.
    """

    def __init__(
        self,
        *,
        running: Config,
        load: Callable[[], Config],
        parts: Sequence[Part[Config]],
        commands: Backlog[Command],
        changes: SimpleQueue[ConfigChange],
        model: Path,
    ) -> None:
        self._running = running
        self._load, self._parts = load, parts
        self._commands, self._changes = commands, changes
        self._commanded: dict[str, object] = {}
        self._model_path, self._model = model, FileWatch(model)

    def reload(self) -> None:
        """Read the configuration again, and the model with it."""
        try:
            wanted = overridden(self._load(), self._commanded)
            config = reloadable(self._running, wanted)
            before, switch = self._running, self._prepared(config)
        except Exception as error:  # a file may contain anything
            _refuse(error)
            return
        switch()
        names = ", ".join(changed(before, config)) or "no key, only the contents of files"
        log.info("reloaded; changed: %s", names)
        for name in changed(config, wanted):
            log.warning("%s has changed, but needs a restart: %s", name, needs_restart(name))

    def run_commands(self) -> None:
        """Carry out the waiting commands; of several for one key, only the last."""
        wanted: dict[str, object] = {}
        while (command := self._commands.get(timeout_s=0)) is not None:
            wanted[command.key] = command.value
        for key, value in wanted.items():
            try:
                config = overridden(self._running, {key: value})
                if config == self._running:
                    continue
                switch = self._prepared(config)
            except Exception as error:  # a model file may contain anything
                log.warning("command refused: %s", _sentence(error))
                continue
            switch()
            log.info("%s was set to %s by a command", key, value)
            self._commanded[key] = value

    def run_changes(self) -> None:
        """Carry out the waiting changes, and report to each whether it was accepted."""
        with suppress(Empty):
            while True:
                self._change(self._changes.get_nowait())

    def _change(self, change: ConfigChange) -> None:
        if not change.done.set_running_or_notify_cancel():
            return
        try:
            config = overridden(self._running, change.values)
            before, switch = self._running, self._prepared(config)
            change.store()
        except Exception as error:  # parts, the disk and libraries raise different ones
            refused = error if isinstance(error, UserError) else UserError(_sentence(error))
            change.done.set_exception(refused)
            return
        switch()
        for key in change.values:
            self._commanded.pop(key, None)
        log.info("settings: changed: %s", ", ".join(changed(before, config)) or "nothing")
        change.done.set_result(None)

    def check_model(self) -> None:
        """Load the model again if its file has changed."""
        if not self._model.changed():
            return
        try:
            config = overridden(self._running, {"model": str(self._model_path)})
            switch = self._prepared(config)
        except Exception as error:  # a model file may contain anything
            _refuse(error)
            return
        switch()

    def _prepared(self, config: Config) -> Apply:
        """Have every part prepare for `config`; return the function that switches all of them."""
        switches = [part.adopt(config) for part in self._parts]

        def switch_all() -> None:
            for switch in switches:
                switch()
            if config.model not in {self._running.model, str(self._model_path)}:
                self._model_path, self._model = Path(config.model), FileWatch(Path(config.model))
            self._running = config

        return switch_all


def _refuse(error: Exception) -> None:
    for line in _sentence(error).splitlines():
        log.error("%s", line)
    log.error("reload refused; nothing has changed")


def _sentence(error: Exception) -> str:
    """Return the message of a UserError; for any other exception, its type and reason."""
    if isinstance(error, UserError):
        return str(error)
    return f"unexpected {type(error).__name__}: {reason_of(error)}"
