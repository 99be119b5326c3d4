"""Seals a folder: SHA256SUMS lists every file in it, and SHA256SUMS.sig is its Ed25519 signature.

`sha256sum --check` reads the list. Its first line is a comment that names the signed thing, so that
the signature of one bundle is not valid for another bundle or a model. The key file has the format
of `mien sign`; if it is missing, it is created. Signing needs openssl.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deploy.layout import DeployError, run
from deploy.sbom import sha256

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
PURPOSE = "# mien release 1:"
# PKCS #8 and SubjectPublicKeyInfo in DER (RFC 8410), up to the key's 32 bytes.
PRIVATE = bytes.fromhex("302e020100300506032b657004220420")
PUBLIC = bytes.fromhex("302a300506032b6570032100")


def seal(folder: Path, name: str, key_file: Path | None) -> None:
    """Write the list of the files in `folder`, called `name`, and sign it if there is a key.

    Raises DeployError if the key cannot be read or openssl fails.
    """
    own = (folder / SUMS, folder / SIGNATURE)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in own)
    list_files(files, folder / SUMS, name, key_file)


def list_files(files: Sequence[Path], sums: Path, name: str, key_file: Path | None) -> None:
    """Write the list `sums` of `files`, beside or below it, and its signature if there is a key.

    Raises DeployError as `seal` does.
    """
    lines = [f"{sha256(path)}  {path.relative_to(sums.parent)}" for path in files]
    sums.write_text("\n".join([f"{PURPOSE} {name}", *lines, ""]), encoding="utf-8")
    signature = sums.with_name(f"{sums.name}.sig")
    signature.unlink(missing_ok=True)
    if key_file is not None:
        _sign(sums, signature, key_file)


def _sign(file: Path, signature: Path, key_file: Path) -> None:
    private = _private_key(key_file)
    with tempfile.TemporaryDirectory() as scratch:
        key = Path(scratch) / "key"
        key.touch(0o600)
        key.write_bytes(PRIVATE + private)
        made: list[str | Path] = [
            "openssl",
            "pkeyutl",
            "-sign",
            "-rawin",
            "-keyform",
            "DER",
            "-inkey",
            key,
        ]
        run([*made, "-in", file, "-out", signature])


def public_key(key_file: Path) -> str:
    """Return the public key as `./install KEY=` expects it. Raises DeployError."""
    private = _private_key(key_file)
    with tempfile.TemporaryDirectory() as scratch:
        key, public = Path(scratch) / "key", Path(scratch) / "public"
        key.touch(0o600)
        key.write_bytes(PRIVATE + private)
        form = ["-inform", "DER", "-outform", "DER"]
        run(["openssl", "pkey", *form, "-in", key, "-pubout", "-out", public])
        return base64.b64encode(public.read_bytes().removeprefix(PUBLIC)).decode()


def _private_key(path: Path) -> bytes:
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(os.urandom(32)) + b"\n")
        content = path.read_bytes()
    except OSError as error:
        raise DeployError(f"the key {path} cannot be read: {error}") from error
    with suppress(ValueError):
        private = base64.b64decode(content)
        if len(private) == 32:
            return private
    raise DeployError(f"{path} holds no key; name one that `mien sign` has made, or a new file.")
