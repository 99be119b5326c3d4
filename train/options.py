"""Checks the values of the training command's options, as types for argparse.

Each function raises ArgumentTypeError with a sentence if the value is not allowed.
"""

from __future__ import annotations

import argparse
import math

from train.dataset import LABELS, WITH_CONTEMPT


def class_names(text: str) -> tuple[str, ...]:
    """Return the class names of a list separated by commas."""
    labels = tuple(label.strip() for label in text.split(","))
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise argparse.ArgumentTypeError(f"{text!r} is not two or more different words")
    if wrong := [label for label in labels if label.split() != [label] or label == "uncertain"]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} cannot be the name of a class")
    return labels


def contempt(text: str) -> tuple[str, ...]:
    """Return the labels with contempt for "yes", without it for "no"."""
    if text not in {"yes", "no"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return WITH_CONTEMPT if text == "yes" else LABELS


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    if not 0 <= (number := _number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return number


def strength(text: str) -> float:
    """Return a number from 0 to 3."""
    if not 0 <= (number := _number(text)) <= 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 3")
    return number


def rate(text: str) -> float:
    """Return a number above 0 and at most 1."""
    if not 0 < (number := _number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 1")
    return number


def temperature(text: str) -> float:
    """Return a finite number of at least 1."""
    if not 1 <= (number := _number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is below 1 or infinite")
    return number


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    if (number := _whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more")
    return number


def natural(text: str) -> int:
    """Return a whole number of at least 0."""
    if (number := _whole(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below 0")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
