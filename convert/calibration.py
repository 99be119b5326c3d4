"""Calibration images in, a refusal out where ranges learnt from them would be worthless.

A check by the gate alone would not do: the two pixels that are set to give the input its range,
and the biases of a network, can make a model calibrated on black pictures look healthy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.errors import ConvertError
from convert.export_folder import Images

MIN_SAMPLES = 50
MIN_CONTRAST_LEVELS = 16  # the range of gray within a picture that shows anything
MAX_BLANK_SHARE = 0.1  # FER2013 itself has a few blank pictures


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
