"""Model updates: a publisher's address polled, a signed model in, one that works in use out."""

from __future__ import annotations

import logging
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

from edge_daemon.interpreter import ModelError, RuntimeUnavailable
from edge_daemon.manifest import Manifest, UpdateRefused, verified
from edge_daemon.model_store import ModelStore
from edge_daemon.update_status import UpdateStatus
from edge_daemon.vitals import Vitals

TIMEOUT_S: Final = 30.0
MANIFEST_BYTES: Final = 10_000
LOOK_S: Final = 1.0
UNWELL_LOOKS: Final = 10  # in a row, and the update is taken back

log = logging.getLogger(__name__)


class Updater:
    """Looks every `every_s` whether `url` has a newer model; `run` is the body of its thread.

    A model is used by `use` once it is what `public` signed, newer than any seen, and `prove` does
    not raise ModelError. It is kept in `store` if the daemon stays well for `probation_s`; where
    the vitals say for ten looks in a row that it is not, the model before is used again. A daemon
    that dies meanwhile starts with the model before: the new one is not kept yet.
    """

    def __init__(
        self,
        *,
        url: str,
        public: bytes,
        store: ModelStore,
        running: Callable[[], Path],
        prove: Callable[[Path], object],
        use: Callable[[Path], None],
        vitals: Callable[[], Vitals],
        every_s: float,
        probation_s: float,
        stop: threading.Event,
    ) -> None:
        self._url, self._public, self._store = url, public, store
        self._running, self._prove, self._use, self._vitals = running, prove, use, vitals
        self._every_s, self._probation_s, self._stop = every_s, probation_s, stop
        self.status = UpdateStatus()

    def run(self) -> None:
        """Look now, and then ever again, until told to stop."""
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._every_s)

    def look(self) -> None:
        """Fetch and try what is new; what is wrong with it goes to the log, once."""
        try:
            signed = _fetch(self._url, MANIFEST_BYTES)
            manifest = verified(signed, self._public)
            if manifest.version <= (seen := self._store.seen):
                self._nothing_new(manifest.version, seen)
                return
            content = _fetch(urljoin(self._url, manifest.file), manifest.size)
            manifest.check(content)
            path = self._store.put(manifest, content)
            self._prove(path)
        except (UpdateRefused, ModelError, RuntimeUnavailable) as error:
            self._tell(UpdateStatus("refused", None, str(error)))
        except OSError as error:
            self._tell(UpdateStatus("failed", None, f"{self._url}: {error}"))
        else:
            self._try(path, manifest, signed)

    def _nothing_new(self, version: int, seen: int) -> None:
        """Raises UpdateRefused for a version that is older than the newest seen."""
        if version < seen:
            raise UpdateRefused(f"version {version} is older than {seen}, which was seen before")
        if self._store.kept_version == seen:
            self._tell(UpdateStatus("current", seen))
        elif self.status.state == "waiting":  # a daemon before this one has tried it
            self._tell(UpdateStatus("refused", seen, f"version {seen} was tried and not kept"))

    def _try(self, path: Path, manifest: Manifest, signed: bytes) -> None:
        """Put a model to work, and keep it or go back."""
        before, vitals = self._running(), self._vitals()
        self.status = UpdateStatus("trying", manifest.version)
        log.info("model update: version %d is tried", manifest.version)
        self._use(path)
        if self._stays_well(vitals):
            self._store.keep(manifest, signed)
            self._tell(UpdateStatus("current", manifest.version))
        elif not self._stop.is_set():
            self._use(before)
            reason = f"the daemon was not well with version {manifest.version}, which is taken back"
            self._tell(UpdateStatus("failed", manifest.version, reason))

    def _stays_well(self, vitals: Vitals) -> bool:
        """Whether it does through the probation; False if told to stop."""
        until_s, unwell = time.monotonic() + self._probation_s, 0
        while time.monotonic() < until_s:
            if self._stop.wait(min(LOOK_S, self._probation_s / (2 * UNWELL_LOOKS))):
                return False
            unwell = 0 if vitals.well() else unwell + 1
            if unwell >= UNWELL_LOOKS:
                return False
        return True

    def _tell(self, status: UpdateStatus) -> None:
        if status == self.status:
            return
        self.status = status
        if status.reason:
            log.warning("model update: %s", status.reason)
        else:
            log.info("model update: version %s is in use", status.version)


def _fetch(url: str, most_bytes: int) -> bytes:
    """What `url` answers; raises OSError, or UpdateRefused beyond `most_bytes`."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http(s), by schema
        content: bytes = answer.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UpdateRefused(f"{url} has more than {most_bytes:,} bytes")
    return content
