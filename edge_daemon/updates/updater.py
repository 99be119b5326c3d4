"""Model updates: a publisher's address polled, a signed model in, one that works in use out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

from edge_daemon.core.backoff import BackOff
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Progress
from edge_daemon.updates.fetch import FetchError, fetch
from edge_daemon.updates.manifest import MANIFEST_BYTES, Manifest, UpdateRefused, verified
from edge_daemon.updates.status import UpdateStatus
from edge_daemon.updates.store import ModelStore
from edge_daemon.updates.vitals import Vitals
from edge_daemon.vision.interpreter import ModelError, RuntimeUnavailable

RETRY_S: Final = 60.0  # after a failure, and longer each time
LOOK_S: Final = 1.0
UNWELL_LOOKS: Final = 10  # in a row, and the update is taken back
SETTLED_FRAMES: Final = 30  # after them it is known how well the daemon does
USE_S: Final = 60.0  # within which a model is put to work

log = logging.getLogger(__name__)


class Updater:
    """Looks every `every_s` whether `url` has a newer model; `run` is the body of its thread.

    A model is used by `use` once it is what `public` signed, newer than any seen, and `prove` does
    not raise ModelError; `running` then tells that it is. It is kept in `store` if the daemon stays
    well for `probation_s` in which there are frames; where it is not for ten looks in a row, the
    model before is used again. A daemon that dies meanwhile starts with the model before: the new
    one is not kept yet. One that is told to stop will try it again.
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
        progress: Callable[[], Progress],
        every_s: float,
        probation_s: float,
        stop: Stop,
        look_s: float = LOOK_S,
    ) -> None:
        self._url, self._public, self._store = url, public, store
        self._running, self._prove, self._use = running, prove, use
        self._progress = progress
        self._every_s, self._probation_s, self._look_s = every_s, probation_s, look_s
        self._stop = stop
        self.status = UpdateStatus()

    def run(self) -> None:
        """Look now, and then ever again, until told to stop."""
        retries = BackOff(first_s=min(RETRY_S, self._every_s), last_s=self._every_s)
        while not self._stop.event.is_set():
            self.look()
            if self.status.state == "failed":
                self._stop.event.wait(retries.next_s())
            else:
                retries.reset()
                self._stop.event.wait(self._every_s)

    def look(self) -> None:
        """Fetch and try what is new; what is wrong with it goes to the log, once."""
        try:
            self._look()
        except (UpdateRefused, ModelError, RuntimeUnavailable) as error:
            self._tell(UpdateStatus("refused", None, str(error)))
        except FetchError as error:
            self._tell(UpdateStatus("failed", None, str(error)))
        except OSError as error:
            self._tell(
                UpdateStatus("failed", None, f"models.folder, {self._store.folder}: {error}")
            )

    def _look(self) -> None:
        signed = fetch(self._url, MANIFEST_BYTES)
        manifest = verified(signed, self._public)
        if not self._is_new(manifest.version):
            return
        content = fetch(urljoin(self._url, manifest.file), manifest.size)
        manifest.check(content)
        if self._until(lambda: self._progress().frames >= SETTLED_FRAMES):
            self._try(manifest, signed, content)

    def _is_new(self, version: int) -> bool:
        """Whether it is to be tried. Raises UpdateRefused for one older than the newest seen."""
        seen = self._store.seen
        if version < seen:
            raise UpdateRefused(f"version {version} is older than {seen}, which was seen before")
        if version > seen or self._store.damaged:
            return True
        if self._store.kept() == self._running():
            self._tell(UpdateStatus("current", seen))
        elif self.status.state != "refused":  # a daemon before this one has tried it
            self._tell(UpdateStatus("refused", None, f"version {seen} was tried and did not work"))
        return False

    def _try(self, manifest: Manifest, signed: bytes, content: bytes) -> None:
        """Put a model to work, and keep it. Raises ModelError, UpdateRefused if back, OSError."""
        version, before, seen = manifest.version, self._running(), self._store.seen
        path = self._store.put(manifest, content)
        self._prove(path)
        vitals = Vitals(self._progress)
        self.status = UpdateStatus("trying", version)
        log.info("model update: version %d is tried", version)
        self._use(path)
        if self._until(lambda: self._running() == path, USE_S) and self._stays_well(vitals):
            self._store.keep(manifest, signed)
            self._tell(UpdateStatus("current", version))
        elif not self._stop.event.is_set():
            self._use(before)
            raise UpdateRefused(f"the daemon was not well with version {version}; taken back")
        elif self._stop.failure is None:
            self._store.see(seen)

    def _until(self, met: Callable[[], bool], within_s: float = float("inf")) -> bool:
        """Wait for `met`; False if it is not within `within_s`, or if told to stop."""
        until_s = time.monotonic() + within_s
        while not met():
            if self._stop.event.wait(self._look_s) or time.monotonic() > until_s:
                return False
        return True

    def _stays_well(self, vitals: Vitals) -> bool:
        """Whether it does through the probation; False if told to stop."""
        well_s, unwell = 0.0, 0
        while well_s < self._probation_s and unwell < UNWELL_LOOKS:
            if self._stop.event.wait(self._look_s):
                return False
            health = vitals.look()
            unwell = unwell + 1 if health == "unwell" else 0
            well_s += self._look_s * (health == "well")
        return unwell < UNWELL_LOOKS

    def _tell(self, status: UpdateStatus) -> None:
        if status == self.status:
            return
        self.status = status
        if status.reason:
            log.warning("model update: %s", status.reason)
        else:
            log.info("model update: version %s is in use", status.version)
