"""An export and its Keras network in, the trials every candidate has to stand out."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from convert import corruption, network, verify
from convert.export_folder import ClassIds, ExportFolder, Images
from convert.scores import Probabilities


@dataclass(frozen=True, slots=True)
class Trial:
    """Images with their true classes, and what the Keras network answers to them."""

    name: str
    images: Images
    truth: ClassIds
    keras: Probabilities


def prepare(model: keras.Model, export: ExportFolder) -> tuple[Trial, ...]:
    """The test images as they are, and corrupted."""
    sets = {
        verify.CLEAN: export.test_images,
        verify.CORRUPTED: corruption.corrupted(export.test_images),
    }
    return tuple(
        Trial(name, images, export.test_classes, network.probabilities(model, images))
        for name, images in sets.items()
    )
