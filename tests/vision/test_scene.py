"""Scene cuts: between clips, and not where the light changes or somebody moves."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import ImageBgr
from edge_daemon.vision.scene import MotionSensor, SceneCuts, thumbnail

CLIPS = ["signing-again.mkv", "signing-bird.mkv", "signing-book.mkv", "signing-eat.mkv"]


def frames_of(clip: Path) -> list[ImageBgr]:
    video = cv2.VideoCapture(str(clip))
    frames = []
    while (read := video.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    return frames


@pytest.fixture(scope="module")
def clips(media_dir: Path) -> list[list[ImageBgr]]:
    return [frames_of(media_dir / name) for name in CLIPS]


def cuts_in(frames: list[ImageBgr]) -> list[int]:
    cuts = SceneCuts()
    return [number for number, bgr in enumerate(frames) if cuts.is_cut(thumbnail(Picture(bgr)))]


@pytest.mark.parametrize("step", [1, 2, 6])
def test_a_clip_has_no_cut_at_any_rate(step: int, clips: list[list[ImageBgr]]) -> None:
    assert [cuts_in(frames[::step]) for frames in clips] == [[]] * len(clips)


def test_each_cut_to_another_person_is_found(clips: list[list[ImageBgr]]) -> None:
    for one, other in permutations(clips, 2):
        assert cuts_in(one[:20] + other[:20]) == [20]


def test_light_that_goes_out_is_no_cut(clips: list[list[ImageBgr]]) -> None:
    frames = clips[0][:10] + [(bgr * 0.4).astype(np.uint8) for bgr in clips[0][10:20]]
    assert cuts_in(frames) == []


def test_a_plain_picture_is_no_cut_to_itself() -> None:
    assert cuts_in([np.full((48, 64, 3), value, np.uint8) for value in (0, 0, 90, 255)]) == []


def moved(frames: list[ImageBgr], fps: float = 15) -> list[bool]:
    sensor = MotionSensor()
    states = []
    for number, bgr in enumerate(frames):
        if sensor.is_due(number / fps):
            sensor.compare(thumbnail(Picture(bgr)), number / fps)
        states.append(sensor.is_awake(number / fps))
    return states


def noisy(bgr: ImageBgr, seed: int, sigma: float = 4.0) -> ImageBgr:
    noise = np.random.default_rng(seed).normal(0, sigma, bgr.shape)
    return np.clip(bgr + noise, 0, 255).astype(np.uint8)


def test_a_still_room_is_at_rest_in_spite_of_noise_and_changing_light(
    clips: list[list[ImageBgr]],
) -> None:
    frames = [noisy(np.asarray(clips[2][0] * (1 - n / 300), np.uint8), n) for n in range(45)]
    assert not any(moved(frames)[20:])


def test_somebody_far_off_wakes_it_at_once_and_for_a_while(clips: list[list[ImageBgr]]) -> None:
    room = clips[2][0]
    frames = [noisy(room, number) for number in range(60)]
    for number in range(30, 33):  # of which one is compared
        frames[number] = frames[number].copy()
        frames[number][200:225, 300:325] = 60  # 25 pixels
    states = moved(frames)
    assert not states[29]
    assert all(states[32:45])
    assert not states[-1]


def test_what_comes_over_seconds_wakes_it_too(clips: list[list[ImageBgr]]) -> None:
    """A person comes so slowly that frames half a second apart hardly differ."""
    room = clips[2][0]
    person = room.copy()
    person[200:225, 300:325] = np.clip(room[200:225, 300:325].astype(int) + 40, 0, 255)
    shares = np.clip((np.arange(210) - 60) / 120, 0, 1)  # over 8 seconds
    frames = [noisy((1 - s) * room + s * person, n, 2.0) for n, s in enumerate(shares)]
    states = moved(frames)
    assert not any(states[30:60])
    assert any(states[60:180])
    assert not states[-1]
