"""Builds releases in /opt/mien/releases from a checkout or an unpacked bundle.

A release is named after its version and content. The same content is therefore never built twice,
and two releases never share a file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from deploy.layout import DeployError, Layout, run, run_pip

CONTENT = (
    "edge_daemon/**/*",
    "deploy/*.py",
    "deploy/mien.sh",
    "deploy/locks/*.txt",
    "systemd/*",
    "models/*.tflite",
    "models/fetch_blazeface.py",
    "config.yaml",
    "pyproject.toml",
    "LICENSE",
    "docs/install.md",
    "docs/configuration.md",
)
LOCKS = "deploy/locks"
BUILT = "built"  # marks a release that is complete


def build(source: Path, layout: Layout) -> Path:
    """Build the release of `source` unless it exists. Raises DeployError."""
    _check_bundle(source / "wheels")
    release = layout.releases / _name(source)
    if (release / BUILT).exists():
        return release
    print(f"building {release.name}; this takes a minute or more …", flush=True)
    shutil.rmtree(release, ignore_errors=True)
    for file in contents(source):
        target = release / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o755 if file.suffix == ".sh" else 0o644)
    _make_environment(release, source / "wheels")
    (release / BUILT).touch()
    os.sync()  # before a link points to it
    return release


def contents(source: Path) -> Iterator[Path]:
    """List the files of a release. Raises DeployError if some are missing."""
    for pattern in CONTENT:
        found = [p for p in sorted(source.glob(pattern)) if p.is_file()]
        if not found:
            raise DeployError(f"{source} has no {pattern}; run this in a checkout or a bundle.")
        yield from (path for path in found if path.suffix != ".pyc")


def requirements(pyproject: Path) -> list[str]:
    """Return the requirements of the daemon in `pyproject`, with MQTT and updates."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [*extras["edge"], *extras["mqtt"], *extras["updates"]]


def version(source: Path) -> str:
    """Return the version of the code in `source`."""
    found = re.search(r'__version__ = "(.+?)"', (source / "edge_daemon/__init__.py").read_text())
    if not found:
        raise DeployError(f"{source}/edge_daemon/__init__.py has no __version__.")
    return found[1]


def platform_name() -> str:
    """Return the architecture and Python of this machine, as in "aarch64 3.13"."""
    return f"{platform.machine()} {sys.version_info.major}.{sys.version_info.minor}"


def switch(release: Path, layout: Layout) -> None:
    """Point `current` to `release`, so that it starts next, and install its system files."""
    for name, place in ({} if layout.packaged else layout.system_files).items():
        place.parent.mkdir(parents=True, exist_ok=True)
        if (release / name).exists():
            shutil.copy(release / name, place)
        else:  # an older release, to which an upgrade goes back
            place.unlink(missing_ok=True)
    link(release, layout)


def link(release: Path, layout: Layout) -> None:
    """Point `current` to `release`, atomically."""
    following = layout.home / "next"
    following.unlink(missing_ok=True)
    following.symlink_to(release.relative_to(layout.home))
    following.replace(layout.current)


def prune(layout: Layout, *keep: Path | None) -> None:
    """Delete all releases except those to keep."""
    for release in layout.releases.iterdir():
        if release not in keep:
            shutil.rmtree(release)


def _name(source: Path) -> str:
    digest = hashlib.sha256(platform_name().encode())
    for file in contents(source):
        digest.update(f"{file.relative_to(source)} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return f"{version(source)}-{digest.hexdigest()[:8]}"


def _check_bundle(wheels: Path) -> None:
    """Raise DeployError if a bundle's `wheels/platform` names another kind of machine."""
    made_for = wheels / "platform"
    if made_for.exists() and made_for.read_text().strip() != platform_name():
        raise DeployError(
            f"this bundle is for {made_for.read_text().strip()}, this machine is {platform_name()}."
        )


def _make_environment(release: Path, wheels: Path) -> None:
    """Make the release's virtual environment, from the bundle's wheels if there are any.

    pip installs only the wheels in the lock, by hash, so no package's build script runs as root.
    If the system has picamera2, which has no wheel, the environment includes the system's packages.
    """
    lock = release / LOCKS / f"{platform_name().replace(' ', '-')}.txt"
    if not lock.exists():
        raise DeployError(f"there is no list of packages for {platform_name()}: {lock.name}.")
    python = release / "venv/bin/python"
    shared = ["--system-site-packages"] if importlib.util.find_spec("picamera2") else []
    try:
        run([sys.executable, "-m", "venv", *shared, release / "venv"])
    except DeployError as error:
        raise DeployError(f"{error}\nOn Debian: sudo apt install python3-venv") from error
    offline = ["--no-index", f"--find-links={wheels}"] if wheels.is_dir() else []
    pip = ["-m", "pip", "install", "--no-cache-dir"]
    pinned = ["--only-binary=:all:", "--require-hashes", "--no-deps", "-r", str(lock)]
    run_pip([python, *pip, *offline, *pinned])
    (packages,) = (release / "venv/lib").glob("python3.*/site-packages")
    # Puts the release itself on the path, relative to this folder.
    (packages / "mien.pth").write_text("../../../..\n", encoding="utf-8")
    _write_metadata(packages, release)
    run([python, "-m", "compileall", "-q", release / "edge_daemon"])


def _write_metadata(packages: Path, release: Path) -> None:
    """Describe the release as an installed distribution, which the doctor reads."""
    project = tomllib.loads((release / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = ["Metadata-Version: 2.1", "Name: mien", f"Version: {version(release)}"]
    lines.append(f"Requires-Python: {project['requires-python']}")
    for extra, wanted in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        for requirement in wanted:
            name, _, marker = (part.strip() for part in requirement.partition(";"))
            markers = f'({marker}) and extra == "{extra}"' if marker else f'extra == "{extra}"'
            lines.append(f"Requires-Dist: {name}; {markers}")
    folder = packages / f"mien-{version(release)}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "INSTALLER").write_text("mien\n", encoding="utf-8")
