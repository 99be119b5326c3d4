"""A report in, its picture out: size against accuracy, with the time of a face, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


def draw(report: Mapping[str, Any]) -> str:
    """Each variant with the 95 % interval of its accuracy; Keras's accuracy is a line."""
    images, keras = next(iter(report["keras"].items()))
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    axes.axhline(100 * keras["accuracy"], color="gray", linestyle=":", label="Keras")
    for name, variant in report["variants"].items():
        trial, size = variant["trials"][images], variant["file"]["bytes"] / 1e6
        accuracy, (low, high) = trial["accuracy"], trial["accuracy_95"]
        spread = [[100 * (accuracy - low)], [100 * (high - accuracy)]]
        litert = next(iter(variant["runtimes"].values()))
        label = f"{name}, {litert['latency_ms'][1]:.2f} ms"
        axes.errorbar(size, 100 * accuracy, spread, fmt="o", capsize=4, label=label)
    axes.set(xlabel="size of the file (MB)", ylabel=f"accuracy on {report['samples']} {images} (%)")
    axes.set_xlim(left=0)
    figure.legend(title="one face, one thread, LiteRT", fontsize="small", loc="outside right upper")
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
