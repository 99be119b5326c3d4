"""Video files and network video, decoded by PyAV (FFmpeg's libraries).

OpenCV's reader is not used for these: from 4.13 on it returns black frames for interlaced video,
and it reports neither the time of a frame nor that a file is cut off.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as AvVideoStream

from edge_daemon.capture.address import CameraAddress
from edge_daemon.capture.file_clock import FileClock
from edge_daemon.capture.frame_converter import FrameConverter, pixel_aspect
from edge_daemon.capture.sources import (
    SourceAwayError,
    SourceError,
    SourceSilentError,
    TimedImage,
)
from edge_daemon.core.frame import Picture

_USUAL_FPS: Final = 25.0  # of a file without a frame rate
_FPS_RANGE: Final = (0.01, 240.0)  # other rates in a header are wrong
# A decoder keeps up to 16 frames. Files are chosen by the user; what a camera sends is not.
_MOST_FILE_PIXELS, _MOST_STREAM_PIXELS = 40_000_000, 12_500_000
# Certificates that Debian and Fedora trust; FFmpeg does not find them by itself.
_AUTHORITIES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_FORMATS_WITH_DURATION: Final = frozenset(
    {"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "flv", "asf"}
)
_SHORT_S, _SHORT_SHARE = 0.5, 0.05  # a file that ends sooner than its header says is cut off
# Formats that name other files or addresses; a file from somebody else would read these.
_LISTS: Final = frozenset(
    {
        "concat", "dash", "hls", "imf", "lavfi", "rtsp", "sap", "sdp", "smoothstreaming", "vobsub",
        "webm_dash_manifest",
    }
)  # fmt: skip
_FILE_OPTIONS: Final = {
    "max_pixels": str(_MOST_FILE_PIXELS),
    "format_whitelist": ",".join(sorted(av.formats_available - _LISTS)),
    "protocol_whitelist": "file",
}
_LIST_BEGINNINGS: Final = (b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml")
_MP4_BEGINNINGS: Final = frozenset({b"ftyp", b"mdat", b"wide", b"free", b"skip"})
_JPEG_END, _JPEG_TAIL = b"\xff\xd9", 64  # a few bytes may follow the end


class VideoFile:
    """A video file: `fps` is its nominal frame rate, and `frames` reads it from the beginning.

    Messages call it `name`. Raises SourceError if it holds no video that can be decoded.
    """

    def __init__(self, path: Path, *, name: str = "") -> None:
        self.name = name or str(path)
        self._path = path
        with self._open() as container:
            self.fps = _nominal_fps(_video_stream(container, self.name))

    def frames(self) -> Generator[TimedImage]:
        """Decode the frames in order, upright, with square pixels and complete.

        `time_s` counts from the file's beginning and grows with every frame. Raises SourceError
        after the last frame that could be read if the file is cut off or damaged, or holds none.
        """
        with self._open() as container:
            yield from _FileDecoder(container, self.name).frames()

    def _open(self) -> InputContainer:
        try:
            return _open_file(self._path)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{self.name} {_complaint(self._path, error)}") from error


def frame_count(path: Path) -> int:
    """Return how many frames the header of a video file promises; 0 if it cannot be read."""
    try:
        with _open_file(path) as container:
            stream = _video_stream(container, str(path))
            duration_s = (container.duration or 0) / av.time_base
            return stream.frames or round(duration_s * _nominal_fps(stream))
    except (av.FFmpegError, OSError, ValueError, SourceError):
        return 0


def _open_file(path: Path) -> InputContainer:
    """Open a video that is all in this one file. Raises FFmpegError, OSError or ValueError."""
    return av.open(
        f"file:{path}",  # a name may look like an address
        options=_FILE_OPTIONS,
        metadata_errors="replace",
    )


def _complaint(path: Path, error: Exception) -> str:
    """Return a clause that says why a file cannot be opened as a video."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as unreadable:
        return f"cannot be read: {_reason(unreadable)}"
    if not head:
        return "is empty"
    if isinstance(error, av.error.ArgumentError) or head.startswith(_LIST_BEGINNINGS):
        return "is a list of other files or addresses, which are not read; name these instead"
    if head[4:8] in _MP4_BEGINNINGS:
        return "is cut off: the index at its end is missing; copy it again from where it was made"
    return f"is not a video that can be decoded: {_reason(error)}"


class _FileDecoder:
    """Decodes one opened file and notes what is wrong with it."""

    def __init__(self, container: InputContainer, name: str) -> None:
        self._container, self._name = container, name
        self._stream = _video_stream(container, name)
        self._clock = FileClock(
            start_s=(container.start_time or 0) / av.time_base,
            interval_s=1 / _nominal_fps(self._stream),
        )
        self._converter = FrameConverter()
        self._end_s, self._end_byte = 0.0, 0  # of the last packet of any stream
        self._jpegs_end = self._is_encrypted = False
        self._count = self._damaged = 0

    def frames(self) -> Iterator[TimedImage]:
        for frame in self._decoded():
            if frame.is_corrupt:
                self._note_damage()
                continue
            try:
                bgr = self._converter.bgr(frame, pixel_aspect(self._stream))
            except (av.FFmpegError, ValueError):
                self._note_damage()
                continue
            self._count += 1
            yield TimedImage(Picture(bgr), self._clock.time_s(frame.time, _duration_s(frame)))
        if not self._count and self._is_encrypted:
            raise SourceError(f"{self._name} is encrypted, so that it cannot be decoded")
        if not self._count:
            raise SourceError(f"{self._name} holds no frame that can be decoded")
        if self._damaged or self._is_short():
            raise SourceError(
                f"{self._name} is cut off or damaged: {self._count} frames up to "
                f"{self._clock.last_s:.2f} s could be read"
            )

    def _note_damage(self) -> None:
        """Count an undecodable packet or frame, but not before the first frame.

        A recording may begin between key frames.
        """
        self._damaged += self._count > 0

    def _decoded(self) -> Iterator[VideoFrame]:
        try:
            for packet in self._container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self._end_s = max(self._end_s, end_s)
                self._end_byte = max(self._end_byte, (packet.pos or 0) + packet.size)
                if packet.stream is not self._stream:
                    continue
                self._is_encrypted |= packet.has_sidedata("encryption_info")
                if packet.is_corrupt or self._is_half_jpeg(packet):  # half a picture is not shown
                    self._note_damage()
                    continue
                try:
                    decoded = packet.decode()
                except av.FFmpegError:
                    self._note_damage()
                    continue
                yield from (frame for frame in decoded if isinstance(frame, VideoFrame))
        except av.FFmpegError:  # the container itself is damaged from here on
            self._damaged += 1
            yield from self._rest()

    def _rest(self) -> Iterator[VideoFrame]:
        """Yield the frames that the decoder still holds to put them in their order."""
        try:
            yield from self._stream.decode(None)
        except av.FFmpegError:
            return

    def _is_half_jpeg(self, packet: Packet[Any]) -> bool:
        """Return whether a packet of a raw MJPEG file has no end, although earlier ones had."""
        if self._container.format.name != "mjpeg" or not packet.size:
            return False
        has_end = _JPEG_END in bytes(packet)[-_JPEG_TAIL:]
        self._jpegs_end |= has_end
        return self._jpegs_end and not has_end

    def _is_short(self) -> bool:
        """Return whether the file ends within a frame or before the end that its header states.

        The duration may count from the first frame or from 0; `_end_s` is no less than either.
        Other formats have no duration but what FFmpeg estimates.
        """
        if self._container.format.name == "yuv4mpegpipe":
            return self._container.size > self._end_byte
        if self._container.format.name not in _FORMATS_WITH_DURATION:
            return False
        duration_s = (self._container.duration or 0) / av.time_base
        return duration_s - self._end_s > max(_SHORT_S, _SHORT_SHARE * duration_s)


class NetworkVideo:
    """Video from the network, over RTSP (in TCP) or HTTP.

    Opening it takes at most `timeout_s`, and so does waiting for a frame. Raises SourceAwayError
    while it is unavailable.
    """

    fps = None

    def __init__(self, address: CameraAddress, *, timeout_s: float, tls_verify: bool) -> None:
        self.name = name = address.shown
        self._timeout_s = timeout_s
        self._asked_s = time.monotonic()
        try:
            self._container = av.open(
                address.full_url,
                options=_network_options(address, tls_verify),
                timeout=timeout_s,
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceAwayError(
                f"{name} does not answer with a video stream: {self._reason(error)}"
            ) from error
        try:
            self._stream = _video_stream(self._container, name, _MOST_STREAM_PIXELS)
        except SourceError as error:
            self._container.close()
            raise SourceAwayError(str(error)) from error
        self._packets = self._container.demux(self._stream)
        self._frames: deque[VideoFrame] = deque()
        self._converter = FrameConverter()
        self.mode = self._stream.codec_context.name

    def read(self) -> TimedImage | None:
        deadline_s = time.monotonic() + self._timeout_s
        while not self._frames:
            if time.monotonic() > deadline_s:
                raise SourceSilentError(f"{self.name} sends no picture that can be decoded")
            self._asked_s = time.monotonic()
            try:
                packet = next(self._packets, None)
            except (av.FFmpegError, OSError) as error:
                if self._is_late():
                    sentence = f"was silent for {self._timeout_s:g} s"
                    raise SourceSilentError(f"{self.name} {sentence}") from error
                raise SourceAwayError(f"{self.name} broke off: {_reason(error)}") from error
            if packet is None:
                return None
            self._decode(packet)
        frame = self._frames.popleft()
        bgr = self._converter.bgr(frame, pixel_aspect(self._stream))
        return TimedImage(Picture(bgr), frame.time)

    def close(self) -> None:
        self._container.close()

    def _decode(self, packet: Packet[AvVideoStream]) -> None:
        """Keep the frames that can be decoded; a stream joined in its middle begins with errors."""
        try:
            self._frames += (
                frame
                for frame in packet.decode()
                if isinstance(frame, VideoFrame) and not frame.is_corrupt
            )
        except av.FFmpegError:
            return

    def _is_late(self) -> bool:
        """Return whether our time limit ended FFmpeg's call, whatever its error says."""
        return time.monotonic() - self._asked_s >= self._timeout_s

    def _reason(self, error: Exception) -> str:
        if self._is_late():
            return f"no answer within {self._timeout_s:g} s"
        return _reason(error)


def _network_options(address: CameraAddress, tls_verify: bool) -> dict[str, str]:
    """Return FFmpeg's options.

    FFmpeg must not wait for a frame rate or timestamps: the next picture may take long.
    """
    options = {
        "fpsprobesize": "0",
        "max_ts_probe": "0",
        "max_pixels": str(_MOST_STREAM_PIXELS),
    }
    if address.scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    if address.is_secure:
        options["tls_verify"] = str(int(tls_verify))
        places = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
        options["ca_file"] = next((place for place in places if place and Path(place).exists()), "")
    return options


def _reason(error: BaseException) -> str:
    """Return the reason of a PyAV error, without the address, which may contain a password."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _video_stream(
    container: InputContainer, name: str, most_pixels: int = _MOST_FILE_PIXELS
) -> AvVideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, AvVideoStream):
        raise SourceError(f"{name} holds no video")
    if stream.codec_context is None:
        raise SourceError(f"{name} holds a video in a format that cannot be decoded")
    stream.thread_type = "NONE"  # more threads add delay, memory, and load beside the model
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(most_pixels)}
    return stream


def _duration_s(frame: VideoFrame) -> float:
    """Return for how long a frame is shown; 0 if the file does not say."""
    return float((frame.duration or 0) * (frame.time_base or 0))


def _nominal_fps(stream: AvVideoStream) -> float:
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and _FPS_RANGE[0] <= rate <= _FPS_RANGE[1]:
            return float(rate)
    return _USUAL_FPS
