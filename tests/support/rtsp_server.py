"""An RTSP camera on loopback: H.264 in RTP over the RTSP connection (RFC 2326, 10.12; RFC 6184)."""

from __future__ import annotations

import base64
import contextlib
import math
import socket
import threading
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from edge_daemon.capture.demo.scene import Demo
from support.loopback_server import TcpServer

CLOCK_HZ = 90_000
LARGEST_PACKET = 1400


def encode(pictures: list[NDArray[np.uint8]]) -> list[bytes]:
    """Return the pictures as H.264 access units in the byte stream format, each a key frame."""
    height, width = pictures[0].shape[:2]
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, 10), Fraction(10)
    codec.options = {"tune": "zerolatency", "preset": "ultrafast", "g": "1"}
    frames = [av.VideoFrame.from_ndarray(picture, format="bgr24") for picture in pictures]
    return [bytes(packet) for frame in frames for packet in codec.encode(frame)]


def demo_units(count: int = 8) -> list[bytes]:
    demo = Demo(320, 240)
    return encode([demo.render(n / 10) for n in range(count)])


class RtspServer(TcpServer):
    """Sends `units` in a loop, `interval_s` apart.

    Requires `login` ("name:password") by Basic authentication if it is set. Answers DESCRIBE after
    `delay_s`. With `frozen_clock` all timestamps are equal. Sends nothing after `count` pictures or
    once `silent` is set.
    """

    def __init__(
        self,
        units: list[bytes],
        *,
        interval_s: float = 0.03,
        delay_s: float = 0.0,
        login: str = "",
        frozen_clock: bool = False,
        count: float = math.inf,
    ) -> None:
        self.units, self.interval_s, self.delay_s, self.login = units, interval_s, delay_s, login
        self.frozen_clock, self.count = frozen_clock, count
        self.silent = threading.Event()
        super().__init__()

    def url(self, login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/live"

    def serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as reader:
            while request := _read_request(reader):
                self.requests.append(request)
                method = request.split()[0]
                client.sendall(self._answer(method, request).encode())
                if method == "PLAY":
                    self._stream(client)
                    return

    def _answer(self, method: str, request: str) -> str:
        lines = [line.split(": ", 1) for line in request.splitlines()[1:]]
        given = {line[0].lower(): line[1] for line in lines if len(line) == 2}
        head = f"CSeq: {given.get('cseq', '0')}\r\n"
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and method != "OPTIONS" and given.get("authorization") != wanted:
            return f'RTSP/1.0 401 No\r\n{head}WWW-Authenticate: Basic realm="cam"\r\n\r\n'
        head = f"RTSP/1.0 200 OK\r\n{head}"
        if method == "DESCRIBE":
            self.closing.wait(self.delay_s)
            sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\n"
            sdp += f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/{CLOCK_HZ}\r\na=control:track\r\n"
            sdp += "a=fmtp:96 packetization-mode=1\r\n"
            return f"{head}Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
        if method == "SETUP":
            head += f"Transport: {given['transport']}\r\n"
        return f"{head}Session: 1;timeout=60\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n"

    def _stream(self, client: socket.socket) -> None:
        sequence = number = 0
        while not self.closing.wait(self.interval_s if number else 0.0):
            if self.silent.is_set() or number >= self.count:
                continue
            ticks = (
                0 if self.frozen_clock else round(number * max(self.interval_s, 0.04) * CLOCK_HZ)
            )
            for payload, is_last in _payloads(self.units[number % len(self.units)]):
                marker = 0x80 if is_last else 0
                header = bytes([0x80, marker | 96]) + (sequence & 0xFFFF).to_bytes(2)
                packet = header + (ticks & 0xFFFFFFFF).to_bytes(4) + b"cams" + payload
                client.sendall(b"$\0" + len(packet).to_bytes(2) + packet)
                sequence += 1
            number += 1


def _read_request(reader: Iterator[bytes]) -> str:
    lines: list[str] = []
    for line in reader:
        lines.append(line.decode("latin-1"))
        if not line.strip():
            return "".join(lines)
    return ""


def _payloads(unit: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the RTP payloads of an access unit, and whether each is its last."""
    nals = [nal for nal in unit.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if nal]
    for index, nal in enumerate(nals):
        is_last_nal = index == len(nals) - 1
        if len(nal) <= LARGEST_PACKET:
            yield nal, is_last_nal
            continue
        pieces = [nal[n : n + LARGEST_PACKET] for n in range(1, len(nal), LARGEST_PACKET)]
        for number, piece in enumerate(pieces):
            first, last = number == 0, number == len(pieces) - 1
            fragment = bytes([nal[0] & 0xE0 | 28, nal[0] & 0x1F | first << 7 | last << 6])
            yield fragment + piece, is_last_nal and last
