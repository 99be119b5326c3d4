"""Changes settings from the page: edits the configuration file, and has the daemon switch to it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, Final

from edge_daemon.config.edit import CANNOT, EditError, difference, edited
from edge_daemon.config.file import (
    MAX_BYTES,
    ConfigError,
    ConfigSource,
    decoded_file,
    typed_value,
)
from edge_daemon.config.form import editable_keys, settings_form
from edge_daemon.config.schema import overridden, value_of
from edge_daemon.core.errors import reason_of
from edge_daemon.core.files import read_file, replacing
from edge_daemon.reload import ConfigChange
from edge_daemon.web.settings import SettingsConflict, SettingsUnavailable

POLL_S: Final = 0.2  # how often a waiting change checks that the daemon still runs


class SettingsEditor:
    """Edits the configuration file of `source`.

    A change goes to `changes`, from which the main thread takes it, and is stored only once every
    part has accepted it. `stopping` is set when no more changes will be taken.
    """

    def __init__(
        self, source: ConfigSource, changes: SimpleQueue[ConfigChange], stopping: Event
    ) -> None:
        self._source, self._changes, self._stopping = source, changes, stopping

    def form(self) -> dict[str, Any]:
        """Return the settings with their values, and the version of their file.

        `trouble` says why they cannot be changed, "" if they can. Raises UserError.
        """
        path, content = self._read()
        config = self._source.parse(decoded_file(content, path))
        return {
            "file": path.name,
            "version": _version(content),
            "trouble": _write_trouble(path),
            "settings": [
                each | {"set_by": self._source.origin(each["key"])}
                for each in settings_form(config)
            ],
        }

    def change(
        self, version: str, values: Mapping[str, object], *, preview: bool
    ) -> dict[str, Any]:
        """Change the file and the running daemon; with `preview`, only compute the difference.

        Strings in `values` are parsed like those after `--set`. Returns the version after the
        change, and the lines that differ. Raises SettingsConflict if the file is no longer at
        `version`, and UserError if anything else refuses the change; then nothing has changed.
        """
        path, content = self._read()
        if _version(content) != version:
            raise _conflict(path)
        before = decoded_file(content, path)
        wanted = self._wanted(before, values)
        after = self._edited(path, before, wanted) if wanted else before
        new = after.encode() if after != before else content
        lines = difference(before, after, shown=editable_keys()) if new != content else ""
        if wanted and not preview:
            self._switch(ConfigChange(wanted, lambda: _replace(path, content, new)))
            version = _version(new)
        return {"version": version, "difference": lines}

    def _read(self) -> tuple[Path, bytes]:
        if self._source.path is None:
            raise SettingsUnavailable(
                "The daemon runs without a configuration file; start it with --config FILE."
            )
        path = self._source.path
        try:
            return path, read_file(path, max_bytes=MAX_BYTES)
        except OSError as error:
            raise SettingsUnavailable(f"{path}: cannot be read: {reason_of(error)}.") from error

    def _wanted(self, text: str, values: Mapping[str, object]) -> dict[str, object]:
        """Return those of `values` that differ from the file's; refuse what may not be changed."""
        config = self._source.parse(text)
        wanted: dict[str, object] = {}
        for key, given in values.items():
            if key not in editable_keys():
                raise ConfigError(f"{key} cannot be changed from the page.")
            if origin := self._source.origin(key):
                raise ConfigError(f"{key} is set by {origin}; change it there.")
            value = typed_value(key, given, key) if isinstance(given, str) else given
            if value != value_of(config, key):
                wanted[key] = value
        return wanted

    def _edited(self, path: Path, text: str, values: Mapping[str, object]) -> str:
        """Return `text` with `values`; refuse it if it is invalid or differs in anything else."""
        try:
            after = edited(text, values)
        except EditError as error:
            raise ConfigError(f"{path}: {error}.") from error
        if self._source.parse(after) != overridden(self._source.parse(text), values):
            raise ConfigError(f"{path}: {CANNOT}.")
        return after

    def _switch(self, change: ConfigChange) -> None:
        """Have the main thread switch, and wait for it. Raises what refused the change."""
        self._changes.put(change)
        while True:
            try:
                return change.done.result(POLL_S)
            except TimeoutError:
                if self._stopping.is_set() and change.done.cancel():
                    raise SettingsUnavailable("The daemon is stopping.") from None


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _conflict(path: Path) -> SettingsConflict:
    return SettingsConflict(f"{path} has changed since the settings were loaded; load them again.")


def _write_trouble(path: Path) -> str:
    """Return why `path` cannot be replaced and what to do about it, "" if it can."""
    folder = path.resolve().parent
    if os.access(folder, os.W_OK):
        return ""
    fix = "let the user that the daemon runs as write to this folder"
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        fix = "mount this folder writable"
        if "INVOCATION_ID" in os.environ:  # systemd's, whose unit protects the system's folders
            fix = (
                f"sudo systemctl edit edge-daemon, write the lines [Service] and "
                f"ReadWritePaths={folder}, and restart the service (docs/settings.md)"
            )
    return f"The daemon may not write to {folder}, so nothing can be changed; fix: {fix}."


def _replace(path: Path, old: bytes, new: bytes) -> None:
    """Replace the content `old` of the file by `new`. Raises SettingsConflict."""
    target = path.resolve()  # of a link, the file behind it is replaced
    try:
        if read_file(target, max_bytes=MAX_BYTES) != old:
            raise _conflict(path)
        if new != old:
            status = target.stat()
            with replacing(target, mode=0o600) as file:
                with suppress(PermissionError):  # only root may give a file away
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))  # whatever the umask is
                file.write(new)
    except OSError as error:
        raise SettingsUnavailable(f"{path}: cannot be written: {reason_of(error)}.") from error
