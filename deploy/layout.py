"""Where everything lies on a device, and what may keep it from being put there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAIN = "edge-daemon.service"
USER = "mien"


class DeployError(RuntimeError):
    """It cannot be done; one sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The places, all below `root`: "/", or a folder that is to become another machine's."""

    root: Path = Path("/")

    @property
    def staged(self) -> bool:
        """Whether this is not the running system."""
        return self.root != Path("/")

    @property
    def packaged(self) -> bool:
        """Whether dpkg brings what systemd and udev read, and takes it away."""
        return (self.root / "usr/lib/systemd/system" / MAIN).exists()

    @property
    def home(self) -> Path:
        return self.root / "opt/mien"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def current(self) -> Path:
        """The link to the release that runs."""
        return self.home / "current"

    @property
    def settings(self) -> Path:
        return self.root / "etc/mien"

    @property
    def config(self) -> Path:
        return self.settings / "config.yaml"

    @property
    def data(self) -> tuple[Path, ...]:
        """What the service makes for itself."""
        return tuple(self.root / name for name in ("var/lib/mien", "var/log/mien", "run/mien"))

    @property
    def system_files(self) -> dict[str, Path]:
        """What systemd and udev read: the name in `systemd/` of a release, and its place."""
        folder = self.root / ("usr/lib" if self.packaged else "etc")
        return {
            "edge-daemon.service": folder / "systemd/system/edge-daemon.service",
            "edge-daemon@.service": folder / "systemd/system/edge-daemon@.service",
            "mien-camera.target": folder / "systemd/system/mien-camera.target",
            "mien.sysusers": folder / "sysusers.d/mien.conf",
            "mien.tmpfiles": folder / "tmpfiles.d/mien.conf",
            "mien.rules": folder / "udev/rules.d/70-mien.rules",
        }

    def running_release(self) -> Path | None:
        """The release that `current` leads to, if there is one."""
        return self.current.resolve() if self.current.exists() else None


def run(words: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """What a command prints; DeployError with what it complained of where it fails."""
    try:
        done = subprocess.run(  # noqa: S603
            [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise DeployError(f"{words[0]} is not on this machine.") from error
    if done.returncode:
        reason = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise DeployError(f"`{' '.join(map(str, words))}` failed: {reason}")
    return done.stdout


def check_machine(layout: Layout) -> None:
    """Raises DeployError where the daemon may not be installed, or would not run."""
    if os.geteuid() and not layout.staged:
        raise DeployError("this takes root: put sudo before it.")
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise DeployError(f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version[:6]}.")
    if hidden := _home_of_somebody(Path(sys.base_prefix)):
        raise DeployError(
            f"{sys.executable} lies in {hidden}, which the service must not see; take the "
            "system's: PYTHON=/usr/bin/python3."
        )


def check_systemd(layout: Layout) -> None:
    """Raises DeployError where there is no systemd to run a service by."""
    if not layout.staged and not Path("/run/systemd/system").is_dir():
        raise DeployError("this machine was not booted with systemd; `make run` needs none.")
    if shutil.which("systemctl") is None:
        raise DeployError("systemctl is not on this machine.")


def _home_of_somebody(path: Path) -> Path | None:
    return next((p for p in map(Path, ("/home", "/root", "/tmp")) if path.is_relative_to(p)), None)  # noqa: S108
