"""`python3 -m deploy.environment NAME`: make the virtual environment .venv/NAME of a checkout.

An environment is made once. It is made again if the Python version has changed, and updated if
pyproject.toml has changed. pip shows its progress.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
PIP = ("-m", "pip", "install", "--disable-pip-version-check")
MEDIAPIPE = ("--no-deps", "mediapipe>=1.2,<2")


@dataclass(frozen=True, slots=True)
class Environment:
    """The purpose of one environment, and the arguments of each `pip install` that fills it.

    `python` is the only version that its packages have wheels for, "" for any. If an `optional`
    environment cannot be made, the commands that use it say so and continue.
    """

    purpose: str
    installs: tuple[tuple[str, ...], ...]
    python: str = ""
    optional: bool = False


ENVIRONMENTS = {
    "edge": Environment("the daemon (about 400 MB)", (("--editable", ".[edge,mqtt,updates]"),)),
    "train": Environment("training and conversion (about 2 GB)", (("--editable", ".[train]"),)),
    "dev": Environment(
        "development and tests (about 3 GB)", (("--editable", ".[edge,train,dev]"),)
    ),
    # tflite-runtime's last wheels are for Python 3.11; conversion and tests go on without it.
    "tflite-runtime": Environment(
        "running models on tflite-runtime 2.14",
        (("tflite-runtime==2.14.0", "numpy==1.26.4"),),
        python="3.11",
        optional=True,
    ),
    # 0.10.21 is the last MediaPipe whose wheel has all that its metadata reader imports.
    "metadata-reader": Environment(
        "reading a model's metadata with MediaPipe",
        (
            (
                *("numpy==1.26.4", "flatbuffers>=25,<26", "absl-py>=2,<3", "attrs", "matplotlib"),
                *("protobuf>=4,<5", "opencv-python-headless==4.10.0.84"),
            ),
            ("--no-deps", "mediapipe==0.10.21"),
        ),
        optional=True,
    ),
    # `make bench` compares with the next two. fer names PyTorch too, which its defaults don't use.
    "fer": Environment(
        "comparing with the package fer",
        (
            (
                *("tensorflow-cpu>=2.21,<2.22", "opencv-python-headless>=4.10,<5", "requests"),
                *("pillow", "setuptools<81"),
            ),
            ("--no-deps", "fer==25.10.3"),
        ),
        optional=True,
    ),
    # The newest that Python 3.13.0 runs, with what its integrations install at their first use.
    "home-assistant": Environment(
        "showing the daemon in Home Assistant",
        (
            (
                *("homeassistant==2025.4.4", "home-assistant-frontend==20250411.0"),
                *("paho-mqtt==2.1.0", "SQLAlchemy==2.0.39", "fnv-hash-fast==1.4.0"),
                *("psutil-home-assistant==0.0.1", "Pillow==11.1.0", "hassil==2.2.3"),
                *("home-assistant-intents==2025.3.28", "aiousbwatcher==1.1.1", "pyserial==3.5"),
                *("ifaddr==0.2.0", "zeroconf==0.146.0", "async-upnp-client==0.44.0"),
                *("PyTurboJPEG==1.7.5", "cronsim==2.6", "securetar==2025.2.1"),
                *("pymicro-vad==1.0.1", "pyspeex-noise==1.0.2"),
            ),
        ),
        python="3.13",
    ),
    "mediapipe": Environment(
        "comparing with MediaPipe",
        (("--editable", ".[edge,mediapipe]"), MEDIAPIPE),
        optional=True,
    ),
}
# What can be added to an environment. MediaPipe comes without the OpenCV that it names, which
# would replace the headless one; at run time it also needs Debian's libegl1 and libgles2.
ADDITIONS = {
    "mediapipe": (("--editable", ".[mediapipe]"), MEDIAPIPE),
    "ray": (("--editable", ".[ray]"),),
}


class CannotMakeError(RuntimeError):
    """The environment cannot be made; the sentence says why."""


def main(words: list[str]) -> int:
    """Make the environment; return 0, or 1 if it is not optional and cannot be made."""
    name, *additions = words
    environment = ENVIRONMENTS[name]
    try:
        _make(SOURCE / ".venv" / name, environment)
        for addition in additions:
            _install(SOURCE / ".venv" / name, f"with-{addition}", ADDITIONS[addition])
    except CannotMakeError as error:
        note = f"; continuing without {environment.purpose}." if environment.optional else "."
        print(f"make: .venv/{name}: {error}{note}", file=sys.stderr)
        return int(not environment.optional)
    except KeyboardInterrupt:
        print(f"\nmake: stopped; the same command continues with .venv/{name}.", file=sys.stderr)
        return 130
    return 0


def _make(folder: Path, environment: Environment) -> None:
    wanted = environment.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    base = sys.executable
    if environment.python and wanted != f"{sys.version_info.major}.{sys.version_info.minor}":
        found = shutil.which(f"python{wanted}")
        if found is None or _version(Path(found)) != wanted:
            raise CannotMakeError(f"it needs Python {wanted}, which is not installed")
        base = found
    if (version := _version(folder / "bin/python")) != wanted:
        if version:
            print(f"making .venv/{folder.name} again: it has Python {version}, not {wanted}")
        print(
            f"making .venv/{folder.name} for {environment.purpose}; this happens once", flush=True
        )
        _run(base, "-m", "venv", "--clear", str(folder))
    _install(folder, "installed", environment.installs)


def _install(folder: Path, stamp: str, installs: tuple[tuple[str, ...], ...]) -> None:
    """Run each `pip install`, unless `stamp` records that the same has been installed."""
    marker = folder / f".{stamp}"
    key = _key(installs)
    if marker.exists() and marker.read_text() == key:
        return
    python = str(folder / "bin/python")
    for arguments in installs:
        _run(python, *PIP, *arguments)
    for packages in (folder / "lib").glob("python3.*/site-packages"):
        (packages / "checkout.pth").write_text(f"{SOURCE}\n", encoding="utf-8")
    _run(python, "-m", "compileall", "-q", "edge_daemon")
    marker.write_text(key)


def _key(installs: tuple[tuple[str, ...], ...]) -> str:
    """Return a key that changes with the requirements and with the path of the checkout."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return hashlib.sha256(f"{SOURCE} {installs} {project}".encode()).hexdigest()


def _version(python: Path) -> str:
    """Return the version of an interpreter, such as "3.13"; "" if it does not run."""
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(  # noqa: S603
            [str(python), "-c", show], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(*words: str) -> None:
    if code := subprocess.run(words, cwd=SOURCE, check=False).returncode:  # noqa: S603
        raise CannotMakeError(f"`{' '.join(words)}` failed with exit code {code}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
