"""A machine with the service, used by commands and over HTTP.

A subclass is a container or an emulated computer; its `attempt` runs a command there.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.waiting import until

UNIT = "edge-daemon"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Machine(ABC):
    """Runs commands as root; `deadline_s` is the longest wait."""

    deadline_s: float = 120.0
    token = ""  # for its web server

    @abstractmethod
    def attempt(self, *words: str) -> Any:
        """Run a command; return its subprocess.CompletedProcess[str], even if it fails."""

    @abstractmethod
    def url(self, port: int = 8080) -> str:
        """Return the address of its web server."""

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command and return its standard output; if it fails, fail with what was logged."""
        done = self.attempt(*words)
        failed = check and done.returncode != 0
        assert not failed, f"{words}: {done.stdout}{done.stderr}{self.recently_logged()}"
        return str(done.stdout)

    def shell(self, line: str, cwd: str = "/root") -> str:
        """Run a line in a shell."""
        return self.run("sh", "-e", "-c", f"cd {cwd}\n{line}")

    def until(self, met: Callable[[], Any], what: str) -> float:
        """Wait until `met` returns something true; return the seconds that took."""
        started_s = time.monotonic()
        until(
            met,
            timeout_s=self.deadline_s,
            describe=lambda: f"that {what}{self.recently_logged()}",
        )
        return time.monotonic() - started_s

    def show(self, name: str, unit: str = UNIT) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit=edge-daemon*")

    def recently_logged(self) -> str:
        """Return the last lines of the whole journal, for the message of a failure."""
        return f"\n{self.attempt('journalctl', '--no-pager', '--lines=40').stdout}"

    def get(self, path: str, token: str | None = None, port: int = 8080) -> Any:
        """Send a GET request."""
        request = urllib.request.Request(self.url(port) + path)
        if token := self.token if token is None else token:
            request.add_header("Authorization", f"Bearer {token}")
        return urllib.request.urlopen(request, timeout=10)

    def status(self, path: str, token: str | None = None) -> int:
        """Return the status of a GET request, 0 without an answer."""
        try:
            with self.get(path, token) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def state(self, port: int = 8080) -> dict[str, Any]:
        with self.get("/state", port=port) as answer:
            return dict(json.load(answer))

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = self.run("cat", "/var/log/mien/events.jsonl").splitlines()
        return [event for event in map(json.loads, lines) if event["type"] == kind]

    def serving(self) -> bool:
        return self.status("/healthz") == 200


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    started_s = time.monotonic()
    yield
    print(f"\n  {what}: {time.monotonic() - started_s:.1f} s", end="")
