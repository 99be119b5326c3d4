"""Runs the training command in this process."""

from __future__ import annotations

import contextlib
import io

from train.__main__ import main


def run(*arguments: object) -> tuple[int, str]:
    """Run `main` in this process, which has loaded TensorFlow; return exit code and output."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main([str(a) for a in arguments])
    return status, out.getvalue()
