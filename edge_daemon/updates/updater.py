"""Fetches signed models from a publisher, tries them and keeps those that work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urljoin

from edge_daemon.core.backoff import BackOff
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Progress
from edge_daemon.updates.fetch import FetchError, fetch
from edge_daemon.updates.health import PipelineHealth
from edge_daemon.updates.manifest import MANIFEST_BYTES, Manifest, UpdateRefused, verified
from edge_daemon.updates.store import ModelStore
from edge_daemon.vision.interpreter import ModelError, RuntimeUnavailable

RETRY_S: Final = 60.0  # the wait after the first failure; it grows with each further one
POLL_S: Final = 1.0
UNWELL_CHECKS: Final = 10  # after so many in a row the update is undone
SETTLED_FRAMES: Final = 30  # after so many frames the pipeline's speed is known
SWITCH_S: Final = 60.0  # how long the daemon may take to switch to a model

UpdateState = Literal["waiting", "current", "trying", "refused", "failed"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """The state of updates; `version` is the fetched model in use or on probation, if any.

    `reason` says why the newest model was "refused" or undone, or why the publisher or the disk
    "failed", which is tried again.
    """

    state: UpdateState = "waiting"
    version: int | None = None
    reason: str = ""


class Updater:
    """Checks every `every_s` whether `url` has a newer model; `run` is the body of its thread.

    A model is tried if it is signed with the key of `public`, newer than any tried before, and
    `verify` does not raise ModelError. `use` makes the daemon switch to it; `running` then returns
    its path. `store` keeps the model if the pipeline works well for `probation_s` with frames. If
    UNWELL_CHECKS in a row fail, the earlier model is used again. A daemon that crashes during the
    probation starts with the earlier model; one that was stopped tries the new model again.
    """

    def __init__(
        self,
        *,
        url: str,
        public: bytes,
        store: ModelStore,
        running: Callable[[], Path],
        verify: Callable[[Path], object],
        use: Callable[[Path], None],
        progress: Callable[[], Progress],
        every_s: float,
        probation_s: float,
        stop: Stop,
        poll_s: float = POLL_S,
    ) -> None:
        self._url, self._public, self._store = url, public, store
        self._running, self._verify, self._use = running, verify, use
        self._progress = progress
        self._every_s, self._probation_s, self._poll_s = every_s, probation_s, poll_s
        self._stop = stop
        self.status = UpdateStatus()

    def run(self) -> None:
        """Check now and then every `every_s`, until asked to stop."""
        retries = BackOff(first_s=min(RETRY_S, self._every_s), last_s=self._every_s)
        while not self._stop.event.is_set():
            self.check()
            if self.status.state == "failed":
                self._stop.event.wait(retries.next_s())
            else:
                retries.reset()
                self._stop.event.wait(self._every_s)

    def check(self) -> None:
        """Fetch and try a newer model; log a failure once."""
        try:
            self._check()
        except (UpdateRefused, ModelError, RuntimeUnavailable) as error:
            self._set_status(UpdateStatus("refused", None, str(error)))
        except FetchError as error:
            self._set_status(UpdateStatus("failed", None, str(error)))
        except OSError as error:
            reason = f"models.folder, {self._store.folder}: {error}"
            self._set_status(UpdateStatus("failed", None, reason))

    def _check(self) -> None:
        signed = fetch(self._url, MANIFEST_BYTES)
        manifest = verified(signed, self._public)
        if not self._is_new(manifest.version):
            return
        content = fetch(urljoin(self._url, manifest.file), manifest.size)
        manifest.check(content)
        if self._wait_until(lambda: self._progress().frames >= SETTLED_FRAMES):
            self._try(manifest, signed, content)

    def _is_new(self, version: int) -> bool:
        """Return whether to try `version`. Raises UpdateRefused if it is an older one."""
        tried = self._store.newest_tried
        if version < tried:
            raise UpdateRefused(f"version {version} is older than {tried}, which was seen before")
        if version > tried or self._store.is_damaged:
            return True
        if self._store.kept() == self._running():
            self._set_status(UpdateStatus("current", tried))
        elif self.status.state != "refused":  # an earlier daemon has tried it
            reason = f"version {tried} was tried and did not work"
            self._set_status(UpdateStatus("refused", None, reason))
        return False

    def _try(self, manifest: Manifest, signed: bytes, content: bytes) -> None:
        """Use a model, and keep it if the pipeline works well with it.

        Raises ModelError, UpdateRefused if the switch was undone, and OSError.
        """
        version, before, tried = manifest.version, self._running(), self._store.newest_tried
        path = self._store.put(manifest, content)
        self._verify(path)
        health = PipelineHealth(self._progress)
        self.status = UpdateStatus("trying", version)
        log.info("model update: trying version %d", version)
        self._use(path)
        if self._wait_until(lambda: self._running() == path, SWITCH_S) and self._stays_well(health):
            self._store.keep(manifest, signed)
            self._set_status(UpdateStatus("current", version))
        elif not self._stop.event.is_set():
            self._use(before)
            raise UpdateRefused(
                f"the daemon did not work well with version {version}; the earlier model is used"
            )
        elif self._stop.failure is None:
            self._store.set_newest_tried(tried)

    def _wait_until(self, met: Callable[[], bool], within_s: float = float("inf")) -> bool:
        """Wait until `met` returns True; False after `within_s`, or if asked to stop."""
        until_s = time.monotonic() + within_s
        while not met():
            if self._stop.event.wait(self._poll_s) or time.monotonic() > until_s:
                return False
        return True

    def _stays_well(self, health: PipelineHealth) -> bool:
        """Return whether the pipeline passes the probation; False if asked to stop."""
        well_s, unwell = 0.0, 0
        while well_s < self._probation_s and unwell < UNWELL_CHECKS:
            if self._stop.event.wait(self._poll_s):
                return False
            state = health.check()
            unwell = unwell + 1 if state == "unwell" else 0
            well_s += self._poll_s * (state == "well")
        return unwell < UNWELL_CHECKS

    def _set_status(self, status: UpdateStatus) -> None:
        if status == self.status:
            return
        self.status = status
        if status.reason:
            log.warning("model update: %s", status.reason)
        else:
            log.info("model update: version %s is in use", status.version)
