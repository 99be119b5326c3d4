"""Converted models in, how long one face takes each of them out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from convert import candidate
from convert.export_folder import Images

THREADS = (1, 2)

_ROUNDS = 100


def median_ms(contents: Mapping[str, bytes], face: Images) -> dict[str, dict[int, float]]:
    """By model and number of threads the median time of LiteRT for `face` (1, height, width, 1).

    All take turns within one run, so that whatever else the machine does meets them alike.
    """
    runtimes = {
        (name, threads): _loaded(content, face, threads)
        for name, content in contents.items()
        for threads in THREADS
    }
    times = np.array([[_invoke_s(each) for each in runtimes.values()] for _ in range(_ROUNDS)])
    medians = dict(zip(runtimes, 1000 * np.median(times, axis=0), strict=True))
    return {
        name: {threads: round(float(medians[name, threads]), 3) for threads in THREADS}
        for name in contents
    }


def _loaded(content: bytes, face: Images, threads: int) -> Any:
    runtime = candidate.interpreter(content, num_threads=threads)
    pixels = runtime.get_input_details()[0]
    runtime.set_tensor(pixels["index"], face.astype(pixels["dtype"]))
    runtime.invoke()  # the first run also packs the weights
    return runtime


def _invoke_s(runtime: Any) -> float:
    start_s = time.perf_counter()
    runtime.invoke()
    return time.perf_counter() - start_s
