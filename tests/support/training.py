"""Calls the training command in this process."""

from __future__ import annotations

import contextlib
import io

from train.__main__ import main


def run(*arguments: object) -> tuple[int, str]:
    """`main` in this process, which has TensorFlow loaded already, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main([str(a) for a in arguments])
    return status, out.getvalue()
