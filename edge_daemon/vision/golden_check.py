"""A classifier in, a word on whether its runtime computes what the converter saw out."""

from __future__ import annotations

from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.goldens import deviation
from edge_daemon.vision.interpreter import ModelError

# In probability. tflite-runtime 2.14 and LiteRT differ by up to 0.016 in the shipped architecture.
MAX_DIFFERENCE = 0.05


def check_goldens(classifier: Classifier) -> str:
    """What the model's golden answers say of its runtime; raises ModelError if that is wrong."""
    model = classifier.model
    if model.goldens is None:
        return "none in the model, so its answers here are unchecked; convert it again to have them"
    found = deviation(model.goldens, classifier.score)
    if not found.largest <= MAX_DIFFERENCE:  # true for NaN, too
        raise ModelError(
            f"{model.path}: on {classifier.runtime} its answers differ by up to "
            f"{found.largest:.3f} from what the converter saw (at most {MAX_DIFFERENCE} is "
            f"allowed), the label on {found.faces - found.same_label} of {found.faces} faces; "
            "set `runtime:` to another one, or convert the model again."
        )
    return (
        f"this runtime computes what the converter saw: the same label on {found.same_label} of "
        f"{found.faces} faces, scores within {found.largest:.3f}"
    )
