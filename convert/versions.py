"""The versions of what decides a model file's bytes and a report's figures."""

from __future__ import annotations

import platform
from importlib import metadata as packages

import tensorflow as tf


def installed() -> dict[str, str]:
    """Version by name; TensorFlow's package may be tensorflow or tensorflow-cpu."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        **{name: packages.version(name) for name in ("keras", "ai-edge-litert", "flatbuffers")},
    }
