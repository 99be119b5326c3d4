"""`python3 -m deploy.bundle`: all that a machine without a network needs, in one .tar.gz.

It holds what a release is made of, the wheels for one architecture and Python, and `install`.
The same content gives the same file to the last bit.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.layout import DeployError, run
from deploy.release import contents, requirements, version

SOURCE = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("aarch64", "x86_64")
PYTHONS = ("3.11", "3.12", "3.13")
GLIBC = range(36, 16, -1)  # Debian 12 has 2.36; what wheels are built against, the newest first
INSTALL = """\
#!/bin/sh
# Installs the service on this machine, without a network.
cd "$(dirname "$0")" && exec python3 -B -m deploy install "$@"
"""


def pack(name: str, description: str | None, make: Callable[[Path, str, str], Path]) -> int:
    """The command `name`: `make` of the options given, a folder, an architecture, a Python."""
    wanted = _options(description)
    try:
        print(make(wanted.output, wanted.arch, wanted.python))
    except DeployError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def bundle(output: Path, arch: str, python: str) -> Path:
    """Write the bundle for a machine of the architecture `arch` with `python` into `output`."""
    name = f"mien-{version(SOURCE)}-{arch}-py{python}"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as scratch:
        folder = Path(scratch) / name
        fill(folder, arch, python)
        packed = folder.with_suffix(".partial")
        _pack(folder, packed)
        return packed.replace(output / f"{name}.tar.gz")


def fill(folder: Path, arch: str, python: str) -> None:
    """Put everything into `folder`, the wheels into its `wheels`."""
    for file in contents(SOURCE):
        target = folder / file.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    (folder / "install").write_text(INSTALL, encoding="utf-8")
    (folder / "install").chmod(0o755)
    wanted = requirements(SOURCE / "pyproject.toml")
    download_wheels(folder / "wheels", arch, python, wanted)


def download_wheels(folder: Path, arch: str, python: str, wanted: Sequence[str]) -> None:
    """Have pip fetch what is wanted there, and say in `platform` what it is for."""
    platforms = [f"--platform=manylinux_2_{minor}_{arch}" for minor in GLIBC]
    platforms.append(f"--platform=manylinux2014_{arch}")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    run([*pip, *target, *platforms, f"--dest={folder}", *wanted])
    (folder / "platform").write_text(f"{arch} {python}\n", encoding="utf-8")


def _pack(folder: Path, target: Path) -> None:
    """Write `folder` as .tar.gz, owned by root and without times."""
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
    member.mtime = 0
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _options(what: str | None) -> argparse.Namespace:
    """The options given: `arch` and `python` of the machine to be, `output`, a folder."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--arch", choices=ARCHITECTURES, default="aarch64")
    parser.add_argument("--python", choices=PYTHONS, default="3.13")
    parser.add_argument("--output", type=Path, default=Path("dist"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(pack("bundle", __doc__, bundle))
