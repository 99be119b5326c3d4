"""Tests privacy.masks in the pipeline: covered pixels change no result and are never shown."""

from __future__ import annotations

import threading
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.daemon import Daemon, jpegs
from support.mjpeg_server import MjpegServer
from support.pictures import decoded

from edge_daemon.config.file import ConfigError, load_config
from edge_daemon.config.schema import validated
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Frame, ImageBgr, View
from edge_daemon.draw.annotate import annotate, public_picture
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline

SHAPES = [[0.0, 0.0, 0.5, 1.0], [0.6, 0.0, 1.0, 0.0, 1.0, 0.4]]


def picture(media_dir: Path) -> ImageBgr:
    return np.asarray(cv2.VideoCapture(str(media_dir / "signing-book.mkv")).read()[1], np.uint8)


def views_of(pictures: list[ImageBgr], masks: list[list[float]], *, blur: bool) -> list[View]:
    """Process `pictures` live with `masks`; return what viewers get, the notice of a loss last."""
    config = validated({"privacy": {"masks": masks, "blur_faces": blur}})
    views: Latest[View] = Latest()
    pipeline = Pipeline(
        frames=Latest(),
        views=views,
        events=EventFeed([]),
        shots=Backlog(1),
        stages=build_stages(config, ""),
        notice=lambda: "the camera is lost",
        blank_size=(640, 480),
        stop=threading.Event(),
    )
    made = [
        pipeline.process(
            Frame(number + 1, Picture(bgr), number / 15, datetime(2026, 1, 1, tzinfo=UTC))
        )
        for number, bgr in enumerate(pictures)
    ]
    pipeline._idle()  # publishes the last picture with the notice
    lost = views.peek()
    assert lost is not None
    assert lost.notice
    return [*made, lost]


@pytest.mark.parametrize("blur", [False, True])
def test_nothing_shown_depends_on_what_is_masked(
    blur: bool, media_dir: Path, blazeface_dir: Path
) -> None:
    assert blazeface_dir
    clip = picture(media_dir)
    covered = np.zeros(clip.shape[:2], np.uint8)
    covered[:, :320] = 1
    cv2.fillPoly(covered, [np.array([(384, 0), (640, 0), (640, 192)])], 1)
    noise = np.random.default_rng(2).integers(0, 256, clip.shape, dtype=np.uint8)
    other = np.where(covered[:, :, None] == 1, noise, clip)
    one, two = (views_of([bgr] * 5, SHAPES, blur=blur) for bgr in (clip, other))
    for shown, same in zip(one, two, strict=True):
        assert encode_jpeg(annotate(shown), quality=80) == encode_jpeg(annotate(same), quality=80)
        assert np.array_equal(
            public_picture(shown, overlay=False), public_picture(same, overlay=False)
        )
        assert np.array_equal(shown.frame.bgr, same.frame.bgr)
        assert [face.box for face in shown.faces] == [face.box for face in same.faces]


def test_no_masked_pixel_leaves_the_daemon(
    tmp_path: Path, media_dir: Path, blazeface_dir: Path
) -> None:
    """The stream, stills and pictures of events, in every form that they can be asked for."""
    assert blazeface_dir
    bgr = picture(media_dir)
    covered = np.zeros(bgr.shape[:2], np.uint8)
    covered[:, :128] = 1
    cv2.fillPoly(covered, [np.array([(640, 288), (640, 480), (448, 480)])], 1)
    masks = [[0, 0, 0.2, 1], [1, 0.6, 1, 1, 0.7, 1]]
    white = np.where(covered[:, :, None] == 1, np.uint8(255), bgr)
    camera = MjpegServer([encode_jpeg(white, quality=95)])
    settings = [
        f"camera.source={camera.url}", f"privacy.masks={masks}", "camera.check_frozen=false",
        "snapshots.enabled=true", f"snapshots.path={tmp_path / 'kept'}",
        "snapshots.types=[face_start]", "events.dwell_s=0",
    ]  # fmt: skip
    shown: dict[str, bytes] = {}
    try:
        with Daemon(tmp_path, *settings) as daemon:
            kept = daemon.until(lambda: list((tmp_path / "kept").glob("*.jpg")))
            shown |= {file.name: file.read_bytes() for file in kept}
            for query in ("", "?overlay=0", "?overlay=0&width=320", "?quality=100&overlay=0"):
                shown[f"snapshot{query}"] = daemon.get(f"/snapshot.jpg{query}")
                with urllib.request.urlopen(f"{daemon.url}/stream.mjpg{query}") as stream:
                    shown[f"stream{query}"] = next(jpegs(stream))
            assert daemon.state()["masks"] == masks
    finally:
        camera.stop()
    for name, jpeg in shown.items():
        drawn = decoded(jpeg)
        inside = cv2.resize(covered, drawn.shape[1::-1], interpolation=cv2.INTER_NEAREST) == 1
        assert drawn[inside].max() < 60, name  # JPEG spreads a bright edge by less
        assert drawn[~inside].mean() > 30, name


def test_a_masked_face_is_not_found(media_dir: Path, blazeface_dir: Path) -> None:
    assert blazeface_dir
    frames = [picture(media_dir)] * 5
    assert views_of(frames, [], blur=False)[-2].faces
    assert not views_of(frames, [[0.35, 0.15, 0.25, 0.3]], blur=False)[-2].faces


@pytest.mark.parametrize("mask", [[0, 0, 1], [0, 0], [0, 0, 1, 1, 1], [0, 0, 2, 1]])
def test_a_mask_without_corners_is_refused(mask: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"privacy\.masks"):
        load_config(None, [f"privacy.masks=[{mask}]"])
