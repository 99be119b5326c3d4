"""A float32 model and a quantized one in, how much each layer lost to quantization out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert import graph
from convert.export_folder import Images
from convert.probe import Probe

_EXACT_DB = 99.0  # shown for a layer without any error


@dataclass(frozen=True, slots=True)
class LayerError:
    """A layer's signal-to-quantization-noise ratio; 20 dB is an error of a tenth."""

    name: str
    sqnr_db: float


def errors(reference: bytes, quantized: bytes, images: Images) -> tuple[LayerError, ...]:
    """The error of every tensor that both models compute, in the order of the graph.

    The converter gives the same tensor the same name in both. Errors add up along the network,
    as they do on a device; `images` is (n, height, width, 1).
    """
    both = set(graph.read(reference).computed)
    names = [name for name in graph.read(quantized).computed if name in both]
    exact, rounded = Probe(reference), Probe(quantized)
    signal, noise = np.zeros(len(names)), np.zeros(len(names))
    for image in images:
        exact.run(image)
        rounded.run(image)
        for i, name in enumerate(names):
            wanted = exact.values(name)
            signal[i] += np.square(wanted).sum()
            noise[i] += np.square(wanted - rounded.values(name)).sum()
    return tuple(map(_layer_error, names, signal, noise))


def _layer_error(name: str, signal: float, noise: float) -> LayerError:
    first = name.partition(";")[0]  # then come the operations that were folded into it
    exact = noise <= signal * 10 ** (-_EXACT_DB / 10)
    return LayerError(first, _EXACT_DB if exact else float(10 * np.log10(signal / noise)))
