"""Ed25519 signatures (RFC 8032), by the cryptography package: bytes in, bytes or a verdict out."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def new_key() -> bytes:
    """A private key, 32 bytes."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """The public key, 32 bytes, that belongs to the private one."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sign(private: bytes, content: bytes) -> bytes:
    """The signature of `content`, 64 bytes."""
    return Ed25519PrivateKey.from_private_bytes(private).sign(content)


def is_signed(content: bytes, signature: bytes, public: bytes) -> bool:
    """Whether the holder of the private key that belongs to `public` signed `content`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except InvalidSignature:
        return False
    return True
