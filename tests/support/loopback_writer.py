"""`python loopback_writer.py NODE WIDTH HEIGHT FORMAT`: the demo on a v4l2loopback device.

It writes the demo as MJPG; every third buffer is empty or damaged, as with some cameras. In any
other FORMAT it writes black. It runs in the guest as a service, in the daemon's environment.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import sys
import time

import cv2

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.systemd import Supervisor

# struct v4l2_format of linux/videodev2.h, for video output: type, width, height, pixel format,
# field and maximum number of bytes.
S_FMT, STREAMON = 0xC0D05605, 0x40045612
FORMAT = struct.Struct("=I4xII4sIII176x")
OUTPUT, NO_FIELD = 2, 1
PICTURES, INTERVAL_S = 15, 0.2


def main() -> None:
    node, code = sys.argv[1], sys.argv[4]
    width, height = int(sys.argv[2]), int(sys.argv[3])
    demo = Demo(width, height)
    pictures = [cv2.imencode(".jpg", demo.render(n / 5))[1].tobytes() for n in range(PICTURES)]
    pictures[::3] = [b"\0", pictures[0][:500], b"\xff\xd8\xff", b"\0", pictures[0][:5000]]
    most_bytes = width * height * (2 if code == "MJPG" else 1)
    if code != "MJPG":
        pictures = [bytes(most_bytes)]
    device = os.open(node, os.O_RDWR)
    wanted = FORMAT.pack(OUTPUT, width, height, code.encode(), NO_FIELD, 0, most_bytes)
    fcntl.ioctl(device, S_FMT, wanted)
    # Without it, v4l2loopback 0.12 lets nobody write after this program has ended.
    # https://github.com/v4l2loopback/v4l2loopback/issues/470
    fcntl.ioctl(device, STREAMON, struct.pack("=i", OUTPUT))
    Supervisor().ready()
    for picture in itertools.cycle(pictures):
        os.write(device, picture)
        time.sleep(INTERVAL_S)


if __name__ == "__main__":
    main()
