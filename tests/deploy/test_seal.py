"""Tests checksums and signatures of bundles, and the checks of the bundle's installer."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from deploy.bundle import INSTALL
from deploy.layout import DeployError
from deploy.seal import SIGNATURE, SUMS, public_key, seal
from edge_daemon.updates.manifest import new_private_key
from edge_daemon.updates.manifest import public_key as models_public_key

PYTHON = """#!/bin/sh
for word; do echo "<$word>"; done
while [ "$1" != --destdir ]; do shift; done
mkdir -p "$2/etc/mien"
"""


class Bundle:
    """A small sealed bundle whose Python prints its arguments; it installs into `root`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.key = folder / "my bundle", folder / "a b", folder / "key"
        self.python = folder / "python 3"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        (self.folder / "wheels").mkdir(parents=True)
        (self.folder / "wheels/one.whl").write_bytes(b"wheel")
        shutil.copy(INSTALL, self.folder / "install")

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "install", f"PYTHON={self.python}", f"DESTDIR={self.root}", *words],
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = Bundle(tmp_path)
    seal(made.folder, "mien-1", made.key)
    return made


def test_the_installer_takes_a_python_and_refuses_the_rest(bundle: Bundle) -> None:
    done = bundle.install()
    assert done.stdout.split("\n")[:-1] == [
        *("<-B>", "<-m>", "<deploy>", "<--destdir>", f"<{bundle.root}>", "<install>")
    ]
    assert "the signature is not checked; name the publisher's public key: KEY=" in done.stderr
    for word in ("python=x", "PYTHON=/nowhere/python"):
        assert bundle.install(word).returncode == 2
        assert word.partition("=")[2] in bundle.install(word).stderr


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


TAMPERED: dict[str, Callable[[Path], object]] = {
    "changed": lambda folder: append(folder / "wheels/one.whl"),
    "added": lambda folder: (folder / "sitecustomize.py").write_text("evil"),
    "hidden": lambda folder: (folder / "wheels/.x").write_text("evil"),
    "linked": lambda folder: (folder / "deploy").symlink_to("/tmp"),  # noqa: S108
    "removed": lambda folder: (folder / "wheels/one.whl").unlink(),
    "renamed": lambda folder: (folder / "wheels/one.whl").rename(folder / "wheels/two.whl"),
    "installer changed": lambda folder: append(folder / "install"),
    "list gone": lambda folder: (folder / SUMS).unlink(),
    "list empty": lambda folder: (folder / SUMS).write_text(""),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_nothing_of_a_bundle_runs_that_is_not_as_listed(bundle: Bundle, how: str) -> None:
    TAMPERED[how](bundle.folder)
    done = bundle.install()
    assert (done.returncode, done.stdout.count("<")) == (1, 0)
    assert "the bundle is damaged, or files were changed, added or removed" in done.stderr


def test_the_key_that_was_named_once_is_asked_of_later_bundles(bundle: Bundle) -> None:
    key = public_key(bundle.key)
    assert bundle.install(f"KEY={key}").returncode == 0
    assert (bundle.root / "etc/mien/release.key").read_text() == f"{key}\n"
    assert bundle.install().returncode == 0
    for other in (bundle.key.with_name("other"), None):  # signed by somebody else, or not at all
        seal(bundle.folder, "mien-2", other)
        done = bundle.install()
        assert (done.returncode, done.stdout) == (1, "")
        assert f"the bundle is not signed with the key {key}" in done.stderr
    seal(bundle.folder, "mien-3", bundle.key)
    assert bundle.install().returncode == 0


def test_a_signed_list_of_other_files_helps_nobody(bundle: Bundle) -> None:
    """Nor does a signature that the key has given for something else, such as a model."""
    key = f"KEY={public_key(bundle.key)}"
    signature = (bundle.folder / SIGNATURE).read_bytes()
    append(bundle.folder / "wheels/one.whl")
    seal(bundle.folder, "mien-1", None)
    (bundle.folder / SIGNATURE).write_bytes(signature)
    assert "is not signed with the key" in bundle.install(key).stderr
    for wrong in ("KEY=x", "KEY=AAAA", f"KEY={'A' * 43}=", f"{key}\n-----END PUBLIC KEY-----"):
        assert bundle.install(wrong).returncode == 1


def test_without_openssl_a_signature_is_not_taken_for_good(bundle: Bundle) -> None:
    tools = bundle.root.with_name("tools")
    tools.mkdir()
    for name in ("sh", "sed", "sort", "find", "sha256sum", "dirname", "cat", "head", "grep"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        [bundle.folder / "install", f"PYTHON={bundle.python}", f"KEY={public_key(bundle.key)}"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("fix: sudo apt install openssl\n")


def test_keys_and_signatures_are_those_of_models(bundle: Bundle, tmp_path: Path) -> None:
    private = new_private_key()
    (tmp_path / "models").write_bytes(base64.b64encode(private) + b"\n")
    public = models_public_key(private)
    assert base64.b64decode(public_key(tmp_path / "models")) == public
    seal(bundle.folder, "mien-1", tmp_path / "models")
    sums = (bundle.folder / SUMS).read_bytes()
    assert sums.startswith(b"# mien release 1: mien-1\n")
    signature = (bundle.folder / SIGNATURE).read_bytes()
    Ed25519PublicKey.from_public_bytes(public).verify(signature, sums)
    assert bundle.install(f"KEY={base64.b64encode(public).decode()}").returncode == 0


def test_a_key_is_made_for_its_owner_alone_and_rubbish_is_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    assert bundle.key.stat().st_mode & 0o777 == 0o600
    (tmp_path / "rubbish").write_bytes(os.urandom(50))
    with pytest.raises(DeployError, match="holds no key; name one that `mien sign` has made"):
        seal(bundle.folder, "mien-1", tmp_path / "rubbish")
    with pytest.raises(DeployError, match="cannot be read"):
        public_key(tmp_path)
