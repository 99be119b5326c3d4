"""Runs converted models on every available TFLite runtime, each in a separate process."""

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

# Answers on the default kernels, and on the reference kernels if they have all operators.
_Answers = tuple[Probabilities, Probabilities | None]


class RuntimeUnreachable(ConvertError):
    """The runtime cannot be started, or ended during a command; the message says why."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime: its `Interpreter` is in `module`, which the interpreter `python` can import."""

    name: str
    module: str
    python: Path = Path(sys.executable)


class RuntimeProcess:
    """A process that runs `runtime_worker`; as a context manager, it ends the process.

    `version` is the runtime's version. Raises RuntimeUnreachable.
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
    """Return the runtime tflite-runtime in the environment of the interpreter `python`."""
    return Runtime("tflite-runtime", "tflite_runtime.interpreter", python)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a runtime's answers to `images` images compare with LiteRT's; shares are 0 to 1.

    `agreement` is the share with the same top class, `identical` the share with the same bits.
    `identical_reference` is the same share for the first images on the reference kernels, which
    do not depend on the processor; None if these kernels lack an operator.
    """

    images: int
    agreement: float
    max_difference: float  # of any probability
    identical: float
    identical_reference: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak memory of a process that imported LiteRT, and the peak after it ran a model."""

    idle_mib: float
    peak_mib: float


class Bench:
    """Runs LiteRT and those of `runtimes` that are available, each in a process that stays ready.

    As a context manager, it ends the processes. `versions` has the available runtimes;
    `unreachable` has the others with the reason.
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
        """Return each runtime's agreement with LiteRT on images (n, height, width, 1), by name.

        Raises GateError if a runtime fails.
        """
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

        All take turns, so that other work on the machine affects all of them equally. Call
        `agreements` for each candidate first.
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
        """Measure a new process with LiteRT. Call `agreements` for the candidate first."""
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
        """Save the answers of a runtime; return False if its kernels lack an operator."""
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
