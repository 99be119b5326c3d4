"""Tests RTSP cameras on a real server: pictures, log-in, delays, freezes, reasons of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.camera_bench import Bench, opener
from support.rtsp_server import RtspServer, demo_units
from support.waiting import until

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.capture.opener import source_opener
from edge_daemon.capture.sources import Source, SourceAwayError, SourceError, SourceSilentError

Serve = Callable[..., RtspServer]


@pytest.fixture(scope="module")
def units() -> list[bytes]:
    return demo_units()


@pytest.fixture
def serve(units: list[bytes]) -> Iterator[Serve]:
    started: list[RtspServer] = []

    def start(given: list[bytes] | None = None, **options: Any) -> RtspServer:
        started.append(RtspServer(given or units, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def opened(url: str, *, timeout_s: float = 10.0) -> Source:
    return source_opener(url, width=320, height=240, fps=30.0, loop=False, timeout_s=timeout_s)()


def test_pictures_arrive_as_they_were_sent(serve: Serve) -> None:
    camera, demo = opened(serve().url()), Demo(320, 240)
    assert camera.mode == "h264"
    times_s = []
    for number in range(8):
        image = camera.read()
        assert image is not None
        times_s.append(image.time_s)
        assert np.abs(image.picture.bgr.astype(int) - demo.render(number / 10)).mean() < 12
    known_s = [time_s for time_s in times_s if time_s is not None]
    assert len(known_s) >= 7  # FFmpeg gives the first one none
    assert min(np.diff(known_s)) > 0
    camera.close()


def test_a_picture_is_not_held_back_for_many_others(serve: Serve) -> None:
    """FFmpeg needs the beginning of the next one, but would like to see up to 50."""
    camera = opened(serve(count=3).url(), timeout_s=600)  # far longer than a test may take
    assert camera.read() is not None
    assert camera.read() is not None
    camera.close()


def test_a_slow_describe_is_waited_for_as_configured(serve: Serve) -> None:
    server = serve(delay_s=1.0)
    camera = opened(server.url(), timeout_s=20)
    assert camera.read() is not None
    camera.close()
    with pytest.raises(SourceAwayError, match=r"no answer within 0\.4 s"):
        opened(server.url(), timeout_s=0.4)


def test_a_camera_that_falls_silent_is_reported_after_the_timeout(serve: Serve) -> None:
    server = serve()
    camera = opened(server.url(), timeout_s=0.5)
    assert camera.read() is not None
    server.silent.set()
    with pytest.raises(SourceSilentError, match=r"was silent for 0\.5 s"):
        while camera.read() is not None:
            pass
    camera.close()


@pytest.mark.parametrize("typed", ["ad#min:p@ss/w?o[r]d", "ad%23min:p%40ss%2Fw%3Fo%5Br%5Dd"])
def test_log_in(serve: Serve, typed: str) -> None:
    server = serve(login="ad#min:p@ss/w?o[r]d")
    camera = opened(server.url(typed + "@"))
    assert camera.read() is not None
    camera.close()
    with pytest.raises(SourceAwayError, match=r"not authorized|Unauthorized|401") as caught:
        opened(server.url("me:wrong@"))
    assert "wrong" not in str(caught.value)


def test_nobody_there(serve: Serve) -> None:
    server = RtspServer([b""])
    url = server.url("me:secret@")
    server.stop()
    with pytest.raises(SourceAwayError, match="Connection refused") as caught:
        opened(url)
    assert str(caught.value).startswith("rtsp://127.0.0.1:")
    assert "secret" not in str(caught.value)


def test_repeated_pictures_with_a_running_clock_are_no_freeze(
    serve: Serve, units: list[bytes]
) -> None:
    with Bench(opener(serve([units[0]]).url()), timeout_s=0.5) as bench:
        until(lambda: bench.camera.counts.captured > 60)
        assert bench.outages == []


def test_a_clock_that_stands_still_is_a_freeze(serve: Serve) -> None:
    with Bench(opener(serve(frozen_clock=True).url()), timeout_s=0.5) as bench:
        until(lambda: "frozen" in bench.outages or bench.camera.counts.lost["frozen"] > 0)


def test_a_fingerprint_is_refused_at_once() -> None:
    with pytest.raises(SourceError, match="works for https:// only"):
        source_opener(
            "rtsps://cam/live",
            width=320,
            height=240,
            fps=30.0,
            loop=False,
            timeout_s=5.0,
            tls_verify="0" * 64,
        )
