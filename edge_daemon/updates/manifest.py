"""What a publisher says of a model: a signed manifest in, the record it holds out, and back.

A manifest is JSON: {"model": {"file", "version", "size", "sha256"}, "signature": base64}. What is
signed is PURPOSE and the record as JSON with sorted keys and no spaces.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge_daemon.updates.signing import is_signed, sign

PURPOSE: Final = b"mien model 1\n"  # a signature for this cannot be taken for another's
MAX_BYTES: Final = 50_000_000
MANIFEST_BYTES: Final = 10_000
NAME: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.tflite"


class UpdateRefused(ValueError):
    """An update that is not what its publisher signed, or not to be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The model `file` of `size` bytes beside the manifest; a newer one has a larger `version`."""

    file: str
    version: int
    size: int
    sha256: str

    def __post_init__(self) -> None:
        """Raises ValueError for what no device takes."""
        if type(self.file) is not str or not re.fullmatch(NAME, self.file):
            raise ValueError(f"{self.file!r} is no model's name: letters, digits, '.', '-' and '_'")
        if type(self.version) is not int or self.version < 1:
            raise ValueError("a version is a whole number from 1 on")
        if type(self.size) is not int or not 0 < self.size <= MAX_BYTES:
            raise ValueError(f"a model has at most {MAX_BYTES:,} bytes")

    def check(self, content: bytes) -> None:
        """Raises UpdateRefused unless `content` is the model that is meant."""
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UpdateRefused(f"{self.file} is not what was signed as version {self.version}")


def signed(model: Path, version: int, private: bytes) -> bytes:
    """The manifest of `model` as `version`, signed with a private key; ValueError, OSError."""
    content = model.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    manifest = Manifest(model.name, version, len(content), sha256)
    signature = base64.b64encode(sign(private, _signed_part(manifest))).decode()
    return json.dumps({"model": asdict(manifest), "signature": signature}, indent=1).encode()


def verified(content: bytes, public: bytes) -> Manifest:
    """The record in a manifest that the holder of the key signed; else raises UpdateRefused."""
    try:
        said = json.loads(content)
        manifest = Manifest(**said["model"])
        signature = base64.b64decode(said["signature"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UpdateRefused("what models.url leads to is no manifest of a model") from error
    if not is_signed(_signed_part(manifest), signature, public):
        raise UpdateRefused("the manifest is not signed with the key in models.key")
    return manifest


def _signed_part(manifest: Manifest) -> bytes:
    return PURPOSE + json.dumps(asdict(manifest), sort_keys=True, separators=(",", ":")).encode()
