"""Runs the daemon as a process to be measured."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.clips import ROOT

TRIES, PAUSE_S = 3000, 0.01


class Running(NamedTuple):
    """A daemon; `started_s` is the moment before its `exec` (`time.monotonic`)."""

    pid: int
    port: int
    started_s: float

    @property
    def stream(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream.mjpg"

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/state", timeout=10) as answer:
            return dict(json.load(answer))


@contextmanager
def daemon(
    settings: Mapping[str, object],
    folder: Path,
    python: Path = Path(sys.executable),
    checkout: Path = ROOT,
    *,
    wrapper: Sequence[str] = (),
    config: Path | None = None,
) -> Iterator[Running]:
    """A daemon that listens already; its events and its log go to `folder`.

    `wrapper` is a command that replaces itself by the one that follows it.
    """
    port = free_port()
    every = {"web.port": port, "events.path": folder / "events.jsonl", **settings}
    options = [word for key, value in every.items() for word in ("--set", f"{key}={value}")]
    options += ["--config", str(config)] if config else []
    with (folder / "daemon.log").open("w") as log:
        started_s = time.monotonic()
        child = subprocess.Popen(  # noqa: S603
            [*wrapper, str(python), "-m", "edge_daemon", "run", *options],
            cwd=checkout,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(checkout)},
        )
    try:
        wait_for(port)
        yield Running(child.pid, port, started_s)
    finally:
        child.terminate()
        child.wait()


def compile_modules(checkout: Path, python: Path) -> None:
    """Compile the daemon's modules, as its installation does; else each start may do it again."""
    words = [str(python), "-m", "compileall", "-q", "edge_daemon"]
    subprocess.run(words, cwd=checkout, check=True)  # noqa: S603


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until something listens on `port`; ends the program when nothing does for long."""
    for _ in range(TRIES):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(PAUSE_S)
        else:
            return
    raise SystemExit(f"nothing listens on port {port}")
