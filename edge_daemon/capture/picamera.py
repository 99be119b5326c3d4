"""Raspberry Pi cameras, read by picamera2 where it is installed.

Follows the Picamera2 manual (https://datasheets.raspberrypi.com/camera/picamera2-manual.pdf,
sections 4.2, 5, 6.1 and 8.1). Not tested on a Pi yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np

from edge_daemon.capture.sources import SourceAwayError, SourceError, TimedImage
from edge_daemon.core.frame import Picture


class PiCamera:
    """A camera on the board's own connector.

    `controls` are libcamera's, such as {AeEnable: false, ExposureTime: 10000}. Raises
    SourceAwayError if the camera is missing or in use.
    """

    fps = None

    def __init__(
        self,
        number: int,
        *,
        width: int,
        height: int,
        fps: float,
        controls: Mapping[str, object] | None = None,
    ) -> None:
        from picamera2 import Picamera2  # noqa: PLC0415 (takes a second, and is rarely installed)

        self.name = f"picamera:{number}"
        self.mode = f"{fps:g} fps requested"
        # The format that picamera2 calls RGB888 has blue first in memory.
        main = {"size": (width, height), "format": "RGB888"}
        try:
            self._camera = Picamera2(number)
        except (RuntimeError, IndexError) as error:
            raise SourceAwayError(f"{self.name} cannot be opened: {error}") from error
        try:
            self._camera.configure(
                self._camera.create_video_configuration(main=main, controls={"FrameRate": fps})
            )
            self._camera.start()
            self._camera.set_controls(dict(controls or {}))
        except RuntimeError as error:
            self._camera.close()
            raise SourceAwayError(f"{self.name} cannot be started: {error}") from error

    def read(self) -> TimedImage:
        bgr = np.ascontiguousarray(self._camera.capture_array("main"), np.uint8)
        return TimedImage(Picture(bgr))

    def close(self) -> None:
        self._camera.stop()
        self._camera.close()


def check_installed() -> None:
    """Raise SourceError if picamera2 cannot be imported."""
    if not find_spec("picamera2"):
        raise SourceError(
            "picamera: the package picamera2 cannot be imported; install Raspberry Pi OS's "
            "python3-picamera2 and create the environment with --system-site-packages"
        )


def pi_cameras() -> list[str]:
    """Return the names of picamera2's cameras, without those on USB, which V4L2 serves."""
    if not find_spec("picamera2"):
        return []
    from picamera2 import Picamera2  # noqa: PLC0415

    infos = Picamera2.global_camera_info()  # the board's own come first
    return [f"picamera:{n}" for n, info in enumerate(infos) if "/usb" not in info["Id"]]
