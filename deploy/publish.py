"""`python3 -m deploy.publish check|build|show`: run a step of `make release`.

`check` compares version, changelog and upgrade notes. `build` writes every file of the release to
dist/ with SHA256SUMS, signed with the key file that the environment variable KEY names. `show`
prints the commands that publish the release; nothing is published automatically.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.bundle import ARCHITECTURES, PYTHONS, SOURCE, bundle
from deploy.deb import package
from deploy.layout import DeployError, run
from deploy.pin import unpinned
from deploy.release import version
from deploy.seal import SUMS as LIST
from deploy.seal import public_key, seal
from deploy.wheel import wheel

OUTPUT = SOURCE / "dist"
SUMS = OUTPUT / LIST
DEBIAN_PYTHONS = ("3.11", "3.13")  # of Debian 12 and 13, and of Raspberry Pi OS
SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.M)


def check() -> None:
    """Raise DeployError with every reason why this checkout cannot be released."""
    if problems := list(_problems()):
        raise DeployError("\n".join(problems))


def build() -> None:
    """Write the files of the release to an empty dist/."""
    key = _key()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    print(wheel(OUTPUT), flush=True)
    print(_source_archive(), flush=True)
    for arch in ARCHITECTURES:
        for python in PYTHONS:
            print(bundle(OUTPUT, arch, python, key), flush=True)
        for python in DEBIAN_PYTHONS:
            print(package(OUTPUT, arch, python), flush=True)
    seal(OUTPUT, f"mien-{version(SOURCE)}", key)


def show() -> None:
    """Print the files and the commands that publish them."""
    tag = f"v{version(SOURCE)}"
    print(f"\nReady to be published as {tag}:\n")
    for line in SUMS.read_text(encoding="utf-8").splitlines()[1:]:
        digest, name = line.split("  ")
        print(f"  {(OUTPUT / name).stat().st_size / 1e6:7.1f} MB  {digest[:16]}…  dist/{name}")
    print(
        f"\nNext:\n  git tag --annotate {tag} --message 'Mien {version(SOURCE)}'\n"
        f"  git push origin {tag}\n"
        f"  publish the files above, dist/{SUMS.name} and its .sig, with {tag}'s section of "
        "CHANGELOG.md"
    )


def _problems() -> Iterator[str]:
    number = version(SOURCE)
    sections = dict(SECTION.findall((SOURCE / "CHANGELOG.md").read_text(encoding="utf-8")))
    if not any(
        re.fullmatch(rf"{re.escape(number)} - \d{{4}}-\d\d-\d\d", each) for each in sections
    ):
        yield f"CHANGELOG.md has no section `## {number} - YYYY-MM-DD`."
    if sections.get("Unreleased", "").strip():
        yield f"CHANGELOG.md has entries under Unreleased; move them to the section of {number}."
    if f"## To {number}" not in (SOURCE / "docs/upgrading.md").read_text(encoding="utf-8"):
        yield f"docs/upgrading.md has no section `## To {number}`."
    for image in unpinned(SOURCE):
        yield f"the image {image} is named only by tag; fix: make pin"
    try:
        public_key(_key())
    except DeployError as error:
        yield str(error)
    if changes := _git("status", "--porcelain"):
        yield f"there are changes that are not committed:\n{changes}"
    tagged = _git("tag", "--list", f"v{number}")
    if tagged and _git("rev-list", "-1", tagged) != _git("rev-parse", "HEAD"):
        yield f"{tagged} is the tag of another commit; raise edge_daemon/__init__.py's __version__."


def _key() -> Path:
    if not os.environ.get("KEY"):
        raise DeployError("a release is signed; name the key's file: make release KEY=release.key")
    return Path(os.environ["KEY"])


def _source_archive() -> Path:
    """Write the tracked files of this commit; git gives them its date."""
    name = f"mien-{version(SOURCE)}"
    made = OUTPUT / f"{name}.tar.gz"
    _git("archive", f"--prefix={name}/", f"--output={made}", "HEAD")
    return made


def _git(*words: str) -> str:
    return run(["git", "-C", SOURCE, *words]).strip()


def main() -> int:
    """Run one step; return 0, or 1 after printing why it failed."""
    steps: dict[str, Callable[[], None]] = {"check": check, "build": build, "show": show}
    parser = argparse.ArgumentParser(prog="python3 -m deploy.publish", description=__doc__)
    parser.add_argument("step", choices=list(steps))
    try:
        steps[parser.parse_args().step]()
    except DeployError as error:
        for line in str(error).splitlines():
            print(f"release: {line}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
