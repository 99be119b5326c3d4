"""Boots a Debian container with systemd. It is made once; changes to it are discarded.

It needs root, systemd-nspawn (Debian's systemd-container), mmdebstrap and OverlayFS. The host's own
PID 1 can be anything. The container has no devices and can reach only this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support.machine import PATH, Machine

PACKAGES = "systemd,systemd-sysv,dbus,udev,python3,python3-venv,make,sudo,procps"
TOOLS = ("systemd-nspawn", "mmdebstrap", "nsenter", "ip")
NAME = "mien-test"
HOST, GUEST = "10.233.77.1", "10.233.77.2"
REBOOT = 133  # systemd-nspawn's exit code when the container reboots


def why_not() -> str:
    """Return why no container can be booted here, or ""."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid():
        return "booting a container takes root"
    return f"{', '.join(missing)} not found (apt install systemd-container mmdebstrap)" * bool(
        missing
    )


def debian(folder: Path, release: str = "bookworm") -> Path:
    """Return the root of a small Debian in `folder`, made by mmdebstrap once.

    Raises CannotBoot if it cannot be made.
    """
    root = folder / release
    if not root.exists():
        partial = folder / f"{release}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        make = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
        made = [*make, f"--include={PACKAGES}", release, str(partial)]
        done = subprocess.run(made, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotBoot(done.stderr)
        partial.rename(root)
    return root


class CannotBoot(RuntimeError):
    """The container does not boot on this machine; carries its console output."""


class Container(Machine):
    """A booted container on a copy-on-write view of `base`; use it as a context manager.

    `folder` holds the changes until then.
    """

    def __init__(self, base: Path, folder: Path) -> None:
        self.root = folder / "root"
        self._folder = folder
        for name in ("root", "upper", "work"):
            (folder / name).mkdir()
        layers = f"lowerdir={base},upperdir={folder}/upper,workdir={folder}/work"
        mount = ["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)]
        if done := subprocess.run(mount, capture_output=True, text=True, check=False).stderr:
            raise CannotBoot(done)
        (self.root / "etc/hostname").write_text("camera\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 camera\n")
        (self.root / "etc/systemd/system/timers.target").symlink_to("/dev/null")  # daily backups
        self._log = (folder / "console.log").open("wb")
        self._boots = 0
        self._nspawn = self._boot()
        self._keeper = threading.Thread(target=self._boot_again, daemon=True)
        self._keeper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._nspawn.terminate()  # asks systemd to halt
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
        self._keeper.join(30)
        self._log.close()
        subprocess.run(["umount", "--lazy", str(self.root)], check=True)

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._inside(), "--", "env", "-i", f"PATH={PATH}", *words],
            capture_output=True,
            text=True,
            check=False,
        )

    def url(self, port: int = 8080) -> str:
        return f"http://{GUEST}:{port}"

    def until_booted(self) -> float:
        def booted() -> bool:
            if self._nspawn.poll() not in {None, REBOOT}:
                raise CannotBoot((self._folder / "console.log").read_text()[-2000:])
            state = self.attempt("systemctl", "is-system-running").stdout.strip()
            return state in {"running", "degraded"}

        took_s = self.until(booted, "systemd has booted")
        self.connect()
        return took_s

    def reboot(self) -> float:
        boots = self._boots
        self.attempt("systemctl", "reboot")
        return self.until(lambda: self._boots > boots, "it reboots") + self.until_booted()

    def connect(self) -> None:
        """Give both ends of the network link an address."""
        subprocess.run(["ip", "addr", "replace", f"{HOST}/24", "dev", f"ve-{NAME}"], check=True)
        subprocess.run(["ip", "link", "set", f"ve-{NAME}", "up"], check=True)
        inside = ["nsenter", "--target", self._leader(), "--net", "ip"]
        subprocess.run([*inside, "addr", "replace", f"{GUEST}/24", "dev", "host0"], check=True)
        subprocess.run([*inside, "link", "set", "host0", "up"], check=True)

    def _boot(self) -> subprocess.Popen[bytes]:
        flags = ["--register=no", "--keep-unit", "--boot", "--console=pipe", "--link-journal=no"]
        flags += ["--resolv-conf=off", "--timezone=off", "--network-veth", "--quiet"]
        return subprocess.Popen(
            ["systemd-nspawn", f"--directory={self.root}", f"--machine={NAME}", *flags],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def _boot_again(self) -> None:
        while self._nspawn.wait() == REBOOT:
            self._nspawn = self._boot()
            self._boots += 1

    def _leader(self) -> str:
        """Return the process id of the container's init on this machine, or ""."""
        pid = self._nspawn.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return ""
        return children[0] if children else ""

    def _inside(self) -> Sequence[str]:
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
        return ("nsenter", "--target", self._leader() or "0", *spaces)
