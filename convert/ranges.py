"""Finds the range of each tensor of a float model that eight bits represent best.

A range from the smallest value to the largest would use most of its levels for a few outliers: in
a thousand images the most extreme value is two to three times as large as the others. The range
with the least squared error leaves outliers out (Nagel et al., arXiv:2106.08295, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from convert import tflite
from convert.export_folder import Images
from convert.quiet import quiet_stderr

Range = tuple[float, float]

_SEED = 3
_VALUES = 1024  # sampled from each tensor and image
_BINS = 2048
_STEPS = 255
_SHARES = np.linspace(0.2, 1, 81)  # of the whole range, tried at each end


class Probe:
    """Runs a model on LiteRT's reference kernels, which keep the values of every tensor."""

    def __init__(self, content: bytes) -> None:
        with quiet_stderr():
            self._runtime = Interpreter(
                model_content=content,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._runtime.allocate_tensors()
        self._pixels = self._runtime.get_input_details()[0]
        self._details = {each["name"]: each for each in self._runtime.get_tensor_details()}

    def run(self, image: NDArray[np.uint8]) -> None:
        """Run on (height, width, 1) pixels."""
        values = image[np.newaxis].astype(self._pixels["dtype"])
        self._runtime.set_tensor(self._pixels["index"], values)
        self._runtime.invoke()

    def values(self, name: str) -> NDArray[np.float64]:
        """Return the tensor of that name as real values."""
        details = self._details[name]
        scale, zero_point = details["quantization"]
        stored = self._runtime.get_tensor(details["index"]).astype(np.float64)
        real: NDArray[np.float64] = stored if scale == 0 else scale * (stored - zero_point)
        return real


def learn(content: bytes, images: Images) -> Mapping[str, Range]:
    """Run images (n, height, width, 1); return the best range of each computed tensor, by name."""
    names = tflite.read(content).computed
    probe = Probe(content)
    seen: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for image in images:
        probe.run(image)
        for name in names:
            seen[name].append(_some(probe.values(name)))
    return {name: least_error(np.concatenate(values)) for name, values in seen.items()}


def least_error(values: NDArray[np.float64]) -> Range:
    """Return the range with 0 whose 256 levels represent `values` with the least squared error.

    The search moves the upper end inwards first, then the lower end.
    """
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    if low == high:
        return 0.0, 1.0
    counts, edges = np.histogram(values, _BINS, (low, high))
    centers = (edges[1:] + edges[:-1]) / 2
    high = min(high * _SHARES, key=lambda end: _error(centers, counts, low, end))
    low = min(low * _SHARES, key=lambda end: _error(centers, counts, end, high))
    return float(low), float(high)


def _some(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values at random positions, the same ones for equal sizes; all of a small tensor."""
    flat = tensor.ravel()
    if len(flat) <= _VALUES:
        return flat
    return flat[np.random.default_rng(_SEED).integers(len(flat), size=_VALUES)]


def _error(
    centers: NDArray[np.float64], counts: NDArray[np.int64], low: float, high: float
) -> float:
    if low == high:
        return float("inf")
    step = (high - low) / _STEPS
    zero = np.round(-low / step)
    rendered = step * (np.clip(np.round(centers / step) + zero, 0, _STEPS) - zero)
    return float((counts * np.square(rendered - centers)).sum())
