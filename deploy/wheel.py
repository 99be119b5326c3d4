"""`python3 -m deploy.wheel`: the wheel that `pip install mien` takes, in dist/.

It holds the daemon and its models, and requires what a device needs. In a checkout the requirements
are extras instead, so that training does not install the daemon's. The same content always gives
the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from deploy.bundle import SOURCE
from deploy.layout import DeployError, run, run_pip
from deploy.release import contents, requirements

# Pinned, because the wheel names it, and another version may order the files differently.
SETUPTOOLS = "setuptools==80.9.0"
BUILD = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
EPOCH = 315532800  # 1980-01-01, the first date of a .zip


def wheel(output: Path) -> Path:
    """Write the wheel, with SOURCE_DATE_EPOCH as the date of its files if that is set."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.resolve()) as scratch:
        folder, made = Path(scratch) / "mien", Path(scratch) / "made"
        for file in [*contents(SOURCE), SOURCE / "README.md"]:
            target = folder / file.relative_to(SOURCE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            target.chmod(0o644)
        pyproject = folder / "pyproject.toml"
        pyproject.write_text(_complete(pyproject), encoding="utf-8")
        dated = {"SOURCE_DATE_EPOCH": str(EPOCH)} | os.environ | {"PYTHONPATH": ""}
        if _has_setuptools():
            run([sys.executable, "-c", BUILD, made], cwd=folder, environment=dated)
        else:
            pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", f"--wheel-dir={made}", "."]
            run_pip(pip, cwd=folder, environment=dated)
        (built,) = made.iterdir()
        return built.replace(output / built.name)


def _has_setuptools() -> bool:
    """Return whether this Python has the pinned setuptools, which pip would download otherwise."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("setuptools") == SETUPTOOLS.partition("==")[2]
    return False


def _complete(pyproject: Path) -> str:
    """Return pyproject.toml with the requirements of a device and a pinned setuptools."""
    wanted = json.dumps(requirements(pyproject))
    text = pyproject.read_text(encoding="utf-8")
    for old, new in (
        ('requires = ["setuptools>=77"]', f'requires = ["{SETUPTOOLS}"]'),
        ("\ndependencies = []\n", f"\ndependencies = {wanted}\n"),
    ):
        if text.count(old) != 1:
            raise DeployError(f"pyproject.toml has no line {old.strip()}.")
        text = text.replace(old, new)
    return text


def main() -> int:
    """Write the wheel; the exit code is 0, or 1 after a sentence that says why it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("dist"))
    try:
        print(wheel(parser.parse_args().output))
    except DeployError as error:
        print(f"wheel: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
