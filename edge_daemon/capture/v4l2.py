"""Asks V4L2 for the video devices of this machine, their formats, frame rates and controls.

The structures are those of linux/videodev2.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s32s32sIII12x")  # driver, card, bus, version, all caps, own caps
_CAPTURE, _CAPTURE_MPLANE = 0x00000001, 0x00001000  # single- and multi-planar video capture
_HAS_OWN_CAPS = 0x80000000

_ENUM_FMT = 0xC0405602
_FORMAT = struct.Struct("=III32s4s16x")  # index, buffer type, flags, description, pixel format
_BUFFER_CAPTURE, _BUFFER_CAPTURE_MPLANE = 1, 9
_ENUM_INTERVALS = 0xC034564B
_INTERVAL = struct.Struct("=I4sIIIII24x")  # index, format, width, height, type, shortest as n / d

_QUERYCTRL = 0xC0445624
_QUERY = struct.Struct("=II32siiiiI8x")  # id, type, name, minimum, maximum, step, default, flags
_NEXT_CONTROL = 0x80000000
_SET_CONTROL = 0xC008561C
_VALUE = struct.Struct("=Ii")  # id, value
_SETTABLE_TYPES: Final = frozenset({1, 2, 3, 8, 9})  # integer, boolean, menu, bitmask, integer menu
_DISABLED = 0x0001

MJPG = "MJPG"
GRAY_16_BE = "Y16\xa0"  # big-endian: the fourth character has its highest bit set
# What OpenCV decodes, as FourCC: RGB, YUV, 8-bit Bayer, JPEG and gray.
READABLE: Final = frozenset({
    "BGR3", "RGB3", "XR24", "AR24", "YV12", "YU12", "411P", "YUYV", "UYVY", "NV12", "NV21",
    "BA81", "GBRG", "S910", "MJPG", "JPEG", "GREY", "Y10 ", "Y12 ", "Y16 ", GRAY_16_BE,
})  # fmt: skip
# What sensors deliver: Bayer and gray, packed or compressed. All else is for FFmpeg to convert.
_SENSOR: Final = re.compile(
    "GRBG|RGGB|BYR2|(BA|BG|GB|GR|RG)1[0246]|[abp][BGRg].[0-9A-Z]|Y1[024]P|Y14 |ip3.|PC[12]."
)
_MOST = 64  # formats, or intervals of a format, that are read; some drivers list them endlessly
_MOST_CONTROLS = 512


@dataclass(frozen=True, slots=True)
class VideoNode:
    """A video device; `formats` are the driver's FourCCs."""

    name: str
    captures: bool
    formats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceControl:
    """A setting of a camera's driver, by the name that v4l2-ctl shows, and its range."""

    name: str
    id: int
    minimum: int
    maximum: int
    default: int


def video_nodes(folder: Path = Path("/dev")) -> list[Path]:
    """List all `video*` nodes, by number."""
    nodes = [p for p in folder.glob("video*") if p.name.removeprefix("video").isdigit()]
    return sorted(nodes, key=lambda p: int(p.name.removeprefix("video")))


def capture_devices(folder: Path = Path("/dev")) -> list[Path]:
    """List the nodes that capture pictures, without those for metadata, codecs and output."""
    return [p for p in video_nodes(folder) if _captures(p)]


def describe(node: Path) -> VideoNode:
    """Describe `node`, also while another process reads it. Raises OSError."""
    with _opened(node) as handle:
        name, captures = _capability(handle)
        formats = tuple(code.decode("latin-1") for code in _formats(handle, captures))
    return VideoNode(name, bool(captures), formats)


def frame_rates(node: Path, width: int, height: int) -> dict[str, float]:
    """Return the highest frame rate at `width` × `height` for each format that lists one."""
    rates: dict[str, float] = {}
    try:
        with _opened(node) as handle:
            for code in _formats(handle, _capability(handle)[1]):
                fastest = max(_rates(handle, code, width, height), default=0.0)
                if fastest:
                    rates[code.decode("latin-1")] = fastest
    except OSError:
        pass  # opening the camera reports the reason
    return rates


def prefers_mjpg(rates: Mapping[str, float], fps: float) -> bool:
    """Return whether MJPG reaches `fps`, or comes nearer to it, and other formats do not.

    USB 2 carries uncompressed frames of 640×480 at 30 a second, but not much more. Where they are
    fast enough, they save the decoding.
    """
    plain = max((rate for code, rate in rates.items() if code != MJPG), default=0.0)
    return plain < min(fps, rates.get(MJPG, 0.0))


def shown_format(code: str) -> str:
    """Return a FourCC as people write it."""
    return (
        "Y16-BE"
        if code == GRAY_16_BE
        else "".join(c if c.isprintable() else "?" for c in code).strip()
    )


def unreadable(formats: Sequence[str]) -> str:
    """Return why none of `formats` can be used, as a sentence that follows the camera's name."""
    fix = (
        "a camera on a Raspberry Pi's own connector is read with camera.source: picamera"
        if is_sensor_data(formats)
        else "have a program such as MediaMTX or go2rtc serve it by RTSP, and name that address as "
        "camera.source"
    )
    return f"delivers only {', '.join(map(shown_format, formats))}, which cannot be decoded; {fix}"


def is_sensor_data(formats: Sequence[str]) -> bool:
    """Return whether one of `formats` is raw sensor data, which libcamera makes pictures of."""
    return any(_SENSOR.fullmatch(code) for code in formats)


def device_controls(node: Path) -> list[DeviceControl]:
    """List the controls of `node` that can be set to a number. Raises OSError."""
    with _opened(node) as handle:
        return list(_controls(handle))


def set_controls(node: Path, values: Mapping[str, object]) -> None:
    """Set controls by name, in the order given. Raises OSError that names the control and why."""
    if not values:
        return
    with _opened(node) as handle:
        known = {control.name: control for control in _controls(handle)}
        for name, value in values.items():
            control = known.get(name)
            if control is None:
                names = ", ".join(known) or "no control"
                raise OSError(f"camera.controls names {name!r}, but the camera has {names}")
            if not isinstance(value, int):
                raise OSError(f"camera.controls.{name} is {value!r}, but must be a whole number")
            reason = _set_control(handle, control, value)
            if reason:
                raise OSError(
                    f"camera.controls.{name} cannot be set to {value}: {reason} "
                    f"(its range is {control.minimum} to {control.maximum})"
                )


def control_name(title: str) -> str:
    """Return a control's name as v4l2-ctl shows it: "Exposure, Auto" is exposure_auto."""
    return re.sub("[^a-z0-9]+", "_", title.lower()).strip("_")


def _captures(node: Path) -> bool:
    try:
        with _opened(node) as handle:
            return bool(_capability(handle)[1])
    except OSError:
        return False


def _capability(handle: int) -> tuple[str, int]:
    """Return the device's name, and the type of the buffers it captures to; 0 for none."""
    answer = bytearray(_CAPABILITY.size)
    fcntl.ioctl(handle, _QUERYCAP, answer)
    _, card, *_, all_caps, own_caps = _CAPABILITY.unpack(answer)
    caps = own_caps if all_caps & _HAS_OWN_CAPS else all_caps
    if caps & _CAPTURE:
        return _text(card), _BUFFER_CAPTURE
    return _text(card), _BUFFER_CAPTURE_MPLANE if caps & _CAPTURE_MPLANE else 0


def _formats(handle: int, buffer_type: int) -> Iterator[bytes]:
    for index in range(_MOST):
        answer = bytearray(_FORMAT.pack(index, buffer_type, 0, b"", b""))
        try:
            fcntl.ioctl(handle, _ENUM_FMT, answer)
        except OSError:  # EINVAL: there are no more
            return
        yield _FORMAT.unpack(answer)[4]


def _rates(handle: int, code: bytes, width: int, height: int) -> Iterator[float]:
    """Yield the rates of one format; of a range, the fastest."""
    for index in range(_MOST):
        answer = bytearray(_INTERVAL.pack(index, code, width, height, 0, 0, 0))
        try:
            fcntl.ioctl(handle, _ENUM_INTERVALS, answer)
        except OSError:
            return
        *_, numerator, denominator = _INTERVAL.unpack(answer)
        if numerator:
            yield denominator / numerator


def _controls(handle: int) -> Iterator[DeviceControl]:
    last = 0
    for _ in range(_MOST_CONTROLS):
        answer = bytearray(_QUERY.pack(last | _NEXT_CONTROL, 0, b"", 0, 0, 0, 0, 0))
        try:
            fcntl.ioctl(handle, _QUERYCTRL, answer)
        except OSError:  # EINVAL: there are no more; ENOTTY: the driver has none
            return
        last, kind, title, minimum, maximum, _, default, flags = _QUERY.unpack(answer)
        if kind in _SETTABLE_TYPES and not flags & _DISABLED:
            yield DeviceControl(control_name(_text(title)), last, minimum, maximum, default)


def _set_control(handle: int, control: DeviceControl, value: int) -> str:
    """Set a control; return why that failed, or ""."""
    # Most drivers would silently take the nearest value. A bit mask has no range.
    if control.minimum <= control.maximum and not control.minimum <= value <= control.maximum:
        return os.strerror(errno.ERANGE)
    try:
        fcntl.ioctl(handle, _SET_CONTROL, bytearray(_VALUE.pack(control.id, value)))
    except (OSError, struct.error) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def _text(raw: bytes) -> str:
    """Return a driver's NUL-terminated text, with only printable characters."""
    text = raw.partition(b"\0")[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)


@contextmanager
def _opened(node: Path) -> Iterator[int]:
    handle = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)
