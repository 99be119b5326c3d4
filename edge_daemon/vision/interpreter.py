"""Runs TFLite files; the only module that imports a TFLite runtime."""

from __future__ import annotations

import importlib.metadata
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.files import read_file

FloatArray = NDArray[np.float32]

_IDENTIFIER = b"TFL3"  # file identifier of the TFLite schema, at byte 4 of every flatbuffer

_stderr_redirection = threading.Lock()  # two threads may build interpreters

# Larger models do not fit into the memory of a small board.
MAX_MODEL_BYTES = 50_000_000


class RuntimeUnavailable(UserError):
    """No TFLite runtime, or not the configured one, can be imported."""


class ModelError(UserError):
    """The model is missing, is not a TFLite file, or is refused by the runtime."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output; real value = `scale` × (stored − `zero_point`), `scale` 0 if float."""

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int


class _Runtime(NamedTuple):
    """The package of a runtime and the loader of its interpreter class."""

    package: str
    load: Callable[[], tuple[Any, str]]


Variant = Callable[[bytes], tuple[bytes, tuple[int, ...]]]  # from a file to content, input shape


class Interpreter:
    """A TFLite model with one input, ready to run. One thread at a time may use it.

    `model` is a path or the file's bytes. The argument `runtime` is "litert", "tflite-runtime" or
    "tensorflow", or "auto" for the first of these that is installed. Raises ModelError or
    RuntimeUnavailable. Only tflite-runtime does not check for damage, and may crash on a truncated
    file.

    `variant` changes the file in memory and chooses another shape of the input.

    The attribute `runtime` is the runtime in use with its version ("ai-edge-litert 2.3.0"),
    `wanted_runtime` the argument; `content` is the file's bytes, unchanged; `input` and `outputs`
    describe the tensors. Errors call a model that is given as bytes by `name`.
    """

    def __init__(
        self,
        model: bytes | Path,
        *,
        name: str = "the model",
        runtime: str = "auto",
        num_threads: int = 1,
        variant: Variant | None = None,
    ) -> None:
        self.name = name = str(model) if isinstance(model, Path) else name
        self.content, self.wanted_runtime = _content(model, name), runtime
        try:
            content, input_shape = variant(self.content) if variant else (self.content, None)
        except ModelError as error:
            raise ModelError(f"{name} is {error}") from error
        interpreter_class, self.runtime = _load(runtime)
        try:
            self._interpreter = _build(interpreter_class, content, num_threads, input_shape)
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"{name} does not run on {self.runtime}: {reason_of(error)}"
            ) from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise ModelError(f"{name} has {len(inputs)} inputs; one is expected")
        self.input = _tensor(inputs[0])
        self.outputs = tuple(_tensor(each) for each in self._interpreter.get_output_details())

    def run(self, values: NDArray[Any]) -> list[FloatArray]:
        """Run once on `values`, which have the shape and dtype of `input`.

        Quantized outputs are returned as real values. The arrays belong to the caller. Raises
        ValueError for another shape or dtype.
        """
        self._interpreter.set_tensor(self.input.index, values)
        self._interpreter.invoke()
        return [_real(self._interpreter.get_tensor(out.index), out) for out in self.outputs]


def runtime_name(runtime: str) -> str:
    """Return name and version of the runtime that `runtime` selects. Raises RuntimeUnavailable."""
    return _load(runtime)[1]


def _content(model: bytes | Path, name: str) -> bytes:
    try:
        content = read_file(model, max_bytes=MAX_MODEL_BYTES) if isinstance(model, Path) else model
    except OSError as error:
        raise ModelError(f"cannot read the model {name}: {error.strerror}") from error
    if content[4:8] != _IDENTIFIER:
        raise ModelError(f"{name} is not a TFLite file")
    return content


def _build(
    interpreter_class: Any, content: bytes, num_threads: int, input_shape: tuple[int, ...] | None
) -> Any:
    with warnings.catch_warnings():  # TensorFlow's class warns that it moved to LiteRT
        warnings.simplefilter("ignore")
        with _without_information():
            interpreter = interpreter_class(model_content=content, num_threads=num_threads)
            if input_shape is not None:
                index = interpreter.get_input_details()[0]["index"]
                interpreter.resize_tensor_input(index, list(input_shape))
            interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _without_information() -> Iterator[None]:
    """Keep the lines marked INFO that the runtime's C++ code prints off standard error.

    The runtime has no option for it. All other lines are printed afterwards.
    """
    with _stderr_redirection, os.fdopen(os.memfd_create("stderr"), "w+b") as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            held.seek(0)
            lines = held.read().splitlines(keepends=True)
            os.write(stderr, b"".join(line for line in lines if not line.startswith(b"INFO: ")))
            os.close(stderr)


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return Tensor(details["index"], shape, np.dtype(details["dtype"]), scale, zero_point)


def _real(values: NDArray[Any], tensor: Tensor) -> FloatArray:
    """Return `values` as float32; `get_tensor` copies, so nothing is shared with the runtime."""
    real = values.astype(np.float32, copy=False)
    return real if tensor.scale == 0 else (real - tensor.zero_point) * np.float32(tensor.scale)


def _load(runtime: str) -> tuple[Any, str]:
    """Return the interpreter class of the configured runtime and its name with version."""
    if runtime != "auto" and runtime not in _RUNTIMES:
        known = ", ".join(_RUNTIMES)
        raise ValueError(f"unknown runtime {runtime!r}; known are auto, {known}")
    wanted = list(_RUNTIMES.values()) if runtime == "auto" else [_RUNTIMES[runtime]]
    reasons = []
    for each in wanted:
        try:
            return each.load()
        except ImportError as error:
            reasons.append(str(error))
    raise RuntimeUnavailable(
        f"no TFLite runtime: pip install {wanted[0].package} ({'; '.join(reasons)})"
    )


def _load_litert() -> tuple[Any, str]:
    from ai_edge_litert.interpreter import Interpreter as LiteRt  # noqa: PLC0415

    return LiteRt, f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"


def _load_tflite_runtime() -> tuple[Any, str]:
    from tflite_runtime.interpreter import Interpreter as TfliteRuntime  # noqa: PLC0415

    return TfliteRuntime, f"tflite-runtime {importlib.metadata.version('tflite-runtime')}"


def _load_tensorflow() -> tuple[Any, str]:
    import tensorflow as tf  # noqa: PLC0415

    return tf.lite.Interpreter, f"tensorflow {tf.__version__}"


_RUNTIMES = {
    "litert": _Runtime("ai-edge-litert", _load_litert),
    "tflite-runtime": _Runtime("tflite-runtime", _load_tflite_runtime),
    "tensorflow": _Runtime("tensorflow", _load_tensorflow),
}
