"""Boots a Debian computer emulated by QEMU, with the kernel's virtual cameras.

Its disk is made once, as root, by mmdebstrap and mke2fs; changes of a run are discarded. It has a
real kernel, systemd and udev, and can reach only this machine. `vivid` is a virtual camera of the
kernel; v4l2loopback shows the pictures that a program writes to it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

from support.machine import PATH, Machine
from support.ports import free_port

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "kmod", "linux-image-amd64", "initramfs-tools"),
    *("openssh-server", "iproute2", "python3", "python3-venv", "make", "sudo", "procps"),
    *("v4l-utils", "v4l2loopback-dkms", "linux-headers-amd64"),
)
TOOLS = ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "ssh", "ssh-keygen")
INITRAMFS = """
mkdir -p "$1/etc/initramfs-tools/conf.d"
echo MODULES=list > "$1/etc/initramfs-tools/conf.d/guest"
printf 'virtio_pci\nvirtio_blk\next4\n' > "$1/etc/initramfs-tools/modules"
"""
NETWORK = "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\nIPv6AcceptRA=no\n"
KERNEL = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off nokaslr audit=0 quiet"
DISK = "3G"
WEB_PORT = 8080


class CannotBoot(RuntimeError):
    """The guest does not boot on this machine; carries the reason."""


def why_not() -> str:
    """Return why no guest can be made and booted here, or ""."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid():
        return "making the guest's disk takes root"
    packages = "qemu-system-x86 mmdebstrap e2fsprogs openssh-client"
    return f"{', '.join(missing)} not found (apt install {packages})" * bool(missing)


def image(folder: Path) -> Path:
    """Return the folder of the guest's disk, kernel and key; making it once takes minutes.

    Raises CannotBoot if it cannot be made.
    """
    whole = folder / "guest"
    if not whole.exists():
        partial = folder / "guest.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _make_image(partial)
        except subprocess.CalledProcessError as error:
            raise CannotBoot(f"{error.cmd[0]}: {error.stderr}") from error
        partial.rename(whole)
    return whole


def _make_image(folder: Path) -> None:
    root, key = folder / "root", folder / "key"
    make = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
    make += ['--aptopt=APT::Install-Recommends "false"', f"--include={','.join(PACKAGES)}"]
    _do(*make, f"--essential-hook={INITRAMFS}", "bookworm", str(root))
    _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(key.with_suffix(".pub"), root / "root/.ssh/authorized_keys")
    (root / "etc/hostname").write_text("camera\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost camera\n")
    (root / "etc/fstab").write_text("/dev/vda / ext4 noatime 0 1\n")
    (root / "etc/systemd/network/10-cable.network").write_text(NETWORK)
    _do("chroot", str(root), "systemctl", "--quiet", "enable", "systemd-networkd", "ssh")
    unwanted = ("systemd-networkd-wait-online", "timers.target")
    _do("chroot", str(root), "systemctl", "--quiet", "mask", *unwanted)
    (kernel,) = root.glob("boot/vmlinuz-*")
    (initrd,) = root.glob("boot/initrd.img-*")
    shutil.copy(kernel, folder / "vmlinuz")
    shutil.copy(initrd, folder / "initrd")
    _do("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(folder / "disk"), DISK)
    shutil.rmtree(root)


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


class Guest(Machine):
    """A booted guest with the unchanged disk of `image`; use it as a context manager.

    Everything takes about twenty times longer than on this machine.
    """

    deadline_s = 300.0

    def __init__(self, image: Path, *, memory_mb: int = 1024) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="guest-"))  # short, for the socket in it
        self._ssh_port, self._web_port = free_port(), free_port()
        self._key = image / "key"
        cable = f"user,id=cable,restrict=on,hostfwd=tcp:127.0.0.1:{self._ssh_port}-:22"
        self._connection: subprocess.Popen[bytes] | None = None
        self._qemu = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"),
                *("-machine", "q35", "-smp", "2", "-m", str(memory_mb), "-no-reboot"),
                *("-display", "none", "-serial", f"file:{self._folder}/console"),
                *("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd")),
                *("-append", KERNEL, "-device", "virtio-rng-pci"),
                *("-drive", f"file={image}/disk,format=raw,if=virtio,snapshot=on,cache=unsafe"),
                *("-netdev", f"{cable},hostfwd=tcp:127.0.0.1:{self._web_port}-:{WEB_PORT}"),
                *("-device", "virtio-net-pci,netdev=cable,romfile="),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._qemu.kill()
        self._qemu.communicate()
        if self._connection is not None:
            self._connection.wait()
        shutil.rmtree(self._folder)

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._attempt(words)

    def url(self, port: int = WEB_PORT) -> str:
        assert port == WEB_PORT, "no other port leads in"
        return f"http://127.0.0.1:{self._web_port}"

    def put(self, path: Path, target: str) -> None:
        """Copy a file of this machine to the path `target`."""
        done = self._attempt(("cp", "/dev/stdin", target), path.read_bytes())
        assert done.returncode == 0, done.stderr

    def until_booted(self) -> float:
        def booted() -> bool:
            if self._qemu.poll() is not None:
                raise CannotBoot(self._qemu.communicate()[1])
            state = self.attempt("systemctl", "is-system-running").stdout.strip()
            return state in {"running", "degraded"}

        try:
            took_s = self.until(booted, "systemd has booted")
        except AssertionError as error:
            with suppress(OSError):
                raise CannotBoot((self._folder / "console").read_text()[-2000:]) from error
            raise
        self._connection = subprocess.Popen(self._ssh("-M", "-N"), stdin=subprocess.DEVNULL)
        return took_s

    def _attempt(
        self, words: tuple[str, ...], given: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        line = shlex.join(("env", f"PATH={PATH}", *words))
        done = subprocess.run([*self._ssh(), line], input=given, capture_output=True, check=False)
        said, complained = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(words, done.returncode, said, complained)

    def _ssh(self, *options: str) -> list[str]:
        """Run a command over the shared connection, once it exists."""
        settings = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": "20",
            "ControlPath": str(self._folder / "ssh"),
        }
        chosen = [word for each in settings.items() for word in ("-o", "=".join(each))]
        port = ["-p", str(self._ssh_port), "-i", str(self._key)]
        return ["ssh", *chosen, *port, *options, "root@127.0.0.1"]
