"""Sets the clock of a process under test, by libfaketime."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


class FakeClock:
    """Sets the clock of a process by an offset from the real one."""

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            pytest.skip("NOT TESTED: libfaketime is not installed (apt install faketime)")
        self._file = folder / "offset"
        self.interpreter = (
            "env",
            f"LD_PRELOAD={libraries[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            sys.executable,
        )

    def set(self, offset_s: float) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(f"{offset_s:+.0f}\n")
        part.replace(self._file)
