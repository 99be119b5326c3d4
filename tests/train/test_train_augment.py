"""The augmentation layers on drawn faces: what they change, what they keep, and when."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from train.augment import (
    RandomBlur,
    RandomCrop,
    RandomErase,
    RandomJpeg,
    RandomLight,
    RandomMotion,
    RandomNoise,
    augmenter,
)

Images = NDArray[np.float32]


def faces(n: int = 64) -> Images:
    """Draw ovals with eyes and mouth on a gradient, each with its own light and position."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[0:48, 0:48].astype(np.float32)
    images = []
    for x, y, light in zip(*rng.uniform(-3, 3, (2, n)), rng.uniform(0.7, 1.2, n), strict=True):
        image = 60 + u
        image[((u - 24 - x) / 16) ** 2 + ((v - 24 - y) / 20) ** 2 < 1] = 170
        for eye in (-7, 7):
            image[(u - 24 - x - eye) ** 2 + (v - 18 - y) ** 2 < 6] = 30
        image[(abs(u - 22 - x) < 7) & (abs(v - 34 - y) < 2)] = 80
        images.append(image * light)
    return np.stack(images)[..., None].clip(0, 255).astype(np.float32)


def run(layer: Any, images: Images, *, training: bool = True) -> Images:
    return np.asarray(keras.ops.convert_to_numpy(layer(images, training=training)))


def crop(shift: float = 0.0, zoom: float = 0.0, turn_deg: float = 0.0, seed: int = 1) -> RandomCrop:
    return RandomCrop(shift=shift, zoom=zoom, turn_deg=turn_deg, seed=seed)


def light(contrast: float = 0.0, brightness: float = 0.0, gamma: float = 1.0) -> RandomLight:
    return RandomLight(contrast=contrast, brightness=brightness, gamma=gamma, seed=1)


LAYERS: dict[str, Callable[[int], Any]] = {
    "all": augmenter,
    "crop": lambda seed: crop(0.1, 0.1, 12, seed),
    "light": lambda seed: RandomLight(contrast=0.25, brightness=30, gamma=1.2, seed=seed),
    "blur": lambda seed: RandomBlur(probability=0.5, seed=seed),
    "noise": lambda seed: RandomNoise(probability=0.5, largest=10.0, seed=seed),
    "motion": lambda seed: RandomMotion(probability=0.5, reach=4, seed=seed),
    "JPEG": lambda seed: RandomJpeg(probability=0.5, lowest=10.0, seed=seed),
    "erase": lambda seed: RandomErase(probability=0.5, largest=0.5, seed=seed),
}


@pytest.mark.parametrize("name", LAYERS)
def test_inference_passes_through_untouched(name: str) -> None:
    np.testing.assert_array_equal(run(LAYERS[name](1), faces(), training=False), faces())


@pytest.mark.parametrize("name", LAYERS)
def test_training_keeps_shape_type_and_range_and_changes_images(name: str) -> None:
    images = faces()
    changed = run(LAYERS[name](1), images)
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    share = (abs(changed - images).max(axis=(1, 2, 3)) > 1).mean()
    half = name in {"blur", "motion", "noise", "JPEG", "erase"}
    assert share == pytest.approx(0.5, abs=0.2) if half else share > 0.95


@pytest.mark.parametrize("name", LAYERS)
def test_draws_depend_on_the_seed_and_differ_between_batches(name: str) -> None:
    images, layer = faces(), LAYERS[name](1)
    first, second = run(layer, images), run(layer, images)
    again = LAYERS[name](1)
    np.testing.assert_array_equal(run(again, images), first)
    np.testing.assert_array_equal(run(again, images), second)
    assert not np.array_equal(first, second)
    assert not np.array_equal(run(LAYERS[name](2), images), first)


def test_each_image_is_augmented_independently() -> None:
    changed = run(augmenter(1), np.repeat(faces(1), 16, axis=0))
    assert len({image.tobytes() for image in changed}) > 12


def test_uint8_images_are_accepted() -> None:
    images = faces()
    changed = run(augmenter(1), images.astype(np.uint8))
    assert changed.dtype == np.float32
    darkness = 0.1 * (1 - 0.415) * images.mean()  # see test_only_darkening_changes_the_mean
    assert abs(changed.mean() - images.mean() + darkness) < 10


def test_half_of_the_images_are_mirrored_and_nothing_else() -> None:
    images = faces(200)
    changed = run(crop(), images)
    kept = np.isclose(changed, images, atol=0.5).all(axis=(1, 2, 3))
    mirrored = np.isclose(changed, images[:, :, ::-1], atol=0.5).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_shift_moves_a_face_by_up_to_a_tenth_either_way() -> None:
    v, u = np.mgrid[0:48, 0:48]
    dot = np.exp(-((u - 23.5) ** 2 + (v - 23.5) ** 2) / 8).astype(np.float32)[None, :, :, None]
    moved = run(crop(shift=0.1), np.repeat(dot * 200, 300, axis=0))[..., 0]
    weight = moved.sum(axis=(1, 2))
    for axis, at in enumerate(((moved * v).sum(axis=(1, 2)), (moved * u).sum(axis=(1, 2)))):
        away = at / weight - 23.5
        assert abs(away).max() <= 4.85, axis
        assert away.min() < -4
        assert away.max() > 4
        assert abs(away.mean()) < 0.6


def test_rotation_and_zoom_keep_the_center() -> None:
    v, u = np.mgrid[0:48, 0:48]
    bar = 200 * np.exp(-((u - 23.5) ** 2 / 128 + (v - 23.5) ** 2 / 8)).astype(np.float32)
    turned = run(crop(turn_deg=12, zoom=0.1), np.repeat(bar[None, :, :, None], 300, axis=0))[..., 0]
    weight = turned.sum(axis=(1, 2))
    x = (turned * u).sum(axis=(1, 2)) / weight
    y = (turned * v).sum(axis=(1, 2)) / weight
    assert abs(x - 23.5).max() < 0.5
    assert abs(y - 23.5).max() < 0.5
    tilt = (turned * (u - 23.5) * (v - 23.5)).sum(axis=(1, 2)) / weight
    spread = (turned * (u - 23.5) ** 2).sum(axis=(1, 2)) / weight
    angle_deg = np.degrees(np.arctan2(tilt, spread))
    assert 9 < angle_deg.max() < 13
    assert -13 < angle_deg.min() < -9


def test_light_keeps_the_mean_brightness_of_batches() -> None:
    images = np.clip(faces(1), 60, 190).repeat(600, axis=0)  # away from where clipping bites
    changed = run(light(contrast=0.25, brightness=30), images)
    assert abs(changed.mean() - images.mean()) < 2.5
    means = changed.mean(axis=(1, 2, 3)) - images.mean()
    assert means.min() == pytest.approx(-30, abs=1)
    assert means.max() == pytest.approx(30, abs=1)
    gain = changed.std(axis=(1, 2, 3)) / images[0].std()
    assert gain.min() == pytest.approx(0.75, abs=0.02)
    assert gain.max() == pytest.approx(1.25, abs=0.02)


def test_gamma_keeps_black_and_white() -> None:
    ramp = np.linspace(0, 255, 48 * 48, dtype=np.float32).reshape(1, 48, 48, 1)
    bent = run(light(gamma=1.25), ramp.repeat(600, axis=0))
    np.testing.assert_allclose(bent[:, 0, 0, 0], 0, atol=1e-3)
    np.testing.assert_allclose(bent[:, -1, -1, 0], 255, rtol=1e-4)
    assert (np.diff(bent.reshape(600, -1), axis=1) > 0).all()
    middle = bent[:, 24, 0, 0] / 255
    exponent = np.log(middle) / np.log(ramp[0, 24, 0, 0] / 255)
    assert exponent.min() == pytest.approx(1 / 1.25, abs=0.01)
    assert exponent.max() == pytest.approx(1.25, abs=0.01)
    assert abs(np.log(exponent).mean()) < 0.03, "darker and lighter are not as likely"


def test_blur_spreads_a_dot_by_at_most_a_binomial() -> None:
    dot = np.zeros((1, 48, 48, 1), np.float32)
    dot[0, 24, 24] = 160.0
    blurred = run(RandomBlur(probability=1.0, seed=1), dot.repeat(300, axis=0))[..., 0]
    np.testing.assert_allclose(blurred.sum(axis=(1, 2)), 160.0, rtol=1e-4)
    peak = blurred[:, 24, 24] / 160.0
    assert peak.min() == pytest.approx((6 / 16) ** 2, abs=0.02)
    assert peak.max() == pytest.approx(1, abs=0.02)
    row = np.array([1, 4, 6, 4, 1]) / 16
    softest = blurred[peak.argmin(), 22:27, 22:27] / 160.0
    np.testing.assert_allclose(softest, np.outer(row, row), atol=0.02)
    outside = blurred.copy()
    outside[:, 22:27, 22:27] = 0
    assert not outside.any()


def test_blur_keeps_a_uniform_picture() -> None:
    even = np.full((20, 48, 48, 1), 90.0, np.float32)
    np.testing.assert_allclose(run(RandomBlur(probability=1.0, seed=1), even), even, rtol=1e-5)


def test_noise_has_zero_mean_and_a_bounded_deviation() -> None:
    gray = np.full((200, 48, 48, 1), 128.0, np.float32)
    noise = run(RandomNoise(probability=1.0, largest=8.0, seed=1), gray) - gray
    deviation = noise.std(axis=(1, 2, 3))
    assert deviation.max() == pytest.approx(8, abs=0.4)
    assert deviation.min() < 0.5
    assert abs(noise.mean()) < 0.05
    neighbors = noise[:, :, 1:] * noise[:, :, :-1]
    assert abs(neighbors.mean()) < 0.02 * deviation.mean() ** 2 + 0.05, "not white"


def test_motion_smears_a_dot_along_one_axis() -> None:
    dot = np.zeros((1, 48, 48, 1), np.float32)
    dot[0, 24, 24] = 180.0
    moved = run(RandomMotion(probability=1.0, reach=4, seed=1), dot.repeat(300, axis=0))[..., 0]
    np.testing.assert_allclose(moved.sum(axis=(1, 2)), 180.0, rtol=1e-4)
    along_row = (moved[:, 24] > 0).sum(axis=1)
    along_column = (moved[:, :, 24] > 0).sum(axis=1)
    assert (np.minimum(along_row, along_column) == 1).all()
    longest = np.maximum(along_row, along_column)
    assert longest.max() == 9
    assert longest.min() <= 3
    assert 0.35 < (along_row > along_column).mean() < 0.65
    even = moved[longest == 9].max(axis=(1, 2))
    np.testing.assert_allclose(even.min(), 180 / 9, rtol=0.05)


def test_compression_is_that_of_jpeg() -> None:
    """At the lowest quality as Pillow's, up to the rounding of its table and pixels."""
    images = faces(20).round()
    packed = run(RandomJpeg(probability=1.0, lowest=50.0, seed=1), images)
    for image, ours in zip(images, packed, strict=True):
        stream = io.BytesIO()
        Image.fromarray(image[..., 0].astype(np.uint8)).save(stream, "JPEG", quality=50)
        theirs = np.asarray(Image.open(stream), np.float32)
        assert abs(ours[..., 0] - theirs).mean() < 0.5
        assert abs(ours[..., 0] - image[..., 0]).mean() > 1


@pytest.mark.parametrize("name", ["blur", "motion", "noise", "JPEG"])
def test_images_that_are_not_chosen_are_unchanged(name: str) -> None:
    images = faces(100)
    changed = run(LAYERS[name](1), images)
    untouched = (changed == images).all(axis=(1, 2, 3)).mean()
    assert untouched == pytest.approx(0.5, abs=0.2)


def test_erasing_fills_one_rectangle_with_the_mean() -> None:
    images = faces(200)
    changed = run(RandomErase(probability=1.0, largest=0.5, seed=1), images)[..., 0]
    for image, was in zip(changed, images[..., 0], strict=True):
        rows, columns = np.nonzero(image != was)
        assert rows.size
        box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        np.testing.assert_allclose(box, was.mean(), rtol=1e-4)
        assert max(box.shape) <= 25
    kept = run(RandomErase(probability=0.0, largest=0.5, seed=1), images)
    np.testing.assert_array_equal(kept, images)


def test_only_darkening_changes_the_mean() -> None:
    """A tenth of the pictures keeps (1 - 0.12) / ln(1 / 0.12) = 0.415 of its light on average."""
    images = faces(200)
    layer = augmenter(1)
    drift = np.mean([run(layer, images).mean() - images.mean() for _ in range(5)])
    assert abs(drift + 0.1 * (1 - 0.415) * images.mean()) < 3
