"""The import rules of docs/architecture.md, checked against the source."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
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
    "PIL": {"edge_daemon": {"core/picture.py", "draw/text.py"}},
    "tqdm": {
        "edge_daemon": {"batch/output.py"},
        "train": {"terminal.py"},
        "convert": {"progress.py"},
    },
    "pillow_heif": {"edge_daemon": {"core/picture.py"}},
    "ray": {"edge_daemon": {"batch/ray.py"}},
    "requests": {"edge_daemon": {"webhooks/delivery.py"}},
    "av": {
        "edge_daemon": {"capture/frame_converter.py", "capture/video.py", "batch/copies.py"},
    },
    "picamera2": {"edge_daemon": {"capture/picamera.py"}},
    "gevent": {
        "edge_daemon": {
            "web/server/handler.py",
            "web/server/listener.py",
            "web/server/loop.py",
            "web/server/request.py",
            "web/server/server.py",
        }
    },
    "yaml": {"edge_daemon": {"config/yaml_document.py"}},
    "ruamel": {"edge_daemon": {"config/edit.py"}},
    "duckdb": {"edge_daemon": {"report/duck.py"}},
    "jinja2": {"edge_daemon": {"report/page.py"}},
    "cryptography": {"edge_daemon": {"updates/manifest.py"}},
    "paho": {"edge_daemon": {"mqtt/client.py"}},
    "pydantic": {
        "edge_daemon": {
            "config/schema.py",
            "config/network.py",
            "config/records.py",
            "config/sections.py",
        }
    },
}


# Which package of the daemon may import which; anything may import itself.
EVERYTHING = {
    "core", "config", "capture", "vision", "draw", "events", "pipeline", "web", "mqtt", "updates",
    "status", "batch", "doctor", "history", "webhooks", "report",
}  # fmt: skip
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "config": {"core"},
    "capture": {"core"},
    "vision": {"core"},
    "draw": {"core"},
    "events": {"core", "draw"},
    "pipeline": {"core", "vision", "draw", "events"},
    "web": {"core", "vision", "draw", "events", "history"},
    "mqtt": {"core", "events"},
    "updates": {"core", "vision"},
    "status": {"core"},
    "history": {"core", "events"},
    "webhooks": {"core", "events"},
    "report": {"core", "history"},
    "batch": {"core", "config", "capture", "vision", "draw", "pipeline", "updates"},
    "doctor": EVERYTHING - {"batch"},
}
BUILDERS = {"build.py", "part.py"}  # these may import the configuration, too


def imported_modules(path: Path) -> set[str]:
    """Dotted names of what `path` imports, anywhere in it: in functions and for types, too.

    For `from a.b import c` both a.b and a.b.c, as c may be a module.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: relative import"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imports(path: Path) -> set[str]:
    """Top-level names of what `path` imports."""
    return {name.partition(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("package", sorted(EVERYTHING))
def test_a_package_imports_only_those_below_it(package: str) -> None:
    folder = ROOT / "edge_daemon"
    files = list((folder / package).rglob("*.py"))
    assert files
    for path in files:
        allowed = MAY_IMPORT[package] | {package}
        if path.name in BUILDERS:
            allowed |= {"config"}
        ours = {name for name in imported_modules(path) if name.startswith("edge_daemon.")}
        ours -= {"edge_daemon.__version__"}
        wrong = {name for name in ours if name.split(".")[1] not in allowed}
        assert not wrong, path.relative_to(ROOT)


def test_every_package_has_its_rule() -> None:
    folders = {path.parent.name for path in (ROOT / "edge_daemon").glob("*/__init__.py")}
    assert folders == EVERYTHING == set(MAY_IMPORT)


def test_the_batch_command_loads_neither_servers_nor_metrics() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, edge_daemon.__main__, edge_daemon.batch.command; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for library in ("flask", "werkzeug", "gevent", "prometheus_client", "paho", "cryptography"):
        assert not [name for name in loaded if name.partition(".")[0] == library]


def test_a_class_name_stands_for_one_class() -> None:
    names = Counter(
        node.name
        for path in (ROOT / "edge_daemon").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_the_wiring_is_short() -> None:
    body = ast.parse((ROOT / "edge_daemon/wiring.py").read_text()).body
    for each in body:
        if isinstance(each, ast.FunctionDef):
            assert each.end_lineno is not None
            assert each.end_lineno - each.lineno + 1 < 60, each.name


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
