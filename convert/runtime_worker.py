"""Runs one TFLite runtime for another process, which sends commands as lines of JSON.

    python runtime_worker.py tflite_runtime.interpreter

The Python interpreter that has the runtime runs this file; it needs NumPy and no module of this
project. Each line on stdin is a list of a command's name and its arguments, each line on stdout is
the command's result. The first line on stdout is the runtime's version. The process ends with its
input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np


class Worker:
    """Runs the commands on one runtime."""

    def __init__(self, module: str) -> None:
        self._runtime = importlib.import_module(module)
        self.version = importlib.import_module(module.partition(".")[0]).__version__
        self._timed: list[Any] = []

    def answer(self, model: str, images: str, kernels: str, answers: str) -> bool:
        """Run `images`, uint8 (n, height, width, 1); save the outputs (n, classes) as stored.

        `kernels` is one of the runtime's `OpResolverType`; AUTO is the default of programs.
        Returns False if other kernels lack an operator of the model, as the reference kernels
        lack ELU.
        """
        try:
            interpreter = self._load(model, 1, kernels)
        except (RuntimeError, ValueError) as error:
            if kernels == "AUTO" or "Didn't find op" not in str(error):
                raise
            return False
        output = interpreter.get_output_details()[0]["index"]
        stored = []
        for image in np.load(images):
            _set_pixels(interpreter, image[np.newaxis])
            interpreter.invoke()
            stored.append(interpreter.get_tensor(output)[0])
        np.save(answers, np.stack(stored))
        return True

    def prepare(self, models: list[str], threads: list[int], face: str) -> None:
        """Load every model with each number of threads, ready for `time_each`."""
        pixels = np.load(face)
        self._timed = [self._load(model, n) for model in models for n in threads]
        for interpreter in self._timed:
            _set_pixels(interpreter, pixels)
            interpreter.invoke()  # the first run also packs the weights

    def time_each(self) -> list[float]:
        """Run each model that `prepare` loaded once; return the seconds, in the same order."""
        return [_invoke_s(interpreter) for interpreter in self._timed]

    def peak_memory(self, model: str) -> list[int]:
        """Return the peak memory of the process before and after it runs a model, in KiB."""
        before = _peak_kib()
        interpreter = self._load(model, 1)
        interpreter.invoke()
        return [before, _peak_kib()]

    def _load(self, model: str, threads: int, kernels: str = "AUTO") -> Any:
        with warnings.catch_warnings():  # TensorFlow's class warns that it moved to LiteRT
            warnings.simplefilter("ignore")
            interpreter = self._runtime.Interpreter(
                model_path=model,
                num_threads=threads,
                experimental_op_resolver_type=self._runtime.OpResolverType[kernels],
            )
        interpreter.allocate_tensors()
        return interpreter


def _set_pixels(interpreter: Any, pixels: Any) -> None:
    details = interpreter.get_input_details()[0]
    interpreter.set_tensor(details["index"], pixels.astype(details["dtype"]))


def _invoke_s(interpreter: Any) -> float:
    start_s = time.perf_counter()
    interpreter.invoke()
    return time.perf_counter() - start_s


def _peak_kib() -> int:
    """Return the peak of this process's resident memory on Linux.

    `getrusage` would include the peak of the parent process."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0])


def main(module: str) -> None:
    """Run commands until the input ends; the runtime's own output to stdout goes to stderr."""
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(module)
    print(json.dumps(worker.version), file=results, flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(worker, name)(*arguments)), file=results, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
