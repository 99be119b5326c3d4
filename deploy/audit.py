"""Finds known vulnerabilities in the packages of deploy/locks: `python -m deploy.audit`.

`make audit` runs it. pip-audit (PyPA) asks PyPI about each package. It exits with 0 even if it
could not look up a package; this command fails then.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from deploy.layout import DeployError

LOCKS = Path(__file__).resolve().parent / "locks"


def audit(locks: Iterable[Path], *, options: Sequence[str] = ()) -> int:
    """Return how many packages have no known vulnerability.

    Raises DeployError at the first lock with a package that has one or could not be looked up.
    """
    audited: set[tuple[str, str]] = set()
    for lock in locks:
        found = _report(lock, options)
        if skipped := [each for each in found if "skip_reason" in each]:
            raise DeployError(
                f"NOT AUDITED: pip-audit could not look up {len(skipped)} of the {len(found)} "
                f"packages of {lock.name}; run it where PyPI can be reached"
            )
        if vulnerable := [each for each in found if each["vulns"]]:
            raise DeployError("\n".join(_sentence(each, lock) for each in vulnerable))
        audited |= {(each["name"], each["version"]) for each in found}
    return len(audited)


def _report(lock: Path, options: Sequence[str]) -> list[dict[str, Any]]:
    """Return pip-audit's findings for each package of a lock, in its JSON format."""
    words = ["--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json"]
    asked = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pip_audit", *words, *options, f"--requirement={lock}"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except ValueError:
        reason = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        raise DeployError(
            f"NOT AUDITED: pip-audit failed at {lock.name}; run it where PyPI can be reached: "
            f"{reason}"
        ) from None
    return found


def _sentence(package: dict[str, Any], lock: Path) -> str:
    """Return a sentence with a package's vulnerabilities and the versions without them."""
    names = ", ".join(each["id"] for each in package["vulns"])
    fixed = sorted({version for each in package["vulns"] for version in each["fix_versions"]})
    fix = f"fix: make lock (fixed in {', '.join(fixed)})" if fixed else "no version fixes it yet"
    return f"{package['name']} {package['version']} of {lock.name} has {names}; {fix}"


def main() -> int:
    """Audit all locks; return 0, or 1 after printing what was found."""
    try:
        count = audit(sorted(LOCKS.glob("*.txt")))
    except DeployError as error:
        for line in str(error).splitlines():
            print(f"audit: {line}", file=sys.stderr)
        return 1
    print(f"audit: no known vulnerability in the {count} packages of deploy/locks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
