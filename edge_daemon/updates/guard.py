"""Refuses models that do not work, and keeps a copy of the last one that did."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Final

from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.files import read_file, replace_file
from edge_daemon.vision.interpreter import MAX_MODEL_BYTES, runtime_name
from edge_daemon.vision.model_file import ModelFile, read_model_file
from edge_daemon.vision.probe import probe_model

MAX_RECORD_BYTES: Final = 10_000

log = logging.getLogger(__name__)


class ModelGuard:
    """Tries each new model in a child process, and keeps the one that worked last.

    The file `copy` is that model; `copy`.json names its checksum and runtime. With None, no copy is
    kept.
    """

    def __init__(self, copy: Path | None) -> None:
        self._copy = copy
        self._passed: set[tuple[str, str]] = set()  # SHA-256 and runtime

    def check(self, model: ModelFile, runtime: str) -> None:
        """Try `model` on `runtime` in a child process. Raises ModelError if it does not work.

        A model that has passed before, or is the last good one, is not tried again.
        """
        name = runtime_name(runtime)
        key = (model.sha256, name)
        if key in self._passed:
            return
        if self._recorded() != key:
            probe_model(model, runtime)
            self._keep(model.content, key)
        self._passed.add(key)

    def working(self, path: Path, runtime: str) -> Path:
        """Return `path`, or the last good model if the model at `path` cannot be used.

        Raises UserError if there is no good model, or if there is no file `path`.
        """
        try:
            self.check(read_model_file(path), runtime)
        except UserError as error:
            copy = self._copy
            if copy is None or not path.is_file() or not self._is_intact(copy):
                raise
            log.warning("%s", error)
            log.warning("the last model that worked is used instead: %s", copy)
            self.check(read_model_file(copy), runtime)
            return copy
        return path

    def _recorded(self) -> tuple[str, str] | None:
        """Return the SHA-256 and runtime of the copy, if there is one."""
        if self._copy is None:
            return None
        try:
            record = json.loads(read_file(self._record(self._copy), max_bytes=MAX_RECORD_BYTES))
            return str(record["sha256"]), str(record["runtime"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _is_intact(self, copy: Path) -> bool:
        recorded = self._recorded()
        try:
            content = read_file(copy, max_bytes=MAX_MODEL_BYTES)
        except OSError:
            return False
        return recorded is not None and hashlib.sha256(content).hexdigest() == recorded[0]

    def _keep(self, content: bytes, key: tuple[str, str]) -> None:
        """Write the copy and its record; if the disk fails, only log it."""
        if self._copy is None:
            return
        record = json.dumps({"sha256": key[0], "runtime": key[1]}).encode() + b"\n"
        try:
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._copy, content, mode=0o640)
            replace_file(self._record(self._copy), record, mode=0o640)
        except OSError as error:
            log.warning("%s: the model cannot be kept: %s", self._copy, reason_of(error))

    def _record(self, copy: Path) -> Path:
        return copy.with_name(f"{copy.name}.json")
