"""Paths of the files on a device, and the checks before an installation."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAIN = "edge-daemon.service"
USER = "mien"


class DeployError(RuntimeError):
    """The command cannot be done; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths, all below `root`: "/", or a folder that becomes the root of another machine."""

    root: Path = Path("/")

    @property
    def staged(self) -> bool:
        """Whether `root` is a folder instead of the running system."""
        return self.root != Path("/")

    @property
    def packaged(self) -> bool:
        """Whether dpkg installs and removes the files outside /opt/mien."""
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
        """The folders that the service writes to."""
        return tuple(self.root / name for name in ("var/lib/mien", "var/log/mien", "run/mien"))

    @property
    def system_files(self) -> dict[str, Path]:
        """The files outside /opt/mien: path in a release, and path on the machine."""
        folder = self.root / ("usr/lib" if self.packaged else "etc")
        local = self.root / ("usr" if self.packaged else "usr/local")
        return {
            "systemd/edge-daemon.service": folder / "systemd/system/edge-daemon.service",
            "systemd/edge-daemon@.service": folder / "systemd/system/edge-daemon@.service",
            "systemd/mien-camera.target": folder / "systemd/system/mien-camera.target",
            "systemd/mien.sysusers": folder / "sysusers.d/mien.conf",
            "systemd/mien.tmpfiles": folder / "tmpfiles.d/mien.conf",
            "systemd/mien.rules": folder / "udev/rules.d/70-mien.rules",
            "deploy/mien.sh": local / "bin/mien",
            "edge_daemon/share/man/mien.1": local / "share/man/man1/mien.1",
            "edge_daemon/share/bash/mien": local / "share/bash-completion/completions/mien",
            "edge_daemon/share/zsh/_mien": local / "share/zsh/site-functions/_mien",
            "edge_daemon/share/fish/mien.fish": local / "share/fish/vendor_completions.d/mien.fish",
        }

    def running_release(self) -> Path | None:
        """Return the release that `current` links to, if there is one."""
        return self.current.resolve() if self.current.exists() else None


def run(
    words: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    shown: bool = False,
) -> str:
    """Run a command and return what it prints. Raises DeployError with its error output.

    With `shown`, the command's output goes to this process's standard output; returns "".
    """
    try:
        done = subprocess.run(  # noqa: S603
            [str(word) for word in words],
            cwd=cwd,
            env=environment,
            stdout=None if shown else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise DeployError(f"{words[0]} is not installed on this machine.") from error
    if done.returncode:
        reason = (
            done.stderr.strip() or (done.stdout or "").strip() or f"exit code {done.returncode}"
        )
        raise DeployError(f"`{' '.join(map(str, words))}` failed: {reason}")
    return done.stdout or ""


def run_pip(words: Sequence[str | Path], **options: Any) -> None:
    """Run pip; shows its progress on a terminal only. Raises DeployError."""
    shown = sys.stdout.isatty()
    quiet = [] if shown else ["--quiet"]
    run([*words, "--disable-pip-version-check", *quiet], shown=shown, **options)


def check_machine(layout: Layout) -> None:
    """Raise DeployError if the daemon cannot be installed or would not run."""
    if os.geteuid() and not layout.staged:
        raise DeployError("root is needed; run the command with sudo.")
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise DeployError(
            f"{sys.executable} is Python {platform.python_version()}; Mien needs 3.11, 3.12 or "
            "3.13: name it with PYTHON=/usr/bin/python3.13."
        )
    if private := _private_folder(Path(sys.base_prefix)):
        raise DeployError(
            f"{sys.executable} is in {private}, which the service cannot read; use the system's "
            "Python: PYTHON=/usr/bin/python3."
        )


def check_systemd(layout: Layout) -> None:
    """Raise DeployError if systemd does not run."""
    if not layout.staged and not Path("/run/systemd/system").is_dir():
        raise DeployError("systemd does not run on this machine; use `make run` instead.")
    if shutil.which("systemctl") is None:
        raise DeployError("systemctl is not installed on this machine.")


def _private_folder(path: Path) -> Path | None:
    return next((p for p in map(Path, ("/home", "/root", "/tmp")) if path.is_relative_to(p)), None)  # noqa: S108
