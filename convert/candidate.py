"""The bytes of a converted model and images in, its probabilities out: what a device would see."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from convert.export_folder import Images
from convert.quiet import quiet_stderr
from convert.scores import Probabilities


def probabilities(content: bytes, images: Images) -> Probabilities:
    """Run a uint8 model of batch one over (n, height, width, 1) pixels; (n, classes) float32."""
    with quiet_stderr():  # the runtime announces its kernels
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    pixels, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = answer["quantization"]
    steps = np.empty((len(images), answer["shape"][-1]), np.uint8)
    for i, image in enumerate(images):
        interpreter.set_tensor(pixels["index"], image[np.newaxis])
        interpreter.invoke()
        steps[i] = interpreter.get_tensor(answer["index"])[0]
    return (np.float32(scale) * (steps.astype(np.float32) - np.float32(zero_point))).astype(
        np.float32
    )
