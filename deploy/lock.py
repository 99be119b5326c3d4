"""`python3 -m deploy.lock`: write deploy/locks/ARCH-PYTHON.txt, the packages of a device.

Each file pins every package to a version and to the SHA-256 of its wheel, so that all devices with
a release have the same packages. `make lock` renews the files from pyproject.toml.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from pathlib import Path

from deploy.bundle import ARCHITECTURES, PYTHONS, SOURCE, download_wheels
from deploy.layout import DeployError
from deploy.release import LOCKS, requirements

HEADER = "# Made by `make lock`; installed with pip's --require-hashes and --only-binary.\n"


def lock(arch: str, python: str) -> Path:
    """Write the lock for one kind of machine."""
    wanted = requirements(SOURCE / "pyproject.toml")
    with tempfile.TemporaryDirectory() as folder:
        download_wheels(Path(folder), arch, python, wanted)
        lines = sorted(map(_line, Path(folder).glob("*.whl")), key=str.lower)
    target = SOURCE / LOCKS / f"{arch}-{python}.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_text(HEADER + "".join(lines), encoding="utf-8")
    return target


def _line(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}\n"


def main() -> int:
    """Write all locks."""
    for arch in ARCHITECTURES:
        for python in PYTHONS:
            try:
                print(lock(arch, python), flush=True)
            except DeployError as error:
                print(f"lock: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
