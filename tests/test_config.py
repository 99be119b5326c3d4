"""The configuration: its sample file, its defaults, and what it says of mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from edge_daemon.config import Config, ConfigError, Section, load_config, parse_config


def test_the_sample_file_is_the_schema_with_its_defaults() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert load_config(ROOT / "config.yaml") == Config()
    assert yaml.safe_load(text) == Config().model_dump()


def test_every_key_says_what_it_is() -> None:
    top = Config.model_fields.values()
    sections = [type(f.default) for f in top if isinstance(f.default, Section)]
    leaves = [f for s in sections for f in s.model_fields.values()]
    leaves += [f for f in top if not isinstance(f.default, Section)]
    assert leaves
    assert all(f.description for f in leaves)


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_config("", "c.yaml") == Config()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("camera:\n  sorce: demo\n", ["line 2", "camera.sorce", "did you mean 'source'"]),
        ("modle: x\n", ["line 1", "modle", "did you mean 'model'"]),
        ("camera:\n  name: a\n  fps: fast\n", ["line 3", "camera.fps", "'fast'", "number"]),
        ("web:\n  port: 99999\n", ["line 2", "web.port", "65535"]),
        ("camera:\n  pixel_format: mjpeg\n", ["line 2", "camera.pixel_format", "'mjpeg'"]),
        ("detector:\n  backend: foo\n", ["detector.backend", "blazeface"]),
        ("camera: 3\n", ["line 1", "camera", "section"]),
        ("camera:\n  source: [1]\n", ["line 2", "camera.source"]),
        ("- 1\n", ["mapping"]),
        ("a: [\n", ["not valid YAML"]),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    message = str(caught.value)
    assert message.startswith("c.yaml")
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_overrides_take_yaml_values() -> None:
    config = parse_config("web:\n  port: 1\n", "c", ["web.port=0", "camera.source=demo"])
    assert (config.web.port, config.camera.source) == (0, "demo")


@pytest.mark.parametrize("override", ["web.port", "model.x=1", "web.prt=1", "web.port=x", "a=["])
def test_a_wrong_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        parse_config("model: m\n", "c", [override])


def test_a_threshold_for_a_label_the_model_has_not_is_refused(shipped_model: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "edge_daemon", "run"),
            *("--set", f"model={shipped_model}", "--set", "detector.backend=haar"),
            *("--set", "smoothing.label_min_scores={hapy: 0.5}"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "smoothing.label_min_scores" in done.stderr
    assert "no label 'hapy'; its labels are angry, disgust" in done.stderr
    assert "Traceback" not in done.stderr
