"""Converted models in, what every TFLite runtime within reach makes of them out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from convert import candidate, scores
from convert.candidate import Candidate
from convert.errors import GateError
from convert.export_folder import Images
from convert.runtime_process import Runtime, RuntimeProcess, RuntimeUnreachable
from convert.scores import Probabilities
from convert.variants import DEFAULT

LITERT = Runtime("ai-edge-litert", "ai_edge_litert.interpreter")  # the others are held against it
TENSORFLOW = Runtime("tensorflow", "tensorflow.lite.python.interpreter")
THREADS = (1, 2)

_ROUNDS = 100
_PART = 7  # other variants than the default answer to every seventh image
_REFERENCE = 20  # images
_KIB_PER_MIB = 1024

_Answers = tuple[Probabilities, Probabilities]  # on default and on reference kernels


def tflite_runtime(python: Path) -> Runtime:
    """tflite-runtime, last of its line, in the environment of the Python that has it."""
    return Runtime("tflite-runtime", "tflite_runtime.interpreter", python)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near a runtime's answers to `images` images are to LiteRT's: shares of 0 to 1.

    `identical` is the share of images with the same answer to the last bit, `identical_reference`
    that on the reference kernels, which both runtimes have and no processor changes, of the
    first `_REFERENCE`: they are slow.
    """

    images: int
    agreement: float
    max_difference: float  # of any probability
    identical: float
    identical_reference: float


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak of a process that has imported LiteRT, and of the same once it has run a model."""

    idle_mib: float
    peak_mib: float


class Bench:
    """LiteRT and those of `runtimes` that can be reached, each in a process that stays ready.

    A context manager, since the processes must be ended. `versions` has the runtimes reached,
    `unreachable` the others and why.
    """

    def __init__(self, runtimes: Sequence[Runtime]) -> None:
        self._stack, self._processes = ExitStack(), dict[Runtime, RuntimeProcess]()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.unreachable: dict[str, str] = {}
        for runtime in (LITERT, *runtimes):
            try:
                self._processes[runtime] = self._stack.enter_context(RuntimeProcess(runtime))
            except RuntimeUnreachable as error:
                self.unreachable[runtime.name] = str(error)
        self.versions = {each.name: found.version for each, found in self._processes.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def agreements(self, one: Candidate, images: Images) -> dict[str, Agreement]:
        """By runtime, on (n, height, width, 1) images; `GateError` where one refuses the model."""
        self._model(one).write_bytes(one.content)
        chosen = images if one.variant is DEFAULT else images[::_PART]
        np.save(self._folder / "images.npy", chosen)
        np.save(self._folder / "few.npy", chosen[:_REFERENCE])
        answers = {each: self._answers(each, one) for each in self._processes}
        return {each.name: _agreement(answers[LITERT], answers[each]) for each in answers}

    def latency_ms(
        self, candidates: Sequence[Candidate], face: Images
    ) -> dict[str, dict[str, dict[int, float]]]:
        """The median for one `face` (1, height, width, 1), by variant, runtime and threads.

        All take turns within one run, so that other work on the machine meets all alike. Only
        for candidates that `agreements` has seen.
        """
        np.save(self._folder / "face.npy", face)
        models = [self._model(each) for each in candidates]
        for process in self._processes.values():
            process.ask("prepare", models, THREADS, self._folder / "face.npy")
        turns = [
            [process.ask("time_each") for process in self._processes.values()]
            for _ in range(_ROUNDS)
        ]
        shape = (_ROUNDS, len(self._processes), len(models), len(THREADS))
        medians = (1000 * np.median(np.reshape(turns, shape), axis=0)).round(3).tolist()
        return {
            each.variant.name: {
                runtime.name: dict(zip(THREADS, medians[i][j], strict=True))
                for i, runtime in enumerate(self._processes)
            }
            for j, each in enumerate(candidates)
        }

    def memory(self, one: Candidate) -> Memory:
        """Of a fresh process on LiteRT; only for a candidate that `agreements` has seen."""
        with RuntimeProcess(LITERT) as fresh:
            kib = fresh.ask("peak_memory", self._model(one))
        return Memory(*(round(each / _KIB_PER_MIB, 1) for each in kib))

    def _answers(self, runtime: Runtime, one: Candidate) -> _Answers:
        """The probabilities for the images, on default and on reference kernels."""
        process, saved = self._processes[runtime], self._folder / "answers.npy"
        found = []
        for kernels, images in (("AUTO", "images.npy"), ("BUILTIN_REF", "few.npy")):
            try:
                process.ask("answer", self._model(one), self._folder / images, kernels, saved)
            except RuntimeUnreachable as error:
                raise GateError(
                    f"the {one.variant.name} model does not run on "
                    f"{runtime.name} {process.version}: {error}"
                ) from error
            found.append(candidate.real(one.content, np.load(saved)))
        return found[0], found[1]

    def _model(self, one: Candidate) -> Path:
        return self._folder / f"{one.variant.name}.tflite"


def _agreement(litert: _Answers, other: _Answers) -> Agreement:
    same, same_reference = (
        float((ours == theirs).all(axis=1).mean())
        for ours, theirs in zip(litert, other, strict=True)
    )
    return Agreement(
        images=len(litert[0]),
        agreement=scores.agreement(litert[0], other[0]),
        max_difference=float(np.abs(litert[0] - other[0]).max()),
        identical=same,
        identical_reference=same_reference,
    )
