"""The configuration: its sample file, its defaults, and its error sentences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.paths import ROOT

from edge_daemon.config.file import ConfigError, load_config, parse_config, variable_of
from edge_daemon.config.schema import Config, changed, keys, reloadable, value_of
from edge_daemon.config.sections import Section


def test_the_sample_file_is_the_schema_with_its_defaults() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert load_config(ROOT / "config.yaml") == Config()
    assert yaml.safe_load(text) == Config().model_dump()


def test_every_key_has_a_description() -> None:
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
        ("camera:\n  sorce: demo\n", ["line 2", "camera.sorce", "did you mean 'camera.source'"]),
        ("camera:\n  port: 80\n", ["line 2", "camera.port", "did you mean 'web.port'"]),
        ("dwell_s: 1\n", ["line 1", "dwell_s", "did you mean 'smoothing.dwell_s'"]),
        ("zzz: 1\n", ["line 1", "'zzz'", "docs/configuration.md"]),
        ("web:\n  port: 1\n  port: 2\n", ["line 3", "'port'", "twice", "line 2"]),
        ("snapshots:\n  types: [smile]\n", ["line 2", "snapshots.types", "expression_start"]),
        ("modle: x\n", ["line 1", "modle", "did you mean 'model'"]),
        ("camera:\n  name: a\n  fps: fast\n", ["line 3", "camera.fps", "'fast'", "number"]),
        ("web:\n  port: 99999\n", ["line 2", "web.port", "65535"]),
        ("camera:\n  pixel_format: mjpeg\n", ["line 2", "camera.pixel_format", "'mjpeg'"]),
        ("detector:\n  backend: foo\n", ["detector.backend", "blazeface"]),
        ("camera: 3\n", ["line 1", "camera", "section"]),
        ("camera:\n  source: [1]\n", ["line 2", "camera.source"]),
        ("- 1\n", ["mapping"]),
        ("a: [\n", ["not valid YAML"]),
        ("web:\n\xa0 port: 1\n", ["line 2: there is a no-break space"]),
        ("web:\n  port: 1\n  host:\xa0x\n", ["line 3: there is a no-break space"]),
        ("web:\n  port: 010\n", ["line 2: YAML reads 010 as 8;", "leading zeros"]),
        ("camera:\n  name: -0_17\n", ["line 2: YAML reads -0_17 as -15;", "quotes"]),
        ("events:\n  rotate_h: 1:30\n", ["line 2: YAML reads 1:30 as 90;", "colons"]),
        ("camera:\n  timeout_s: 1:30.5\n", ["line 2: YAML reads 1:30.5 as 90.5;"]),
        ("privacy:\n  masks: [[0, 0, 0, 050]]\n", ["line 2: YAML reads 050 as 40;"]),
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


def test_all_mistakes_are_named_at_once() -> None:
    text = "modle: x\ncamera:\n  fps: fast\n  source: [1]\nweb: 3\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    lines = str(caught.value).splitlines()
    places = [line.partition(":")[0] for line in lines]
    assert sorted(places) == [
        "c.yaml, line 1",
        "c.yaml, line 3",
        "c.yaml, line 4",
        "c.yaml, line 5",
    ]


def test_a_section_whose_keys_are_all_commented_out_is_the_defaults() -> None:
    assert parse_config("events:\n  # path: x\n", "c.yaml") == Config()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_overrides_take_yaml_values() -> None:
    config = parse_config("web:\n  port: 1\n", "c", ["web.port=0", "camera.source=demo"])
    assert (config.web.port, config.camera.source) == (0, "demo")


@pytest.mark.parametrize("key", ["mqtt.host", "web.host"])
def test_a_host_is_a_name_or_an_address_alone(key: str) -> None:
    for host in (*("::1", "127.0.0.1", "localhost"), "fe80::1%eth0", "broker.example", "bücher"):
        config = parse_config("", "c", [f"{key}={host}", "web.auth=none"])
        assert value_of(config, key) == host
    config = parse_config("", "c", [f"{key}=[::1]"])
    assert value_of(config, key) == "::1"
    urls = ("mqtt://user:s3cret@broker", "http://broker/", "user:s3cret@broker")
    for host in (*urls, "broker:1883", "192.168.1.5:1883", "[::1]:1883", "broker/path", "a b"):
        with pytest.raises(ConfigError, match=rf"{key} should be a name or an ad") as caught:
            parse_config("", "c", [f"{key}={host}"])
        assert "s3cret" not in str(caught.value)


def test_a_no_break_space_in_a_value_is_kept() -> None:
    config = parse_config('camera: {name: "a\xa0b:\xa0c"}\n#\xa0a comment\n', "c.yaml")
    assert config.camera.name == "a\xa0b:\xa0c"


def test_numbers_that_can_mean_only_one_thing_are_read() -> None:
    text = "web: {port: 0x1F90}\ncamera: {fps: 05.0, timeout_s: 1_0, name: '010'}\n"
    config = parse_config(text, "c.yaml", ["camera.rotate=0_0", "mqtt.topic=010"])
    assert (config.web.port, config.camera.fps, config.camera.timeout_s) == (8080, 5.0, 10.0)
    assert (config.camera.name, config.mqtt.topic) == ("010", "010")


@pytest.mark.parametrize("word", ["web.port=010", "web.port=80:50", "events.rotate_h=1:30.5"])
def test_a_number_in_octal_or_to_the_base_60_is_refused(word: str) -> None:
    name, _, raw = word.partition("=")
    with pytest.raises(ConfigError, match=f"^--set {word}: YAML reads {raw} as "):
        parse_config("", "c", [word])
    with pytest.raises(ConfigError, match=f"^{variable_of(name)}: YAML reads {raw} as "):
        parse_config("", "c", environment={variable_of(name): raw})


@pytest.mark.parametrize("override", ["web.port", "model.x=1", "web.prt=1", "web.port=x", "a=["])
def test_a_wrong_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        parse_config("model: m\n", "c", [override])


def test_a_threshold_for_an_unknown_label_is_refused(shipped_model: Path) -> None:
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


def test_every_key_has_a_variable_of_its_own() -> None:
    variables = [variable_of(key.name) for key in keys()]
    assert len(set(variables)) == len(variables)
    environment = {variable_of(key.name): _as_text(key.name) for key in keys()}
    assert parse_config("", "c", environment=environment) == Config()


def _as_text(name: str) -> str:
    value = value_of(Config(), name)
    return value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True)


def test_the_environment_wins_over_the_file_and_the_command_line_over_both() -> None:
    environment = {"MIEN_WEB_PORT": "2", "MIEN_CAMERA_FPS": "5.0", "MIEN_CAMERA_NAME": "007"}
    config = parse_config("web:\n  port: 1\n", "c", ["camera.fps=6.0"], environment)
    assert (config.web.port, config.camera.fps, config.camera.name) == (2, 6.0, "007")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "MIEN_WBE_PORT",
            "1",
            "MIEN_WBE_PORT: the environment sets an unknown key; did you mean MI",
        ),
        ("MIEN_MODELL", "a", "MIEN_MODELL: the environment sets an unknown key; did you mean MI"),
        ("MIEN_WEB_PRT", "1", "MIEN_WEB_PRT: the environment sets an unknown key; did you mean MI"),
        ("MIEN_WEB_PORT", "high", "MIEN_WEB_PORT: web.port is 'high', but"),
        ("MIEN_CAMERA_FPS", "[", "MIEN_CAMERA_FPS: '[' is not a YAML value"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("", "c.yaml", environment={variable: value})
    assert str(caught.value).startswith(expected)


def test_other_variables_are_ignored() -> None:
    assert parse_config("", "c", environment={"MIEN_DATA": "x", "HOME": "y"}) == Config()


def test_a_reload_changes_all_but_what_needs_a_restart() -> None:
    running = Config()
    wanted = parse_config("web: {port: 9}\nsmoothing: {dwell_s: 2.0}\nmodel: m\n", "c")
    config = reloadable(running, wanted)
    assert changed(running, config) == ["model", "smoothing.dwell_s"]
    assert changed(config, wanted) == ["web.port"]


def test_the_documentation_of_the_keys_is_generated() -> None:
    done = subprocess.run(
        [sys.executable, "docs/configuration.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (ROOT / "docs" / "configuration.md").read_text(), "run `make docs`"


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://me:SECRET: SECRET@host/x",
        "[rtsp://me:SECRET@host/x]",
        "[rtsp://me:SECRET@host/x",
        '"rtsp://me:SECRET@host/x',
        "{rtsp://me:SECRET@host/x: 1}",
        "[rtsp://me:SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET@host/x]",
    ],
)
def test_the_password_in_a_cameras_address_is_never_repeated(source: str) -> None:
    with pytest.raises(ConfigError) as in_file:
        parse_config(f"camera:\n  source: {source}\n", "c.yaml")
    with pytest.raises(ConfigError) as in_section:
        parse_config(f"camera: {source}\n", "c.yaml")
    with pytest.raises(ConfigError) as by_option:
        load_config(None, [f"camera.source={source}"])
    with pytest.raises(ConfigError) as by_variable:
        load_config(None, environment={"MIEN_CAMERA_SOURCE": source})
    for caught in (in_file, in_section, by_option, by_variable):
        assert "SECRET" not in str(caught.value)
        assert "camera" in str(caught.value).lower() or "YAML" in str(caught.value)


def test_few_keys_need_a_restart_and_each_says_why() -> None:
    reasons = {key.name: key.needs_restart for key in keys() if key.needs_restart}
    assert len(reasons) <= 10, reasons
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert all(f"It needs a restart: {reason}." in page for reason in reasons.values())
