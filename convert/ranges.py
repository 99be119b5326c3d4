"""A float model and calibration images in, the range of each tensor that eight bits serve best out.

From the smallest value to the largest, a few outliers would cost every other value its precision:
the widest of a thousand pictures' values lies two to three times beyond the rest. The range of
least squared error leaves them out (Nagel et al., arXiv:2106.08295, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from convert import graph
from convert.export_folder import Images
from convert.probe import Probe

Range = tuple[float, float]

_SEED = 3
_VALUES = 1024  # looked at of each tensor and image
_BINS = 2048
_STEPS = 255
_SHARES = np.linspace(0.2, 1, 81)  # of the whole range, tried on each side


def learn(content: bytes, images: Images) -> Mapping[str, Range]:
    """By name the range of every tensor the model computes for (n, height, width, 1) images."""
    names = graph.read(content).computed
    probe = Probe(content)
    seen: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for image in images:
        probe.run(image)
        for name in names:
            seen[name].append(_some(probe.values(name)))
    return {name: least_error(np.concatenate(values)) for name, values in seen.items()}


def least_error(values: NDArray[np.float64]) -> Range:
    """The range, 0 within it, from which 256 levels render `values` with the least squared error.

    First the upper end is moved in, then the lower.
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
    """The same random places of each tensor of that size, or all of a small one."""
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
