"""A checkout or an unpacked bundle in, a release in /opt/mien/releases out.

A release is named by its version and its content, so that the same content is never built twice
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

from deploy.layout import DeployError, Layout, run

CONTENT = (
    "edge_daemon/**/*",
    "deploy/*.py",
    "systemd/*",
    "models/*.tflite",
    "models/fetch_blazeface.py",
    "config.yaml",
    "pyproject.toml",
    "LICENSE",
    "docs/install.md",
    "docs/configuration.md",
)
BUILT = "built"  # a file that a release has once it is whole


def build(source: Path, layout: Layout) -> Path:
    """Make a release of what lies in `source`, unless it is there; DeployError if it cannot be."""
    _check_bundle(source / "wheels")
    release = layout.releases / _name(source)
    if (release / BUILT).exists():
        return release
    print(f"building {release.name}, for a minute or more …", flush=True)
    shutil.rmtree(release, ignore_errors=True)
    for file in contents(source):
        target = release / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o644)
    _make_environment(release, source / "wheels")
    (release / BUILT).touch()
    os.sync()  # before a link leads to it
    return release


def contents(source: Path) -> Iterator[Path]:
    """The files a release is made of."""
    for pattern in CONTENT:
        found = [p for p in sorted(source.glob(pattern)) if p.is_file()]
        if not found:
            raise DeployError(f"{source} has no {pattern}; run this in a checkout or a bundle.")
        yield from (path for path in found if path.suffix != ".pyc")


def requirements(pyproject: Path) -> list[str]:
    """What the daemon needs of Python packages."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [*extras["edge"], *extras["mqtt"], *extras["updates"]]


def version(source: Path) -> str:
    """The version of the code in `source`."""
    found = re.search(r'__version__ = "(.+?)"', (source / "edge_daemon/__init__.py").read_text())
    if not found:
        raise DeployError(f"{source}/edge_daemon/__init__.py names no version.")
    return found[1]


def platform_name() -> str:
    """What decides which wheels fit, as in `make bundle`: "aarch64 3.13"."""
    return f"{platform.machine()} {sys.version_info.major}.{sys.version_info.minor}"


def switch(release: Path, layout: Layout) -> None:
    """Make `release` the one that runs from the next start on, with what systemd reads of it."""
    for name, place in ({} if layout.packaged else layout.system_files).items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(release / "systemd" / name, place)
    link(release, layout)


def link(release: Path, layout: Layout) -> None:
    """Have `current` lead to `release`, in one step."""
    following = layout.home / "next"
    following.unlink(missing_ok=True)
    following.symlink_to(release.relative_to(layout.home))
    following.replace(layout.current)


def prune(layout: Layout, *keep: Path | None) -> None:
    """Delete all releases but those to keep."""
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
    """A bundle says in `wheels/platform` what it is for; a checkout has none."""
    made_for = wheels / "platform"
    if made_for.exists() and made_for.read_text().strip() != platform_name():
        raise DeployError(
            f"this bundle is for {made_for.read_text().strip()}, this machine is {platform_name()}."
        )


def _make_environment(release: Path, wheels: Path) -> None:
    """A virtual environment with what the daemon needs, from the bundle's wheels if there are any.

    Where the system has picamera2, which is no wheel, the environment sees the system's packages.
    """
    python = release / "venv/bin/python"
    shared = ["--system-site-packages"] if importlib.util.find_spec("picamera2") else []
    try:
        run([sys.executable, "-m", "venv", *shared, release / "venv"])
    except DeployError as error:
        raise DeployError(f"{error}\nOn Debian: sudo apt install python3-venv") from error
    offline = ["--no-index", f"--find-links={wheels}"] if wheels.is_dir() else []
    pip = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    run([python, *pip, *offline, *requirements(release / "pyproject.toml")])
    run([python, "-m", "compileall", "-q", release / "edge_daemon"])
