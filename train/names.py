"""The names that published datasets give to splits and to FER2013's classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from train.dataset import LABELS

# A split, by its name in lower case: a folder's, or one in the column Usage.
SPLITS = {
    "train": "Training",
    "training": "Training",
    "valid": "Validation",
    "val": "Validation",
    "validation": "Validation",
    "test": "Test",
    "testing": "Test",
    "publictest": "PublicTest",
    "privatetest": "PrivateTest",
}
# Other names of FER2013's classes, in lower case. The numbers are FER2013's own.
ALIASES = {
    "angry": ("anger", "0"),
    "disgust": ("disgusted", "1"),
    "fear": ("fearful", "scared", "afraid", "2"),
    "happy": ("happiness", "joy", "happily", "3"),
    "sad": ("sadness", "4"),
    "surprise": ("surprised", "suprise", "5"),
    "neutral": ("neutrality", "6"),
    "contempt": ("contemptuous",),
}
NUMBERS = ", ".join(f"{number} {label}" for number, label in enumerate(LABELS))
_NUMBERED = re.compile(r"\d+[-_. ]+(?=\D)")  # as in `0_angry` or `3. happy`


def class_numbers(labels: Sequence[str]) -> dict[str, int]:
    """Return the number of a class by each name that it may have, in lower case."""
    names = {
        alias: number for number, label in enumerate(labels) for alias in ALIASES.get(label, ())
    }
    if tuple(labels) != LABELS:  # the numbers are FER2013's
        names = {name: number for name, number in names.items() if not name.isdecimal()}
    return names | {label.lower(): number for number, label in enumerate(labels)}


def plain_name(name: str, classes: dict[str, int]) -> str:
    """Return `name` in lower case, without blanks around it and a number before a class's name."""
    name = name.strip().lower()
    unnumbered = _NUMBERED.sub("", name, count=1)
    return unnumbered if name not in classes and unnumbered in classes else name
