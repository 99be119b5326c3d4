"""Compares Mien's unit with those of other services by `systemd-analyze security`.

    python -m benchmarks.exposure camera-streamer-raspi-v3-12MP.service …

Other services are those that this machine has, and the unit files given. Prints
benchmarks/exposure.md; a lower exposure is better.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIEN = ROOT / "systemd/edge-daemon.service"
SYSTEM = Path("/usr/lib/systemd/system")
OTHERS = ("systemd-hostnamed", "systemd-timesyncd", "motion", "mosquitto")
# Of a camera on the device itself, watched through a reverse proxy on the device.
LOCAL_ONLY = "IPAddressDeny=any\nIPAddressAllow=localhost\n"


def exposure(unit: Path) -> float:
    """Return the overall exposure of a unit file, from 0 to 10."""
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"Overall exposure level for .*: (\d+\.\d)", done.stdout)
    if found is None:
        sys.exit(f"{unit}: {done.stderr.strip() or 'no exposure'}")
    return float(found[1])


def rows(given: list[Path]) -> Iterator[tuple[float, str]]:
    """Yield the exposure and the name of each service."""
    yield exposure(MIEN), "Mien"
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / MIEN.name
        local.write_text(MIEN.read_text().replace("[Install]", f"{LOCAL_ONLY}\n[Install]"))
        yield exposure(local), "Mien, reached from the device itself only"
    others = [SYSTEM / f"{name}.service" for name in OTHERS]
    for unit in [*filter(Path.exists, others), *given]:
        yield exposure(unit), unit.stem


def main() -> None:
    """Print the report."""
    words = ["systemd-analyze", "--version"]
    version = subprocess.run(words, capture_output=True, text=True, check=True).stdout  # noqa: S603
    print(
        "# Exposure of services\n\n"
        "What `systemd-analyze security --offline=yes` says of the unit files, from 0 to 10; lower "
        f"is better. {version.splitlines()[0]}; made by "
        "`python -m benchmarks.exposure`.\n\n| service | exposure |\n|---|---|"
    )
    for value, name in sorted(rows(list(map(Path, sys.argv[1:])))):
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
