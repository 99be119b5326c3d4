"""The base image is pinned by what a real registry says."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.paths import ROOT
from support.waiting import until

from deploy.layout import DeployError
from deploy.pin import is_pinned, pinned

PLAIN = ("--tls-verify=false",)
EMPTY = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry with an image `python:3.13` of no architecture; the name of its host."""
    if missing := [tool for tool in ("docker-registry", "skopeo") if not shutil.which(tool)]:
        pytest.skip(f"NOT TESTED: {', '.join(missing)} not found (apt install {' '.join(missing)})")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "registry.yaml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/images}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with subprocess.Popen(
        ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: is_listening(port))
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def push(registry: str, folder: Path, note: str) -> str:
    """Push an image index; return its digest, as the registry says it."""
    image = folder / "image"
    image.mkdir(exist_ok=True)
    (image / "version").write_text("Directory Transport Version: 1.1\n")
    index = {**EMPTY, "manifests": [], "annotations": {"note": note}}
    (image / "manifest.json").write_text(json.dumps(index))
    said = folder / "digest"
    words = ["skopeo", "copy", "--all", "--dest-tls-verify=false", f"--digestfile={said}"]
    target = f"docker://{registry}/library/python:3.13"
    subprocess.run([*words, f"dir:{image}", target], check=True, capture_output=True)
    return said.read_text().strip()


def test_the_image_is_pinned_and_pinned_anew(registry: str, tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text()
    name = f"{registry}/library/python:3.13"
    text = text.replace("FROM python:3.13-slim-bookworm AS python", f"FROM {name} AS python")
    assert not is_pinned(text)
    for note in ("one", "another"):
        digest = push(registry, tmp_path, note)
        text = pinned(text, options=PLAIN)
        assert f"\nFROM {name}@{digest} AS python\n" in text
        assert is_pinned(text)
        assert text.count("@sha256:") == 1


def test_an_image_that_is_not_there_is_named(registry: str) -> None:
    with pytest.raises(DeployError, match=r"the digest of .*/none:1 cannot be looked up"):
        pinned(f"FROM {registry}/none:1 AS python\n", options=PLAIN)
    with pytest.raises(DeployError, match="has no line"):
        pinned("FROM scratch\n")


def test_the_dockerfiles_base_can_be_pinned_and_replaced() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert text.count(" AS python\n") == 1
    assert "ARG BASE=python\n" in text
    assert text.count("FROM ${BASE}") == 2
