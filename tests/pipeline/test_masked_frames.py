"""privacy.masks in the pipeline: nothing shown or found depends on what they cover."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.config.file import ConfigError, load_config
from edge_daemon.config.schema import validated
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
        pipeline.process(Frame(number + 1, bgr, number / 15, datetime(2026, 1, 1, tzinfo=UTC)))
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


def test_a_masked_face_is_not_found(media_dir: Path, blazeface_dir: Path) -> None:
    assert blazeface_dir
    frames = [picture(media_dir)] * 5
    assert views_of(frames, [], blur=False)[-2].faces
    assert not views_of(frames, [[0.35, 0.15, 0.25, 0.3]], blur=False)[-2].faces


@pytest.mark.parametrize("mask", [[0, 0, 1], [0, 0], [0, 0, 1, 1, 1], [0, 0, 2, 1]])
def test_a_mask_without_corners_is_refused(mask: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"privacy\.masks"):
        load_config(None, [f"privacy.masks=[{mask}]"])
