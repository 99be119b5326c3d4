"""Keeps messages of TensorFlow and the runtimes off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def configure_tensorflow() -> None:
    """Set environment variables for TensorFlow and Keras; call it before importing them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN rounds differently by processor
    os.environ["KERAS_BACKEND"] = "tensorflow"  # training may have set another backend


# train/quiet.py has the same function: no stage imports another, and there is no shared package.
@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Capture what C++ code writes to file descriptor 2; print it only if the body fails."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
