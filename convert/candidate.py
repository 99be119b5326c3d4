"""A converted model and images in, its probabilities out: what a device would see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

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


def interpreter(content: bytes, *, num_threads: int = 1) -> Any:
    """LiteRT's interpreter for a model, ready to run."""
    with quiet_stderr():  # the runtime announces its kernels
        runtime = Interpreter(model_content=content, num_threads=num_threads)
        runtime.allocate_tensors()
    return runtime


def probabilities(content: bytes, images: Images) -> Probabilities:
    """Run a model of batch one over (n, height, width, 1) pixels; (n, classes) float32."""
    runtime = interpreter(content)
    pixels, answer = runtime.get_input_details()[0], runtime.get_output_details()[0]
    stored = np.empty((len(images), answer["shape"][-1]), answer["dtype"])
    for i, image in enumerate(images):
        runtime.set_tensor(pixels["index"], image[np.newaxis].astype(pixels["dtype"]))
        runtime.invoke()
        stored[i] = runtime.get_tensor(answer["index"])[0]
    scale, zero_point = answer["quantization"]
    real = stored.astype(np.float32)
    return real if scale == 0 else np.float32(scale) * (real - np.float32(zero_point))
