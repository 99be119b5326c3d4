"""Tests that images are pinned with the digests of a real registry, and that all are pinned."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.paths import ROOT
from support.ports import free_port
from support.waiting import until

from deploy.layout import DeployError
from deploy.pin import FILES, images, pinned, unpinned

PLAIN = ("--tls-verify=false",)
EMPTY = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry with an image `python:3.13` of no architecture; the name of its host."""
    if missing := [tool for tool in ("docker-registry", "skopeo") if not shutil.which(tool)]:
        pytest.skip(f"NOT TESTED: {', '.join(missing)} not found (apt install {' '.join(missing)})")
    port = free_port()
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
    name = f"{registry}/library/python:3.13"
    for path in FILES:
        text = (ROOT / path).read_text()
        for image in images(text):
            text = re.sub(rf"{re.escape(image)}@sha256:\w+", name, text)
        assert images(text) == {name: False}
        for note in ("one", "another"):
            digest = push(registry, tmp_path, note)
            text = pinned(text, options=PLAIN)
            assert images(text) == {name: True}
            named = (f" {name}@{digest} AS python\n", f" image: {name}@{digest}\n")
            assert text.count("@sha256:") == sum(map(text.count, named)) >= 1


def test_an_image_that_is_not_there_is_named(registry: str) -> None:
    with pytest.raises(DeployError, match=r"the digest of .*/none:1 cannot be looked up"):
        pinned(f"FROM {registry}/none:1 AS python\n", options=PLAIN)
    with pytest.raises(DeployError, match="there is no line"):
        pinned("FROM scratch\n")


def test_the_dockerfiles_base_can_be_pinned_and_replaced() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert text.count(" AS python\n") == 1 == len(images(text))
    assert "ARG BASE=python\n" in text
    assert text.count("FROM ${BASE}") == 2


def test_every_image_that_the_repository_names_is_pinned() -> None:
    assert unpinned(ROOT) == []
    assert [len(images((ROOT / path).read_text())) for path in FILES] == [1, 3]
    named = re.compile(
        r"^FROM (?!\$)(.+?)(?: AS .*)?$|^[ -]*image: (\S+)|uses: docker://(\S+)", re.M
    )
    for pattern in ("Dockerfile*", "deploy/**/*.y*ml", ".github/**/*.y*ml", "docs/*.md"):
        for path in ROOT.glob(pattern):
            text = path.read_text()
            if path.suffix != ".md":
                assert all("@sha256:" in each[0] for each in named.finditer(text)), path
            for command in re.findall(r"docker run .*(?:\\\n.*)*", text):
                assert not re.search(r" [a-z][\w./-]*:[\w.]+ ", command), f"{path}: {command}"
