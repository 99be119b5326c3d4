"""Checks the settings of model updates."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_daemon.doctor.account import user_name
from edge_daemon.doctor.finding import Finding, edit, ok, warning
from edge_daemon.doctor.machine import existing_folder
from edge_daemon.updates.fetch import FetchError, fetch
from edge_daemon.updates.manifest import MANIFEST_BYTES, UpdateRefused, verified
from edge_daemon.updates.store import ModelStore

RESTART: Final = "sudo systemctl restart edge-daemon  # fetches it again"


def examine_updates(url: str, public: bytes, folder: Path, config_file: Path) -> Iterator[Finding]:
    """Check the publisher's manifest and its signature, and whether a model can be stored."""
    if not os.access(existing_folder(folder), os.W_OK | os.X_OK):
        why = f"{user_name()} cannot write to {folder}, so no model can be stored"
        yield warning("updates", why, edit(config_file, "models.folder: /var/lib/mien/models"))
    store = ModelStore(folder, public)
    try:
        store.kept()
    except UpdateRefused as problem:
        yield warning("updates", f"{problem}; the configured model is used instead", RESTART)
    try:
        offered = verified(fetch(url, MANIFEST_BYTES), public).version
    except FetchError as problem:
        yield warning("updates", str(problem), f"curl -v {shlex.quote(url)}")
    except UpdateRefused as problem:
        remedy = edit(config_file, "models.key: the key that `mien sign` printed")
        yield warning("updates", f"{url}: {problem}", remedy)
    else:
        seen = f"version {store.newest_tried}" if store.newest_tried else "none"
        yield ok(
            "updates", f"the publisher offers version {offered}; the newest tried here is {seen}"
        )
