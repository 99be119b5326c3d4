"""`python3 -m deploy.bundle`: pack all that a machine without a network needs into one .tar.gz.

The bundle contains the files of a release, the wheels for one architecture and Python version, and
`install`, which checks all files first. The same content always gives the same file, byte for byte.
Its SHA-256 is written to a file next to it. With a key, the bundle and that file are signed
(`deploy/seal.py`).
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy import sbom
from deploy.layout import DeployError, run_pip
from deploy.release import LOCKS, contents, version
from deploy.seal import list_files, public_key, seal

SOURCE = Path(__file__).resolve().parent.parent
INSTALL = SOURCE / "deploy/install.sh"
ARCHITECTURES = ("aarch64", "x86_64")
PYTHONS = ("3.11", "3.12", "3.13")
GLIBC = range(36, 16, -1)  # versions that wheels are built for, newest first; Debian 12 has 2.36


def pack(
    name: str, description: str | None, make: Callable[[Path, str, str, Path | None], Path]
) -> int:
    """Run the command `name`; write the SHA-256 of its file next to it, signed if there is a key.

    `make` takes a folder, an architecture, a Python version and the key file or None.
    """
    wanted = _options(description)
    try:
        made = make(wanted.output, wanted.arch, wanted.python, wanted.key)
        print(made)
        list_files([made], wanted.output / f"{made.name}.sha256", made.name, wanted.key)
        if wanted.key:
            print(f"signed; its public key is {public_key(wanted.key)}", file=sys.stderr)
    except (DeployError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def bundle(output: Path, arch: str, python: str, key: Path | None = None) -> Path:
    """Write the bundle for machines of architecture `arch` and Python `python`."""
    name = f"mien-{version(SOURCE)}-{arch}-py{python}"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as scratch:
        folder = Path(scratch) / name
        fill(folder, arch, python)
        shutil.copy(INSTALL, folder / "install")
        seal(folder, name, key)
        packed = folder.with_suffix(".partial")
        _pack(folder, packed)
        return packed.replace(output / f"{name}.tar.gz")


def fill(folder: Path, arch: str, python: str) -> None:
    """Copy a release's files into `folder` and download its wheels into `folder`/wheels."""
    for file in contents(SOURCE):
        target = folder / file.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    lock = SOURCE / LOCKS / f"{arch}-{python}.txt"
    download_wheels(folder / "wheels", arch, python, ["--require-hashes", "-r", str(lock)])
    (folder / "wheels/platform").write_text(f"{arch} {python}\n", encoding="utf-8")
    sbom.write(folder, version(SOURCE))


def download_wheels(folder: Path, arch: str, python: str, wanted: Sequence[str]) -> None:
    """Download wheels for that machine into `folder`; `wanted` are arguments of `pip download`."""
    platforms = [f"--platform=manylinux_2_{minor}_{arch}" for minor in GLIBC]
    platforms.append(f"--platform=manylinux2014_{arch}")
    if importlib.util.find_spec("pip") is None:
        raise DeployError(f"{sys.executable} has no pip; fix: sudo apt install python3-pip")
    pip = [sys.executable, "-m", "pip", "download"]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    run_pip([*pip, *target, *platforms, f"--dest={folder}", *wanted])


def _pack(folder: Path, target: Path) -> None:
    """Write `folder` as .tar.gz, owned by root and without timestamps."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in sorted(folder.rglob("*")):
            name = f"{folder.name}/{path.relative_to(folder)}"
            archive.add(path, name, recursive=False, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _options(what: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=what)
    what = "of the machine to install on (default: %(default)s)"
    parser.add_argument("--arch", choices=ARCHITECTURES, default="aarch64", help=what)
    parser.add_argument("--python", choices=PYTHONS, default="3.13", help=what)
    key = "the file with the private key to sign with, as `mien sign` makes it"
    parser.add_argument("--key", type=Path, help=key)
    parser.add_argument("--output", type=Path, default=Path("dist"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(pack("bundle", __doc__, bundle))
