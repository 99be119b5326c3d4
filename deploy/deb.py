"""`python3 -m deploy.deb`: build the bundle as a Debian package, with debhelper.

The package contains the files of a bundle. The virtual environment is made when dpkg configures the
package (ADR 14). It can be built for another architecture, because nothing is compiled.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from deploy.bundle import SOURCE, fill, pack
from deploy.layout import DeployError, run
from deploy.release import version

TOOLS = ("dpkg-buildpackage", "dh")
DEBIAN_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}


def package(output: Path, arch: str, python: str, _: Path | None = None) -> Path:
    """Write the .deb for machines of architecture `arch` with Python `python`; return its path."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise DeployError(
            f"{' and '.join(missing)} not found; fix: sudo apt install dpkg-dev debhelper"
        )
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as scratch:
        folder = Path(scratch) / "mien"
        fill(folder, arch, python)
        shutil.copytree(SOURCE / "deploy/debian", folder / "debian")
        changelog = folder / "debian/changelog"
        number = f"{version(SOURCE)}+py{python.replace('.', '')}"
        changelog.write_text(changelog.read_text().replace("@VERSION@", number))
        made_for = f"--host-arch={DEBIAN_ARCHITECTURES[arch]}"
        build = ["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"]
        run([*build, made_for], cwd=folder)
        (made,) = Path(scratch).glob("*.deb")
        return made.replace(output / made.name)


if __name__ == "__main__":
    sys.exit(pack("deb", __doc__, package))
