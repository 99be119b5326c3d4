"""Runs the daemon as a subprocess on port 0, reads it over HTTP, and always ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from support.paths import ROOT
from support.waiting import until

DEADLINE_S = 40.0
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")  # of a log line


class Daemon:
    """A running daemon; use it as a context manager."""

    deadline_s: ClassVar[float] = DEADLINE_S

    def __init__(
        self,
        folder: Path,
        *settings: str,
        python: tuple[str, ...] = (),
        config: Path = ROOT / "config.yaml",
        interpreter: Sequence[str] = (sys.executable,),
        options: Sequence[str] = (),
    ) -> None:
        self.events_path = folder / "events.jsonl"
        words = [f"events.path={self.events_path}", "web.port=0", *settings]
        options = [*options, *(word for setting in words for word in ("--set", setting))]
        start = python or ("-m", "edge_daemon")
        self.process = subprocess.Popen(
            [*interpreter, *start, "run", "--config", str(config), *options],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()

    def _collect(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.log += (TIME.sub("", line.rstrip()) for line in iter(lines.readline, ""))

    def until(self, met: Callable[[], Any]) -> Any:
        """Wait until `met` returns a true value; fails with the log if the daemon ends first."""

        def met_or_ended() -> Any:
            result = met()
            assert result or self.process.poll() is None, self._whole_log()
            return result

        return until(met_or_ended, timeout_s=self.deadline_s, describe=self._whole_log)

    def _whole_log(self) -> str:
        return "\n".join(["the log:", *self.log])

    @property
    def url(self) -> str:
        """The URL that the log shows, without the last slash."""
        found = self.until(lambda: re.search(r"watch: (http://\S+)/$", "\n".join(self.log), re.M))
        return str(found[1])

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=self.deadline_s) as answer:
            return bytes(answer.read())

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/state")))

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the log's complete lines."""
        if not self.events_path.exists():
            return []
        lines = self.events_path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def reload(self) -> str:
        """Send SIGHUP and return the line that reports the result."""
        before = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        done = re.compile(r"reloaded; |reload refused")
        return str(self.until(lambda: next(filter(done.search, self.log[before:]), "")))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(self.deadline_s)
        self._reader.join()
        return code


def jpegs(stream: Any) -> Iterator[bytes]:
    """Yield the pictures of a multipart/x-mixed-replace body, by each part's Content-Length."""
    while line := stream.readline():
        if not line.startswith(b"--"):
            continue
        headers = dict(iter(lambda: _header(stream), ("", "")))
        yield stream.read(int(headers["content-length"]))


def _header(stream: Any) -> tuple[str, str]:
    name, _, value = stream.readline().decode().strip().partition(":")
    return name.lower(), value.strip()
