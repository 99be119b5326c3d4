"""A TFLite runtime in a process of its own: commands in, results out (see `runtime_worker`)."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, cast

from convert.errors import ConvertError

_WORKER = Path(__file__).with_name("runtime_worker.py")
_TIMEOUT_S = 1800.0  # of the longest command: all test images on a slow, busy machine


class RuntimeUnreachable(ConvertError):
    """The runtime cannot be started, or ended amid a command; the message says why."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where a runtime is: `module` holds its `Interpreter`, `python` can import it."""

    name: str
    module: str
    python: Path = Path(sys.executable)


class RuntimeProcess:
    """A running worker; a context manager, since it must be ended.

    `version` is the runtime's. Raises `RuntimeUnreachable`.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own worker
                # Without -P the modules of this folder would hide others of their names.
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

    def ask(self, command: str, *arguments: Any) -> Any:
        """Have the worker run one of its commands; paths go as text."""
        line = json.dumps([command, *arguments], default=str)
        try:
            self._commands.write(line.encode() + b"\n")
            self._commands.flush()
        except BrokenPipeError as error:
            raise RuntimeUnreachable(self._last_words()) from error
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
            raise RuntimeUnreachable(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self._process.wait(_TIMEOUT_S)
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip()
        # A traceback ends with the exception, which may take several lines.
        exception = re.findall(r"^\w+Error: .*", said, re.MULTILINE | re.DOTALL)
        words = " ".join((exception[-1] if exception else said[-300:]).split())
        return words or f"exit code {self._process.returncode}"

    def _end(self) -> None:
        self._process.kill()  # it holds nothing that could be lost
        self._process.communicate()
        self._stderr.close()
