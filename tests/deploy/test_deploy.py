"""Installing, as far as it goes without a machine; `make test-systemd` has the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.paths import ROOT

from deploy import release
from deploy.installation import add_camera, upgrade
from deploy.layout import DeployError, Layout
from deploy.settings import new_settings, settings, with_values
from edge_daemon.config.file import parse_config
from edge_daemon.config.schema import keys

SAMPLE = (ROOT / "config.yaml").read_text()


def test_the_samples_keys_are_the_configurations() -> None:
    assert [setting.key for setting in settings(SAMPLE)] == [key.name for key in keys()]


def test_values_are_put_in_and_comments_stay() -> None:
    text = with_values(SAMPLE, {"events.path": "/var/log/e.jsonl", "web.port": "9000"})
    config = parse_config(text, "config.yaml")
    assert (config.events.path, config.web.port) == ("/var/log/e.jsonl", 9000)
    assert config.snapshots.path == "snapshots"
    assert text.count("#") == SAMPLE.count("#")
    assert len(text.splitlines()) == len(SAMPLE.splitlines())
    with pytest.raises(KeyError, match=r"web\.prot"):
        with_values(SAMPLE, {"web.prot": "9000"})


def test_new_keys_are_found_with_their_line() -> None:
    before = SAMPLE.replace("  loop: true", "  lop: true")
    (new,) = new_settings(before, SAMPLE)
    assert new.key == "camera.loop"
    assert new.line.startswith("loop: true  ")


def test_a_release_is_the_daemon_its_models_and_its_units() -> None:
    names = {str(path.relative_to(ROOT)) for path in release.contents(ROOT)}
    assert {"models/expression.tflite", "systemd/edge-daemon.service", "config.yaml"} <= names
    assert {"edge_daemon/web/templates/index.html", "deploy/__main__.py"} <= names
    assert not [n for n in names if n.startswith(("train", "convert", "tests")) or "cache" in n]


def test_a_container_is_built_from_all_that_a_release_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    taken = [line.removeprefix("!") for line in lines if line.startswith("!")]
    for file in release.contents(ROOT):
        path = file.relative_to(ROOT)
        assert any(p.match(pattern) for p in (path, *path.parents[:-1]) for pattern in taken), path


def test_where_there_is_no_release_a_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="run this in a checkout or a bundle"):
        release.build(tmp_path, Layout(tmp_path / "root"))


def test_a_bundle_for_another_machine_is_refused(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "platform").write_text("riscv64 3.99\n")
    with pytest.raises(DeployError, match=r"is for riscv64 3\.99, this machine is "):
        release.build(tmp_path, Layout(tmp_path / "root"))


def test_going_over_is_one_step_and_can_be_taken_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in ("1", "2"):
        shutil.copytree(ROOT / "systemd", layout.releases / name / "systemd")
        (layout.releases / name / "systemd/edge-daemon.service").write_text(name)
        release.switch(layout.releases / name, layout)
        assert layout.running_release() == layout.releases / name
    release.switch(layout.releases / "1", layout)
    assert layout.system_files["edge-daemon.service"].read_text() == "1"
    release.prune(layout, layout.releases / "1")
    assert [path.name for path in layout.releases.iterdir()] == ["1"]


def test_what_is_not_installed_is_not_upgraded_nor_given_a_camera(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="nothing is installed here yet"):
        upgrade(Layout(tmp_path))
    with pytest.raises(DeployError, match="nothing is installed here yet"):
        add_camera(Layout(tmp_path), "door", "demo", 8081)
    assert not list(tmp_path.iterdir())


def test_a_further_camera_has_what_is_the_same_for_all(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    made = layout.releases / "1.0.0-abc"
    made.mkdir(parents=True)
    shutil.copy(ROOT / "config.yaml", made)
    shutil.copytree(ROOT / "systemd", made / "systemd")
    release.switch(made, layout)
    key = "A" * 43 + "="
    values = {"mqtt.host": "broker", "models.url": "https://models.example/m.json"}
    values |= {"models.key": f'"{key}"', "models.folder": "/var/lib/mien/models"}
    layout.settings.mkdir(parents=True)
    layout.config.write_text(with_values(SAMPLE, values))
    add_camera(layout, "door", "/dev/video2", 8081)
    path = layout.settings / "door.yaml"
    config = parse_config(path.read_text(), str(path))
    assert (config.mqtt.host, config.models.url) == ("broker", "https://models.example/m.json")
    assert (config.models.key, config.models.folder) == (key, "/var/lib/mien/door/models")
    assert (config.web.port, config.camera.source) == (8081, "/dev/video2")
