"""Makes a damaged model file that crashes the TFLite runtime."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_daemon.vision.classifier import Classifier, check_goldens
from edge_daemon.vision.model_file import parse_model


def crashing_model(shipped: Path) -> bytes:
    """Change quantization scales of the `shipped` model, one by one, until the runtime crashes."""
    content = shipped.read_bytes()
    for place in _scales(content):
        damaged = bytearray(content)
        damaged[place + 2 : place + 4] = b"\x7f\x7f"  # a float of about 1e38
        if _crashes(bytes(damaged)):
            return bytes(damaged)
    raise AssertionError("no damage crashes this runtime")


def _scales(content: bytes) -> Iterator[int]:
    """Yield the offsets of float32 values that are repeated, as scales per channel are."""
    values = np.frombuffer(content[: len(content) // 4 * 4], "<f4")
    with np.errstate(invalid="ignore"):
        is_scale = (values > 1e-6) & (values < 0.1)
    runs = np.lib.stride_tricks.sliding_window_view(values, 6)
    same = is_scale[: len(runs)] & (runs == runs[:, :1]).all(axis=1)
    yield from (int(place) * 4 for place in np.flatnonzero(same)[::7])


def _crashes(content: bytes) -> bool:
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            check_goldens(Classifier(parse_model(Path("damaged"), content)))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
