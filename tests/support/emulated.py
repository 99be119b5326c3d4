"""Runs programs of a Debian for arm64 under QEMU's user-mode emulation.

It needs root, mmdebstrap, unshare and Debian's qemu-user-static. The Debian is unpacked, not
booted: its programs use the network and kernel of this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PACKAGES = (
    "base-files,systemd,python3,python3-venv,dash,coreutils,ca-certificates,libstdc++6,tzdata"
)
TOOLS = ("mmdebstrap", "unshare", "qemu-aarch64-static")
# How the kernel recognizes an arm64 program, and the path of the emulator. F opens the emulator at
# once, so that it is also found below another root.
BINFMT = Path("/proc/sys/fs/binfmt_misc")
MAGIC = r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00\xb7\x00"
MASK = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"
# The emulator's default, with pointer authentication, is many times slower.
CPU = "cortex-a72"
ENTER = """
root=$0 folder=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
exec env -i "$@"
"""


class CannotEmulate(RuntimeError):
    """Programs for arm64 cannot run on this machine; carries the reason."""


def why_not() -> str:
    """Return why arm64 cannot be emulated here, or ""."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid():
        return "emulating arm64 takes root"
    return f"{', '.join(missing)} not found (apt install mmdebstrap qemu-user-static)" * bool(
        missing
    )


def register() -> None:
    """Register the emulator for arm64 programs, as installing qemu-user-static does with systemd.

    Raises CannotEmulate if the kernel refuses.
    """
    try:
        if not (BINFMT / "register").exists():
            mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
            subprocess.run(mount, check=True, capture_output=True)
        if not (BINFMT / "qemu-aarch64").exists():
            emulator = shutil.which("qemu-aarch64-static")
            line = f":qemu-aarch64:M::{MAGIC}:{MASK}:{emulator}:OCF\n"
            (BINFMT / "register").write_text(line)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotEmulate(f"the kernel takes no emulator for arm64: {error}") from error


def debian(folder: Path, release: str) -> Path:
    """Return the root of a small Debian for arm64 in `folder`, unpacked once.

    Raises CannotEmulate if it cannot be made.
    """
    root = folder / release
    if not root.exists():
        partial = folder / f"{release}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        make = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract"]
        made = [*make, "--architectures=arm64", f"--include={PACKAGES}", release, str(partial)]
        done = subprocess.run(made, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotEmulate(done.stderr)
        _trust(partial)
        partial.rename(root)
    return root


def _trust(root: Path) -> None:
    """Write the file of certificates that configuring ca-certificates would make.

    Debian's pip reads it first.
    """
    known = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(each.read_text() for each in known))


def command(root: Path, folder: Path, *words: str, cwd: Path) -> Sequence[str]:
    """Return the command that runs `words` in `root`, with `folder` at the same path.

    The started process becomes the program, so signals reach it.
    """
    environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"HOME={folder}", f"QEMU_CPU={CPU}"]
    inside = ["chroot", str(root), "sh", "-c", 'cd "$0" && exec "$@"', str(cwd), *words]
    enter = ["unshare", "--mount", "sh", "-e", "-c", ENTER, str(root), str(folder)]
    return [*enter, *environment, *inside]
