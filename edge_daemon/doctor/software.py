"""Checks that Python and the installed packages fit together.

The requirements are those of the installed distribution `mien`. A package is imported only after
its version has been checked, because some combinations of versions crash the process.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from edge_daemon.doctor.finding import Finding, error, ok, pip_install, pip_uninstall, warning

DISTRIBUTION: Final = "mien"
LITERT, TFLITE_RUNTIME = "edge", "edge-tflite-runtime"  # extras, one for each runtime
MQTT, UPDATES = "mqtt", "updates"

# The modules of packages with another name than their module; a test checks that none is missing.
MODULES: Final = {
    "opencv-python-headless": "cv2",
    "paho-mqtt": "paho",
    "pillow": "PIL",
    "pyyaml": "yaml",
}
# Packages that are not needed with TensorFlow's interpreter.
RUNTIMES: Final = ("ai-edge-litert", "tflite-runtime")
OPENCV: Final = re.compile("opencv-(contrib-)?python(-headless)?")


def examine(
    versions: Mapping[str, str], *, runtime: str, extras: Sequence[str]
) -> Iterator[Finding]:
    """Check Python and `versions` for `runtime` and `extras`, which the configuration needs."""
    try:
        needed = requirements(versions, runtime=runtime, extras=extras)
        python = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        yield error(
            "packages",
            "Mien is not installed in this environment, so its requirements are unknown",
            pip_install("--editable", ".[edge,mqtt,updates]"),
        )
        return
    yield check_python(Version(platform.python_version()), SpecifierSet(python))
    yield from check_packages(versions, needed)


def installed() -> dict[str, str]:
    """Return the version of each installed package by its normalized name (PEP 503).

    Required packages without metadata, such as those from apt, have the version "".
    """
    versions: dict[str, str] = {}
    for found in importlib.metadata.distributions():  # in the order of sys.path: the first is used
        if name := found.metadata["Name"]:
            versions.setdefault(canonicalize_name(name), found.version)
    for name in _names():
        if _version(name, versions) is None and find_spec(module_of(name)):
            versions[name] = ""
    return versions


def requirements(
    versions: Mapping[str, str], *, runtime: str, extras: Sequence[str]
) -> list[Requirement]:
    """List the requirements of the runtime that will be used, and of `extras`.

    Raises importlib.metadata.PackageNotFoundError if Mien is not installed.
    """
    litert_first = "ai-edge-litert" in versions or "tflite-runtime" not in versions
    old = runtime == "tflite-runtime" or (runtime == "auto" and not litert_first)
    wanted = [TFLITE_RUNTIME if old else LITERT, *extras]
    found = [each for extra in wanted for each in _of_extra(extra)]
    if runtime == "tensorflow":
        return [each for each in found if each.name not in RUNTIMES]
    return found


def check_python(version: Version, supported: SpecifierSet) -> Finding:
    """Check the version of Python against the one that Mien requires."""
    name = f"Python {version} on {platform.machine()}"
    if supported.contains(version, prereleases=True):
        return ok("python", name)
    return warning(
        "python", f"{name} is untested; use 3.11 to 3.13", "make setup PYTHON=python3.13"
    )


def check_packages(versions: Mapping[str, str], needed: Sequence[Requirement]) -> Iterator[Finding]:
    """Report packages that are missing, untested or in conflict with each other."""
    problems = [found for each in needed if (found := _check_package(each, versions, needed))]
    problems += _check_opencv(versions, needed)
    if not problems:
        core = [each for each in needed if module_of(each.name) in {"numpy", "cv2"}]
        core += [each for each in needed if each.name in RUNTIMES]
        names = [f"{each.name} {_version(each.name, versions)}".rstrip() for each in core]
        yield ok("packages", f"{', '.join(names)} and all other packages fit together")
    yield from problems


def load(versions: Mapping[str, str], needed: Sequence[Requirement]) -> Iterator[Finding]:
    """Import the packages, because libraries of the system that they use may be missing."""
    for requirement in needed:
        if requirement.name in RUNTIMES:
            continue  # loaded with the model
        try:
            importlib.import_module(module_of(requirement.name))
        except ImportError as reason:
            yield error(
                "packages",
                f"{requirement.name} {_version(requirement.name, versions)} cannot be loaded: "
                f"{reason}",
                pip_install("--force-reinstall", _text(requirement)),
            )


def _of_extra(extra: str) -> Iterator[Requirement]:
    """Yield the requirements that apply to this machine with one extra."""
    for text in importlib.metadata.requires(DISTRIBUTION) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        # Skip what every installation needs, whose marker is also true without the extra.
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            yield requirement


def _names() -> set[str]:
    try:
        extras = (LITERT, TFLITE_RUNTIME, MQTT, UPDATES)
        return {each.name for extra in extras for each in _of_extra(extra)}
    except importlib.metadata.PackageNotFoundError:
        return set()


def _check_package(
    requirement: Requirement, versions: Mapping[str, str], needed: Sequence[Requirement]
) -> Finding | None:
    """Report a package that is missing or has the wrong version; None if it is in order."""
    name, version = requirement.name, _version(requirement.name, versions)
    fix = pip_install(_text(requirement))
    if version is None:
        return error("packages", f"{name} is not installed", fix)
    if _fits(requirement, version):
        return None
    old = [each for each in needed if each.name == "tflite-runtime"]
    if name == "numpy" and old and not _fits(Requirement("numpy<2"), version):
        opencv = [each for each in needed if module_of(each.name) == "cv2"]
        return error(
            "packages",
            f"tflite-runtime needs NumPy 1 and cannot be loaded with NumPy {version}",
            pip_install(*map(_text, [*old, requirement, *opencv])),
        )
    return warning("packages", f"{name} {version} is untested; use {_text(requirement)}", fix)


def _check_opencv(versions: Mapping[str, str], needed: Sequence[Requirement]) -> Iterator[Finding]:
    """Report several packages of OpenCV, which overwrite each other's files."""
    found = _opencvs(versions)
    if len(found) > 1:
        wanted = [_text(each) for each in needed if module_of(each.name) == "cv2"]
        yield warning(
            "packages",
            f"{' and '.join(found)} are both installed and overwrite each other's files",
            f"{pip_uninstall(*found)} && {pip_install(*wanted)}",
        )


def _fits(requirement: Requirement, version: str) -> bool:
    """Return whether `version` meets the requirement; an unknown one, "", counts as if it did."""
    try:
        return not version or requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _version(name: str, versions: Mapping[str, str]) -> str | None:
    """Return the installed version; any of OpenCV's four packages will do."""
    if module_of(name) == "cv2":
        return next((versions[found] for found in _opencvs(versions)), None)
    return versions.get(canonicalize_name(name))


def _opencvs(versions: Mapping[str, str]) -> list[str]:
    return sorted(name for name in versions if OPENCV.fullmatch(name))


def module_of(name: str) -> str:
    """Return the module that a package is imported as."""
    return MODULES.get(canonicalize_name(name), name.replace("-", "_"))


def _text(requirement: Requirement) -> str:
    """Return "numpy>=2,<3", without the marker and in the order of versions."""
    order = sorted(requirement.specifier, key=lambda each: Version(each.version))
    return requirement.name + ",".join(map(str, order))
