"""Whether the faces of a frame are cheaper as one batch: milliseconds a face, one by one or not.

    python -m benchmarks.batching

Writes benchmarks/batching.md. The network is `compact` with the weights it starts from (time does
not depend on them), in int8 for batches of fixed size. The shipped file cannot be resized, which
is tried too. All ways run in turn, so that they share whatever else the machine does; compare the
ratios, not the milliseconds. Needs the development environment (TensorFlow).
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from train.architectures import compact

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1, 2, 4, 8, 16)
ROUNDS = 150


def converted(size: int) -> bytes:
    """Return the network in int8 for batches of exactly `size`."""
    model = compact()
    spec = [tf.TensorSpec((size, 48, 48, 1), tf.float32)]
    function = tf.function(lambda gray: model(gray, training=False), input_signature=spec)
    owner = tf.Module()
    owner.variables_of_keras = [variable.value for variable in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], owner
    )
    rng = np.random.default_rng(0)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.integers(0, 256, (size, 48, 48, 1)).astype(np.float32)] for _ in range(8)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def runner(content: bytes, size: int) -> Callable[[], Any]:
    """One inference of `size` faces, from setting the input to reading the scores."""
    interpreter: Any = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    faces = np.random.default_rng(1).integers(0, 256, (size, 48, 48, 1), dtype=np.uint8)

    def run() -> Any:
        interpreter.set_tensor(source, faces)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def resized(size: int) -> str:
    """Return how the runtime answers to resizing the shipped model's input."""
    content = (ROOT / "models" / "expression.tflite").read_bytes()
    interpreter: Any = Interpreter(model_content=content, num_threads=1)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [size, 48, 48, 1])
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        return f"refused ({str(error).strip().splitlines()[0]})"
    return "accepted"


def main() -> None:
    """Measure, print and write the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = {size: runner(converted(size), size) for size in SIZES}
    times: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size, run in runs.items():
            start = time.perf_counter()
            run()
            times[size].append((time.perf_counter() - start) * 1000 / size)
    medians = {size: statistics.median(values) for size, values in times.items()}
    rows = [f"| {size} | {ms:.2f} | {ms / medians[1]:.2f} × |" for size, ms in medians.items()]
    text = "\n".join(
        [
            "`compact` in int8 on LiteRT, one thread. Made by `python -m benchmarks.batching`.",
            "",
            "| batch | median ms a face | of one by one |",
            "|---|---|---|",
            *rows,
            "",
            f"Resizing the shipped model's input to 4 faces: {resized(4)}.",
        ]
    )
    print(text)
    (Path(__file__).parent / "batching.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
