"""The design's import rules, read off the source."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from support.paths import ROOT

STAGES = ("train", "convert", "edge_daemon")

# Each outside library is imported in one place.
ADAPTERS = {
    "ai_edge_litert": {"edge_daemon": {"vision/interpreter.py"}, "train": {"tflite.py"}},
    "tflite_runtime": {"edge_daemon": {"vision/interpreter.py"}},
    "tensorflow": {"edge_daemon": {"vision/interpreter.py"}},
    "mediapipe": {"edge_daemon": {"vision/detector.py"}},
    "prometheus_client": {"edge_daemon": {"status/metrics.py"}},
    "ray": {"edge_daemon": {"batch/ray.py"}},
    "picamera2": {"edge_daemon": {"capture/picamera.py"}},
    "gevent": {
        "edge_daemon": {"web/server/request.py", "web/server/server.py", "web/server/loop.py"}
    },
    "yaml": {"edge_daemon": {"config/file.py"}},
    "cryptography": {"edge_daemon": {"updates/signing.py"}},
    "paho": {"edge_daemon": {"mqtt/client.py"}},
    "pydantic": {"edge_daemon": {"config/schema.py", "config/network.py", "config/sections.py"}},
}


def imports(path: Path) -> set[str]:
    """Top-level names of what `path` imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_another(stage: str) -> None:
    others = set(STAGES) - {stage}
    files = list((ROOT / stage).rglob("*.py"))
    assert files
    for path in files:
        assert not imports(path) & others, path


@pytest.mark.parametrize("library", ADAPTERS)
def test_a_library_is_imported_in_one_place(library: str) -> None:
    for stage, allowed in ADAPTERS[library].items():
        folder = ROOT / stage
        users = {
            p.relative_to(folder).as_posix() for p in folder.rglob("*.py") if library in imports(p)
        }
        assert users <= allowed


def test_the_daemon_needs_only_what_the_edge_extra_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    edge = " ".join(project["project"]["optional-dependencies"]["edge"])
    assert "tensorflow" not in edge
    assert "mediapipe" not in edge


def test_installing_needs_nothing_but_python() -> None:
    for path in (ROOT / "deploy").glob("*.py"):
        assert imports(path) <= sys.stdlib_module_names | {"deploy"}, path
