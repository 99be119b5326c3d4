"""Tries a model in a child process before the daemon loads it.

A damaged model may crash the runtime, which is native code, hang it or take all memory. In a child
process this only refuses the model and leaves the daemon alone. The child is
`python -m edge_daemon.vision.probe RUNTIME MEMORY_BYTES`; it reads the model from standard input
and prints the reason if it cannot be used.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.vision.classifier import Classifier, check_goldens
from edge_daemon.vision.interpreter import ModelError, runtime_name
from edge_daemon.vision.model_file import ModelFile, parse_model

TIMEOUT_S: Final = 20.0  # systemd's watchdog waits for 30 s
START_S: Final = 60.0  # to start Python and load its libraries on a busy board
MEMORY_BYTES: Final = 150_000_000  # the limit for a model; a large one takes 20 MB
REFUSED: Final = 3  # the exit code

_STATUS: Final = Path("/proc/self/status")


def probe_model(
    model: ModelFile,
    runtime: str,
    *,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
) -> None:
    """Load `model` on `runtime` and compare its golden answers, in a child process.

    Raises ModelError if the model cannot be used, crashes the child, or takes longer than
    `timeout_s` or more than `memory_bytes`. The time begins when the child has loaded its
    libraries.
    """
    environment = {k: v for k, v in os.environ.items() if k not in {"NOTIFY_SOCKET"}}
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "edge_daemon.vision.probe", runtime, str(memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as child:
        assert child.stdout is not None  # noqa: S101 - for mypy
        with _killed_after(START_S, child):
            os.read(child.stdout.fileno(), 1)
        with _killed_after(timeout_s, child) as timer:
            output, _ = child.communicate(model.content)
            has_ended = timer.is_alive()
    if not has_ended:
        raise ModelError(
            f"{model.path}: the model did not answer within {timeout_s:g} s; "
            "convert it again, or use another one."
        )
    if child.returncode == 0:
        return
    if child.returncode == REFUSED:
        reason = output.decode(errors="replace").strip()
        raise ModelError(reason.replace("the model file", str(model.path), 1))
    how = f"exit code {child.returncode}"
    with suppress(ValueError):
        how = signal.Signals(-child.returncode).name
    raise ModelError(
        f"{model.path}: the model crashes its runtime ({how}), or takes more than "
        f"{memory_bytes // 1_000_000} MB; convert it again, or use another one."
    )


@contextmanager
def _killed_after(limit_s: float, child: subprocess.Popen[bytes]) -> Iterator[threading.Timer]:
    """Kill the child if the block takes longer than `limit_s`.

    A timer is used because `Popen.wait` with a timeout fails where the clock is faked.
    """
    timer = threading.Timer(limit_s, child.kill)
    timer.start()
    try:
        yield timer
    finally:
        timer.cancel()


def main(runtime: str, memory_bytes: int) -> int:
    """Try the model from standard input; print the reason and return REFUSED if it fails."""
    with suppress(UserError, ValueError):  # reported below
        runtime_name(runtime)
    print(flush=True)  # the libraries are loaded
    content = sys.stdin.buffer.read()
    with suppress(OSError, ValueError):  # the unit's filter of system calls may forbid it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = _data_bytes() + len(content) + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # A runtime that gets no memory names the operator that failed, so each reason names the limit.
    allowance = f"(a model may take {memory_bytes // 1_000_000} MB of memory)"
    try:
        classifier = Classifier(parse_model(Path("the model file"), content), runtime=runtime)
        _check_scores(classifier)
        check_goldens(classifier)
    except MemoryError:
        return 1
    except UserError as error:
        print(f"{str(error).rstrip('.')} {allowance}.")
        return REFUSED
    except Exception as error:  # runtimes raise different ones for damaged models
        print(f"the model file: the model cannot be used: {reason_of(error)} {allowance}.")
        return REFUSED
    return 0


def _check_scores(classifier: Classifier) -> None:
    """Run the model on black and on white, as models may lack golden answers. Raises ModelError."""
    size_px = classifier.model.size_px
    for gray in (0, 255):
        scores = classifier.score(np.full((size_px, size_px), gray, np.uint8))
        if not np.isfinite(scores).all():
            raise ModelError("the model file: its scores are not numbers; convert it again.")


def _data_bytes() -> int:
    """Return the bytes in use of the memory that RLIMIT_DATA limits."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
