"""Signs a model and writes its manifest beside it, for publishers of models."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from edge_daemon.updates.manifest import new_private_key, public_key, signed
from edge_daemon.vision.model_file import read_model_file


def publish(model: Path, version: int, key_file: Path) -> tuple[Path, str]:
    """Write `manifest.json` beside `model`; return its path and the key for `models.key`.

    A missing key file is created, readable by its owner alone. Raises ModelError if `model` cannot
    be used by Mien, ValueError if the key file contains no key, and OSError.
    """
    read_model_file(model)
    private = _private_key(key_file)
    manifest = model.with_name("manifest.json")
    manifest.write_bytes(signed(model, version, private))
    return manifest, base64.b64encode(public_key(private)).decode()


def _private_key(path: Path) -> bytes:
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(new_private_key()) + b"\n")
    try:
        private = base64.b64decode(path.read_bytes(), validate=False)
    except ValueError:
        private = b""
    if len(private) != 32:
        raise ValueError(f"{path} contains no key made by this command; name another file.")
    return private
