"""Runs converted models on every TFLite runtime available, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np

from convert import candidate, scores
from convert.candidate import Candidate
from convert.errors import ConvertError, GateError
from convert.export_folder import Images
from convert.scores import Probabilities

THREADS = (1, 2)

_WORKER = Path(__file__).with_name("runtime_worker.py")
_TIMEOUT_S = 1800.0  # of the longest command: all test images on a slow, busy machine
_ROUNDS = 100
_PART = 7  # variants other than int8 answer to every seventh image
_REFERENCE_IMAGES = 20  # reference kernels are slow
_KIB_PER_MIB = 1024

# On default kernels, and on reference kernels where they have all operators.
_Answers = tuple[Probabilities, Probabilities | None]


class RuntimeUnreachable(ConvertError):
    """The runtime cannot be started, or ended during a command; the message says why."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where a runtime is: `module` has its `Interpreter`, and `python` can import it."""

    name: str
    module: str
    python: Path = Path(sys.executable)


class RuntimeProcess:
    """A running worker (see `runtime_worker`); a context manager, which ends it.

    `version` is the runtime's. Raises RuntimeUnreachable.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own worker
                # Without -P the modules of this folder would hide others of the same names.
                [str(runtime.python), "-P", str(_WORKER), runtime.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
            )
        except OSError as error:
            self._stderr.close()
            raise RuntimeUnreachable(f"{runtime.python}: {error.strerror}") from error
        self._commands = cast("IO[bytes]", self._process.stdin)
        self._results = cast("IO[bytes]", self._process.stdout)
        try:
            self.version: str = self._result()
        except RuntimeUnreachable:
            self._end()
            raise

    def call(self, command: str, *arguments: Any) -> Any:
        """Run one of the worker's commands; paths are sent as text."""
        line = json.dumps([command, *arguments], default=str)
        try:
            self._commands.write(line.encode() + b"\n")
            self._commands.flush()
        except BrokenPipeError as error:
            raise RuntimeUnreachable(self._error_output()) from error
        return self._result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _result(self) -> Any:
        with selectors.DefaultSelector() as selector:
            selector.register(self._results, selectors.EVENT_READ)
            if not selector.select(_TIMEOUT_S):
                raise RuntimeUnreachable(f"no answer within {_TIMEOUT_S:.0f} s")
        line = self._results.readline()
        if not line:
            raise RuntimeUnreachable(self._error_output())
        return json.loads(line)

    def _error_output(self) -> str:
        self._process.wait(_TIMEOUT_S)
        self._stderr.seek(0)
        output = self._stderr.read().decode(errors="replace").strip()
        # A traceback ends with the exception, which may take several lines.
        exception = re.findall(r"^\w+Error: .*", output, re.MULTILINE | re.DOTALL)
        words = " ".join((exception[-1] if exception else output[-300:]).split())
        return words or f"exit code {self._process.returncode}"

    def _end(self) -> None:
        self._process.kill()  # it has no state to lose
        self._process.communicate()
        self._stderr.close()


LITERT = Runtime("ai-edge-litert", "ai_edge_litert.interpreter")  # the others are compared with it
TENSORFLOW = Runtime("tensorflow", "tensorflow.lite.python.interpreter")


def tflite_runtime(python: Path) -> Runtime:
    """tflite-runtime, in the environment of the Python that has it."""
    return Runtime("tflite-runtime", "tflite_runtime.interpreter", python)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a runtime's answers to `images` images compare with LiteRT's; shares are 0 to 1.

    `agreement` is the share with the same top class, `identical` that with the same bits.
    `identical_reference` is the latter on the reference kernels, which do not depend on the
    processor, for the first images; None if these lack an operator.
    """

    images: int
    agreement: float
    max_difference: float  # of any probability
    identical: float
    identical_reference: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak of a process that has imported LiteRT, and its peak after running a model."""

    idle_mib: float
    peak_mib: float


class Bench:
    """LiteRT and those of `runtimes` that are available, each in a process that stays ready.

    A context manager, which ends the processes. `versions` has the available runtimes,
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
        """By runtime, on images (n, height, width, 1). Raises GateError if one fails."""
        self._model(one).write_bytes(one.content)
        chosen = images if one.variant.calibrated else images[::_PART]
        np.save(self._folder / "images.npy", chosen)
        np.save(self._folder / "few.npy", chosen[:_REFERENCE_IMAGES])
        answers = {each: self._answers(each, one) for each in self._processes}
        return {each.name: _agreement(answers[LITERT], answers[each]) for each in answers}

    def latency_ms(
        self, candidates: Sequence[Candidate], face: Images
    ) -> dict[str, dict[str, dict[int, float]]]:
        """Return the median for one `face` (1, height, width, 1), by variant, runtime and threads.

        All take turns within one run, so that other work on the machine affects all alike. Call
        `agreements` for each candidate before.
        """
        np.save(self._folder / "face.npy", face)
        models = [self._model(each) for each in candidates]
        for process in self._processes.values():
            process.call("prepare", models, THREADS, self._folder / "face.npy")
        turns = [
            [process.call("time_each") for process in self._processes.values()]
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
        """Of a fresh process on LiteRT. Call `agreements` for the candidate before."""
        with RuntimeProcess(LITERT) as fresh:
            kib = fresh.call("peak_memory", self._model(one))
        return Memory(*(round(each / _KIB_PER_MIB, 1) for each in kib))

    def _answers(self, runtime: Runtime, one: Candidate) -> _Answers:
        """Return the probabilities for the images, on default and on reference kernels."""
        self._run(runtime, one, "images.npy", "AUTO")
        default = self._saved(one)
        runs = self._run(runtime, one, "few.npy", "BUILTIN_REF")
        return default, self._saved(one) if runs else None

    def _run(self, runtime: Runtime, one: Candidate, images: str, kernels: str) -> bool:
        """Save the answers of a runtime; False where such kernels lack an operator."""
        process = self._processes[runtime]
        words = self._model(one), self._folder / images, kernels, self._folder / "answers.npy"
        try:
            return bool(process.call("answer", *words))
        except RuntimeUnreachable as error:
            raise GateError(
                f"the {one.variant.name} model does not run on {runtime.name} {process.version}: "
                f"{error}; replace the layer that needs this"
            ) from error

    def _saved(self, one: Candidate) -> Probabilities:
        return candidate.dequantized(one.content, np.load(self._folder / "answers.npy"))

    def _model(self, one: Candidate) -> Path:
        return self._folder / f"{one.variant.name}.tflite"


def _agreement(litert: _Answers, other: _Answers) -> Agreement:
    return Agreement(
        images=len(litert[0]),
        agreement=scores.agreement(litert[0], other[0]),
        max_difference=float(np.abs(litert[0] - other[0]).max()),
        identical=_identical(litert[0], other[0]),
        identical_reference=(
            None if litert[1] is None or other[1] is None else _identical(litert[1], other[1])
        ),
    )


def _identical(one: Probabilities, other: Probabilities) -> float:
    """Return the share of the images with answers that are equal to the bit."""
    return float((one == other).all(axis=1).mean())
