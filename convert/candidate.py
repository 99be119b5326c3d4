"""A converted model before the gate, and its answers on LiteRT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from convert import tflite
from convert.export_folder import Images
from convert.progress import watched
from convert.quiet import quiet_stderr
from convert.scores import Probabilities
from convert.variants import Variant


@dataclass(frozen=True, slots=True)
class Candidate:
    """A converted model that has not passed the gate yet: its bytes and the spec inside."""

    variant: Variant
    content: bytes
    spec: Mapping[str, Any]


def probabilities(content: bytes, images: Images) -> Probabilities:
    """Run a model on each of `images` (n, height, width, 1); return (n, classes), float32."""
    with quiet_stderr():  # the runtime announces its kernels
        runtime = Interpreter(model_content=content, num_threads=1)
        runtime.allocate_tensors()
    pixels, answer = runtime.get_input_details()[0], runtime.get_output_details()[0]
    stored = np.empty((len(images), answer["shape"][-1]), answer["dtype"])
    for i, image in enumerate(watched(images)):
        runtime.set_tensor(pixels["index"], image[np.newaxis].astype(pixels["dtype"]))
        runtime.invoke()
        stored[i] = runtime.get_tensor(answer["index"])[0]
    return dequantized(content, stored)


def dequantized(content: bytes, stored: NDArray[Any]) -> Probabilities:
    """Return the probabilities of a model's stored outputs (n, classes)."""
    answer = tflite.read(content).outputs[0]
    values = stored.astype(np.float32)
    if answer.scale is None or answer.zero_point is None:
        return values
    return np.float32(answer.scale) * (values - np.float32(answer.zero_point))
