"""The kernel files of a Raspberry Pi, for tests."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pi(folder: Path, throttled: str) -> Path:
    """Write the files that the kernel of a Raspberry Pi shows; return their root."""
    device = folder / "devices/platform/soc/soc:firmware"
    write(device / "get_throttled", throttled)
    driver = folder / "bus/platform/drivers/raspberrypi-firmware"
    driver.mkdir(parents=True)
    (driver / "soc:firmware").symlink_to(device)
    zone = folder / "class/thermal/thermal_zone0"
    write(zone / "type", "cpu-thermal\n")
    write(zone / "temp", "61835\n")
    return folder
