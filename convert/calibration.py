"""A pool of calibration images in, the samples that ranges are learned from out, or a refusal.

The gate refuses a model that was calibrated on black pictures, too; here the reason is said, and
before the work.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.errors import ConvertError
from convert.export_folder import Images

SAMPLES = 1000  # the study in a report of all variants shows what others would give
MIN_SAMPLES = 50
MIN_CONTRAST_LEVELS = 16  # the range of gray within a picture that shows anything
MAX_BLANK_SHARE = 0.1  # FER2013 itself has a few blank pictures

_CAMERA_GAIN = 0.35  # what is left of the light, or of the contrast


def choose(pool: Images, samples: int = SAMPLES) -> Images:
    """`samples` images spread evenly over the pool, or all it has: (n, height, width, 1).

    The pool is stratified by class and in no order, and so is what is chosen. Every fourth is
    darkened and every fourth flattened to a low contrast, as a camera does to faces.
    """
    places = np.linspace(0, len(pool) - 1, min(samples, len(pool))).round().astype(int)
    real = pool[places].astype(np.float32)
    real[1::4] *= _CAMERA_GAIN
    means = real[3::4].mean(axis=(1, 2, 3), keepdims=True)
    real[3::4] = means + _CAMERA_GAIN * (real[3::4] - means)
    chosen: Images = real.round().astype(np.uint8)
    return chosen


def check(path: Path, images: Images) -> None:
    """`ConvertError` if too few of the (n, height, width, 1) samples of `path` show anything."""
    if len(images) < MIN_SAMPLES:
        raise ConvertError(f"{path} holds {len(images)} samples, at least {MIN_SAMPLES} are needed")
    flat = images.reshape(len(images), -1)
    blank = np.ptp(flat, axis=1) < MIN_CONTRAST_LEVELS
    if blank.mean() > MAX_BLANK_SHARE:
        raise ConvertError(
            f"{path} cannot calibrate a model: {blank.sum()} of its {len(images)} samples are "
            f"blank (less than {MIN_CONTRAST_LEVELS} gray levels of contrast), "
            f"at most {100 * MAX_BLANK_SHARE:g} % may be"
        )
    different = len(np.unique(flat, axis=0))
    if different < MIN_SAMPLES:
        raise ConvertError(
            f"{path} cannot calibrate a model: only {different} of its {len(images)} samples "
            f"differ, at least {MIN_SAMPLES} must"
        )
