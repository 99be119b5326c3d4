"""A converted model and images in, its probabilities out: what a device would see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from convert import graph
from convert.export_folder import Images
from convert.quiet import quiet_stderr
from convert.scores import Probabilities
from convert.variants import Variant


@dataclass(frozen=True, slots=True)
class Candidate:
    """A converted model that has yet to pass the gate: its file's bytes and the spec inside."""

    variant: Variant
    content: bytes
    spec: Mapping[str, Any]


def probabilities(content: bytes, images: Images) -> Probabilities:
    """Run a model of batch one over (n, height, width, 1) pixels; (n, classes) float32."""
    with quiet_stderr():  # the runtime announces its kernels
        runtime = Interpreter(model_content=content, num_threads=1)
        runtime.allocate_tensors()
    pixels, answer = runtime.get_input_details()[0], runtime.get_output_details()[0]
    stored = np.empty((len(images), answer["shape"][-1]), answer["dtype"])
    for i, image in enumerate(images):
        runtime.set_tensor(pixels["index"], image[np.newaxis].astype(pixels["dtype"]))
        runtime.invoke()
        stored[i] = runtime.get_tensor(answer["index"])[0]
    return real(content, stored)


def real(content: bytes, stored: NDArray[Any]) -> Probabilities:
    """The probabilities that a model's stored outputs (n, classes) stand for."""
    answer = graph.read(content).outputs[0]
    values = stored.astype(np.float32)
    if answer.scale is None or answer.zero_point is None:
        return values
    return np.float32(answer.scale) * (values - np.float32(answer.zero_point))
