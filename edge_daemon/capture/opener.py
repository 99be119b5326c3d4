"""Turns `camera.source` into a function that opens the source, each time it is needed."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from edge_daemon.capture.address import CameraAddress, is_ambiguous, parse_address
from edge_daemon.capture.device import V4l2Device
from edge_daemon.capture.first_camera import SHORTEST_PROBE_S, FirstCamera
from edge_daemon.capture.picamera import PiCamera, check_installed, pi_cameras
from edge_daemon.capture.sources import (
    DemoSource,
    OpenSource,
    PictureFiles,
    Source,
    SourceAwayError,
    SourceError,
    VideoSource,
    is_picture,
)
from edge_daemon.capture.v4l2 import GRAY_16_BE, READABLE, capture_devices, shown_format

log = logging.getLogger(__name__)


def source_opener(
    source: str | int,
    *,
    width: int,
    height: int,
    fps: float,
    loop: bool,
    timeout_s: float,
    pixel_format: str = "auto",
    controls: Mapping[str, object] | None = None,
    tls_verify: bool | str = True,
) -> OpenSource:
    """Check `source`, the value of `camera.source`, and return a function that opens it.

    `width`, `height`, `fps`, `pixel_format` and `controls` are requested from a device. The first
    three also apply to the demo, and `fps` is the rate at which still pictures are polled. `loop`
    plays files again and again. A network camera has `timeout_s` to answer; `tls_verify` is as in
    `HttpClient`. Raises SourceError if opening can never work. The function returned raises
    SourceAwayError while a camera does not answer.
    """
    text = f"/dev/video{source}" if str(source).isdecimal() else str(source)
    _check_pixel_format(pixel_format)
    demo = partial(DemoSource, width=width, height=height, fps=fps)
    camera = partial(
        _open_camera,
        width=width,
        height=height,
        fps=fps,
        timeout_s=timeout_s,
        pixel_format=pixel_format,
        controls=controls,
    )
    if text == "auto":
        return FirstCamera(
            cameras=_attached_cameras,
            open_camera=camera,
            otherwise=demo,
            probe_s=max(timeout_s, SHORTEST_PROBE_S),
        )
    if text == "demo":
        return demo
    if re.fullmatch(r"picamera(:\d+)?", text):
        check_installed()
        return partial(camera, text)
    if re.match(r"\s*(\S+://|(rtsps?|https?):)", text, re.IGNORECASE):
        address = _checked_address(text, tls_verify)
        return partial(_open_network, address, timeout_s=timeout_s, fps=fps, tls_verify=tls_verify)
    path = Path(text).expanduser()
    if path.is_relative_to("/dev"):
        if path.exists() and not path.is_char_device():
            raise SourceError(f"{path} is not a camera device: name one like /dev/video0")
        return partial(camera, str(path))
    return _file_opener(path, loop=loop)


def _check_pixel_format(pixel_format: str) -> None:
    if pixel_format != "auto" and f"{pixel_format:<4}" not in READABLE:
        raise SourceError(
            f"camera.pixel_format: {pixel_format} cannot be decoded: use auto or one of "
            f"{', '.join(sorted(map(shown_format, READABLE - {GRAY_16_BE})))}"
        )


def _open_camera(
    name: str,
    *,
    width: int,
    height: int,
    fps: float,
    timeout_s: float,
    pixel_format: str,
    controls: Mapping[str, object] | None,
) -> Source:
    """Open a camera of this machine: picamera, picamera:NUMBER, or the path of a device."""
    kind, _, number = name.partition(":")
    if kind == "picamera":
        return PiCamera(int(number or 0), width=width, height=height, fps=fps, controls=controls)
    return V4l2Device(
        name,
        width=width,
        height=height,
        fps=fps,
        timeout_s=timeout_s,
        pixel_format=pixel_format,
        controls=controls,
    )


def _attached_cameras() -> list[str]:
    return [*pi_cameras(), *map(str, capture_devices())]


def _checked_address(text: str, tls_verify: bool | str) -> CameraAddress:
    address = parse_address(text)
    if is_ambiguous(address):
        log.warning(
            "camera.source can be read in more than one way: write the special characters of the "
            "password as %%40 for @, %%2F for /, %%3F for ? and %%23 for #"
        )
    if address.scheme == "rtsps" and isinstance(tls_verify, str):
        raise SourceError(
            f"{address.shown}: a fingerprint in camera.tls_verify works for https:// only; "
            "set it to false for a camera with a self-signed certificate"
        )
    return address


def _open_network(
    address: CameraAddress, *, timeout_s: float, fps: float, tls_verify: bool | str
) -> Source:
    if address.scheme in {"http", "https"}:
        from edge_daemon.capture.mjpeg import open_jpegs  # noqa: PLC0415 (loads an HTTP client)

        camera = open_jpegs(address, timeout_s=timeout_s, fps=fps, tls_verify=tls_verify)
        if camera is not None:
            return camera
        if isinstance(tls_verify, str):
            raise SourceAwayError(
                f"{address.shown} sends no JPEG pictures; for other video camera.tls_verify cannot "
                "be a fingerprint"
            )
    from edge_daemon.capture.video import NetworkVideo  # noqa: PLC0415 (loads FFmpeg)

    return NetworkVideo(address, timeout_s=timeout_s, tls_verify=bool(tls_verify))


def _file_opener(path: Path, *, loop: bool) -> OpenSource:
    if not path.exists():
        if re.search(":.*@", str(path)):
            raise SourceError(
                "camera.source is neither a file nor an address: write a camera's address as "
                "rtsp://USER:PASSWORD@HOST/… or http://…"
            )
        raise SourceError(
            f"{path} does not exist: name a video, a folder of pictures, a device like "
            '/dev/video0, an rtsp:// or http:// address, picamera, "auto" or "demo"'
        )
    if not path.is_dir() and not path.is_file():
        raise SourceError(f"{path} is neither a file nor a folder: name a video or pictures")
    if path.is_dir() and not any(map(is_picture, path.iterdir())):
        raise SourceError(f"the folder {path} has no picture in it: put one there")

    def opened() -> PictureFiles | VideoSource:
        if path.is_dir() or is_picture(path):
            return PictureFiles(path, loop=loop)
        return VideoSource(path, loop=loop)

    def reopened() -> Source:
        try:
            return opened()
        except SourceError as error:
            if loop:  # the file may come back
                raise SourceAwayError(str(error)) from error
            raise

    source = opened()
    try:
        source.read()
    except SourceAwayError as error:
        raise SourceError(str(error)) from error
    finally:
        source.close()
    return reopened
