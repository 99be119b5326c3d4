"""A converted model in, drawn faces with its own answers out, for a device to compare with.

`goldens.npz` holds `faces`, uint8 (n, height, width, 1), and `scores`, float32 (n, classes), as
LiteRT computed them on the machine of the conversion.
"""

from __future__ import annotations

import io

import numpy as np

from convert import candidate, drawing

FILE = "goldens.npz"


def make(model: bytes, height: int, width: int) -> bytes:
    """The `goldens.npz` of a model; equal models give equal bytes, NumPy dates them 1980."""
    faces = drawing.faces(height, width)
    stream = io.BytesIO()
    np.savez_compressed(stream, faces=faces, scores=candidate.probabilities(model, faces))
    return stream.getvalue()
