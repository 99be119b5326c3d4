"""Versions of Python and of the installed packages in, whether they fit together out.

It imports none of them before it has judged their versions: some bring the process down.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Final, NamedTuple

from edge_daemon.doctor.finding import Finding, error, ok, pip_install, pip_uninstall, warning

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)

Version = tuple[int, ...]


class Package(NamedTuple):
    """What pyproject.toml asks for, and the module that comes with it."""

    requirement: str
    module: str

    @property
    def name(self) -> str:
        return re.split("[>=<]", self.requirement, maxsplit=1)[0]

    def takes(self, version: str) -> bool:
        """Whether `version` is one that is asked for; "" is one that is not known, and may be."""
        for sign, limit in re.findall(r"(>=|==|<)([\d.]+)", self.requirement):
            found, wanted = _numbers(version), _numbers(limit)
            fits = {">=": found >= wanted, "<": found < wanted, "==": found == wanted}
            if version and not fits[sign]:
                return False
        return True


# As the extras `edge`, `edge-tflite-runtime`, `mqtt` and `updates` of pyproject.toml have them.
LITERT: Final = (
    Package("ai-edge-litert>=2.0,<3", "ai_edge_litert"),
    Package("numpy>=2,<3", "numpy"),
    Package("opencv-python-headless>=4.10,<5", "cv2"),
)
NUMPY_1: Final = Package("numpy>=1.26,<2", "numpy")
TFLITE_RUNTIME: Final = (
    Package("tflite-runtime==2.14.0", "tflite_runtime"),
    NUMPY_1,
    Package("opencv-python-headless>=4.10,<4.12", "cv2"),
)
COMMON: Final = (
    Package("flask>=3,<4", "flask"),
    Package("gevent>=24.10,<27", "gevent"),
    Package("prometheus-client>=0.21,<1", "prometheus_client"),
    Package("pydantic>=2.9,<3", "pydantic"),
    Package("pyyaml>=6,<7", "yaml"),
)
MQTT: Final = Package("paho-mqtt>=2,<3", "paho")
UPDATES: Final = Package("cryptography>=43,<51", "cryptography")

OPENCV: Final = re.compile("opencv-(contrib-)?python(-headless)?")


def installed() -> dict[str, str]:
    """The versions of the packages that are installed, by their normalised names (PEP 503).

    Those of ours that something else than pip put there, as apt does, have the version "".
    """
    versions: dict[str, str] = {}
    for dist in importlib.metadata.distributions():  # in the order of sys.path: the first counts
        if name := dist.metadata["Name"]:
            versions.setdefault(re.sub("[-_.]+", "-", name).lower(), dist.version)
    for package in (*LITERT, *TFLITE_RUNTIME, *COMMON, MQTT, UPDATES):
        if _version(package, versions) is None and find_spec(package.module):
            versions[package.name] = ""
    return versions


def examine(
    versions: Mapping[str, str], *, runtime: str, extras: Sequence[Package]
) -> Iterator[Finding]:
    """Judge Python, and `versions` for the `runtime` and `extras` that the configuration takes."""
    yield _python(sys.version_info[:2])
    yield from judge(versions, runtime=runtime, extras=extras)


def judge(
    versions: Mapping[str, str], *, runtime: str, extras: Sequence[Package]
) -> Iterator[Finding]:
    """Say of `versions` what is missing, unknown or in each other's way."""
    core = _core(versions, runtime)
    needed = [*core, *COMMON, *extras]
    wrong = [finding for each in needed if (finding := _package(each, versions))]
    wrong += _two_opencvs(versions, core[-1])
    if not wrong:
        names = [f"{each.name} {_version(each, versions)}".rstrip() for each in core]
        yield ok("packages", f"{', '.join(names)} and what else is needed fit together")
    yield from wrong


def load(versions: Mapping[str, str]) -> Iterator[Finding]:
    """Import what everything else needs, for the libraries of the system that may be missing."""
    for package in (*LITERT[1:], *COMMON):
        try:
            importlib.import_module(package.module)
        except ImportError as reason:
            yield error(
                "packages",
                f"{package.name} {_version(package, versions)} does not load: {reason}",
                pip_install("--force-reinstall", package.requirement),
            )


def _python(version: Sequence[int]) -> Finding:
    name = f"Python {platform.python_version()} on {platform.machine()}"
    if OLDEST_PYTHON <= tuple(version) <= NEWEST_PYTHON:
        return ok("python", name)
    return warning(
        "python",
        f"{name} is none that this was tried with: 3.11 to 3.13 are",
        "make setup PYTHON=python3.13",
    )


def _core(versions: Mapping[str, str], runtime: str) -> tuple[Package, ...]:
    """What the runtime needs that will be taken: with "auto" the first that is installed."""
    if runtime == "tensorflow":
        return LITERT[1:]
    litert_first = "ai-edge-litert" in versions or "tflite-runtime" not in versions
    if runtime == "litert" or (runtime == "auto" and litert_first):
        return LITERT
    return TFLITE_RUNTIME


def _package(package: Package, versions: Mapping[str, str]) -> Finding | None:
    """What is wrong with one package by itself."""
    version = _version(package, versions)
    remedy = pip_install(package.requirement)
    if version is None:
        return error("packages", f"{package.name} is not installed", remedy)
    if package.takes(version):
        return None
    if package is NUMPY_1 and _numbers(version) >= (2,):
        return error(
            "packages",
            f"tflite-runtime is built for NumPy 1 and does not load beside NumPy {version}",
            pip_install(*(each.requirement for each in TFLITE_RUNTIME)),
        )
    return warning(
        "packages",
        f"{package.name} {version} is none that this was tried with: {package.requirement} is",
        remedy,
    )


def _version(package: Package, versions: Mapping[str, str]) -> str | None:
    """The version installed; OpenCV comes in four packages, any of which will do."""
    if package.module == "cv2":
        return next((versions[name] for name in _opencvs(versions)), None)
    return versions.get(package.name)


def _two_opencvs(versions: Mapping[str, str], wanted: Package) -> list[Finding]:
    found = _opencvs(versions)
    if len(found) < 2:
        return []
    return [
        warning(
            "packages",
            f"{' and '.join(found)} are installed over each other, each in parts",
            f"{pip_uninstall(*found)} && {pip_install(wanted.requirement)}",
        )
    ]


def _opencvs(versions: Mapping[str, str]) -> list[str]:
    return sorted(name for name in versions if OPENCV.fullmatch(name))


def _numbers(version: str) -> Version:
    """The numbers a version begins with: "2.5.0rc1" is (2, 5, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
