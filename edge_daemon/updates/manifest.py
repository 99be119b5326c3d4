"""Signed manifests of models: written by a publisher, verified by a device.

A manifest is JSON: {"model": {"file", "version", "size", "sha256"}, "signature": base64}. The
signature is Ed25519 (RFC 8032), of PURPOSE followed by the record as JSON with sorted keys and no
spaces.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge_daemon.core.errors import UserError

PURPOSE: Final = b"mien model 1\n"  # keeps the signature from being valid for anything else
MAX_BYTES: Final = 50_000_000
MANIFEST_BYTES: Final = 10_000
NAME: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}\.tflite"


class UpdateRefused(UserError):
    """The update differs from what its publisher signed, or cannot be used; see the message."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The model `file` of `size` bytes beside the manifest; a newer one has a larger `version`."""

    file: str
    version: int
    size: int
    sha256: str

    def __post_init__(self) -> None:
        """Raises ValueError for a record that no device accepts."""
        if type(self.file) is not str or not re.fullmatch(NAME, self.file):
            raise ValueError(
                f"{self.file!r:.120} cannot be a model's name: letters, digits, '.', '-' and '_'"
            )
        if type(self.version) is not int or not 1 <= self.version < 2**63:
            raise ValueError("a version is a whole number from 1")
        if type(self.size) is not int or not 0 < self.size <= MAX_BYTES:
            raise ValueError(f"a model has at most {MAX_BYTES:,} bytes")
        if type(self.sha256) is not str or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError("sha256 should have 64 hexadecimal digits")

    def check(self, content: bytes) -> None:
        """Raise UpdateRefused unless `content` is the model of this manifest."""
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UpdateRefused(
                f"{self.file} differs from the file that was signed as version {self.version}"
            )


def new_private_key() -> bytes:
    """Make a private key of 32 bytes."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """Return the public key, 32 bytes, of a private key."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def signed(model: Path, version: int, private: bytes) -> bytes:
    """Write the manifest of `model` as `version`. Raises ValueError or OSError."""
    content = model.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    manifest = Manifest(model.name, version, len(content), sha256)
    key = Ed25519PrivateKey.from_private_bytes(private)
    signature = base64.b64encode(key.sign(_signed_part(manifest))).decode()
    return json.dumps({"model": asdict(manifest), "signature": signature}, indent=1).encode()


def verified(content: bytes, public: bytes) -> Manifest:
    """Return the record of a manifest. Raises UpdateRefused unless `public` verifies it."""
    try:
        values = json.loads(content)
        manifest = Manifest(**values["model"])
        signature = base64.b64decode(values["signature"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UpdateRefused("models.url does not lead to a manifest of a model") from error
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed_part(manifest))
    except InvalidSignature:
        raise UpdateRefused("the manifest is not signed with the key in models.key") from None
    return manifest


def _signed_part(manifest: Manifest) -> bytes:
    return PURPOSE + json.dumps(asdict(manifest), sort_keys=True, separators=(",", ":")).encode()
