"""Tests the content of a release: the wheel, the list of parts, and one version everywhere."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from support.paths import ROOT

from deploy import publish, sbom
from deploy.layout import DeployError
from deploy.release import LOCKS, requirements, version
from deploy.wheel import SETUPTOOLS, wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, blazeface_dir: Path) -> Sequence[Path]:
    """Two builds of the wheel, one of them by the command, with a relative path."""
    first, second = (tmp_path_factory.mktemp("wheel") for _ in range(2))
    command = [
        sys.executable,
        "-B",
        "-m",
        "deploy.wheel",
        "--output",
        os.path.relpath(second, ROOT),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as building:
        try:
            built = wheel(first)
        except DeployError as error:
            pytest.skip(f"NOT TESTED: the wheel cannot be built here: {error}")
        printed, _ = building.communicate()
    assert building.returncode == 0
    return [built, ROOT / printed.strip()]


def test_two_builds_of_the_wheel_are_alike(wheels: Sequence[Path]) -> None:
    assert len({path.read_bytes() for path in wheels}) == 1


def test_the_wheel_requires_what_a_device_needs_and_holds_the_daemon_alone(
    wheels: Sequence[Path],
) -> None:
    with zipfile.ZipFile(wheels[0]) as archive:
        names = archive.namelist()
        (metadata,) = (each for each in names if each.endswith(".dist-info/METADATA"))
        described = archive.read(metadata).decode()
    assert wheels[0].name == f"mien-{version(ROOT)}-py3-none-any.whl"
    required = {Requirement(each) for each in re.findall(r"^Requires-Dist: (.+)$", described, re.M)}
    always = {each for each in required if each.marker is None}
    assert always == {Requirement(each) for each in requirements(ROOT / "pyproject.toml")}
    parts = {name.split("/")[0] for name in names}
    assert {part for part in parts if not part.startswith("mien-")} == {"edge_daemon"}
    data = [name.partition(".data/data/")[2] for name in names if ".data/data/" in name]
    for path in ("models/expression.tflite", "models/face_detection_short_range.tflite"):
        assert f"share/mien/{path}" in data
    assert {"share/man/man1/mien.1", "share/bash-completion/completions/mien"} <= {*data}


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bundle's folder; its wheels have the metadata of this environment's packages."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "wheels").mkdir()
    for line in (ROOT / LOCKS / "x86_64-3.11.txt").read_text().splitlines()[1:]:
        package = importlib.metadata.distribution(line.partition("==")[0])
        with zipfile.ZipFile(folder / f"wheels/{package.name}.whl", "w") as archive:
            info = f"{package.name}-{package.version}.dist-info"
            archive.writestr(f"{info}/METADATA", package.read_text("METADATA") or "")
            for path in package.files or ():
                if path.parts[0].endswith(".libs"):
                    archive.writestr(str(path), b"")
    for pattern in ("models", "edge_daemon/draw/font", "edge_daemon/web/static/uplot"):
        shutil.copytree(ROOT / pattern, folder / pattern)
    sbom.write(folder, "1.2.3")
    return folder


def test_the_list_of_parts_is_valid_cyclonedx(bundled: Path) -> None:
    text = (bundled / sbom.SBOM).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert '"purl": "pkg:pypi/flask@' in text
    before = (bundled / sbom.SBOM).read_bytes()
    sbom.write(bundled, "1.2.3")
    assert (bundled / sbom.SBOM).read_bytes() == before


def test_every_part_has_a_license(bundled: Path) -> None:
    parts = sbom.parts(bundled)
    assert len([each for each in parts if not each.inside and each.version]) > 30
    assert [each for each in parts if not each.license] == []
    licenses = {(each.inside, each.name): each.license for each in parts}
    assert licenses["", "flask"] == "BSD-3-Clause"
    assert licenses["av", "libx264"] == "GPL-2.0-or-later"
    assert (licenses["", "labels.ttf"], licenses["", "uplot.js"]) == ("Apache-2.0", "MIT")
    table = (bundled / sbom.TABLE).read_text()
    assert all(f"| {each.name} | {each.version} | {each.license} |" in table for each in parts)


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert SETUPTOOLS in project["project"]["optional-dependencies"]["dev"]
    assert "@VERSION@" in (ROOT / "deploy/debian/changelog").read_text()


def test_a_release_that_is_not_ready_is_refused_with_every_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    for path in ("edge_daemon/__init__.py", "docs/upgrading.md"):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
    (checkout / "edge_daemon/__init__.py").write_text('__version__ = "3.0.0"\n')
    (checkout / "docs/upgrading.md").write_text("# Upgrading\n")
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## Unreleased\n\n- A thing.\n\n## 2.0.0 - 2026-01-01\n")

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
        subprocess.run(["git", "-C", checkout, *identity, *words], check=True, capture_output=True)

    git("init", "--quiet")
    (checkout / "Dockerfile").write_text("FROM python:3 AS python\n")
    compose = checkout / "deploy/fleet/compose.yaml"
    compose.parent.mkdir(parents=True)
    compose.write_text(f"    image: grafana/grafana:12@sha256:{'1' * 64}\n")
    monkeypatch.setattr(publish, "SOURCE", checkout)
    monkeypatch.delenv("KEY", raising=False)
    with pytest.raises(DeployError) as refused:
        publish.check()
    for part in (
        "no section `## 3.0.0 - YYYY-MM-DD`",
        "entries under Unreleased",
        "no section `## To 3.0.0`",
        "changes that are not committed",
        "the image python:3 is named only by tag; fix: make pin",
        "name the key's file: make release KEY=release.key",
    ):
        assert part in str(refused.value)
    changelog.write_text("# Changelog\n\n## Unreleased\n\n## 3.0.0 - 2026-12-01\n\n- A thing.\n")
    (checkout / "docs/upgrading.md").write_text("# Upgrading\n\n## To 3.0.0\n")
    (checkout / "Dockerfile").write_text(f"FROM python:3@sha256:{'0' * 64} AS python\n")
    monkeypatch.setenv("KEY", str(tmp_path / "release.key"))
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    publish.check()
    git("tag", "v3.0.0")
    publish.check()
    git("commit", "--quiet", "--allow-empty", "--message", "two")
    with pytest.raises(DeployError, match=r"v3\.0\.0 is the tag of another commit"):
        publish.check()
