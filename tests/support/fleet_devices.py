"""Runs many devices: processes with the daemon's log and MQTT parts, and generated events.

Arguments: the broker's port, a folder, the number of devices, seconds, events per second. Each ends
when the broker has all its events. Prints the total number of events.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from support.mqtt_site import MqttSite


def be_a_device(number: int, port: int, folder: Path, seconds: float, rate: float) -> None:
    """Generate events and send them until the broker has all of them."""
    count = round(seconds * rate)
    topic = f"mien/fleet/{number:04}"
    site = MqttSite(folder / f"{number:04}", port, topic=topic, discovery=False)
    with site:
        start_s = time.monotonic() + number % 100 / 100 / rate  # spread over time
        for n in range(count):
            time.sleep(max(start_s + n / rate - time.monotonic(), 0))
            site.happens(camera=number, n=n)
        while site.link.status.acknowledged < count:
            time.sleep(0.1)


def main(port: int, folder: Path, devices: int, seconds: float, rate: float) -> int:
    children = []
    for number in range(devices):
        child = os.fork()
        if child == 0:
            be_a_device(number, port, folder, seconds, rate)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(devices * round(seconds * rate))
    return max(codes)


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(int(words[0]), Path(words[1]), int(words[2]), float(words[3]), float(words[4])))
