"""Tests models that crash, hang or fill the memory: a child ends, the last good one is used."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
from support.crashing_model import crashing_model
from support.daemon import Daemon

from edge_daemon.updates.guard import ModelGuard
from edge_daemon.vision.interpreter import ModelError
from edge_daemon.vision.model_file import ModelFile, parse_model, read_model_file
from edge_daemon.vision.probe import probe_model


@pytest.fixture(scope="module")
def crashing(shipped_model: Path) -> bytes:
    return crashing_model(shipped_model)


@pytest.fixture(scope="module")
def good(shipped_model: Path) -> ModelFile:
    return read_model_file(shipped_model)


def test_a_model_that_crashes_its_runtime_costs_a_child(crashing: bytes) -> None:
    with pytest.raises(ModelError, match=r"^bad\.tflite: the model crashes its runtime \(SIG"):
        probe_model(parse_model(Path("bad.tflite"), crashing), "auto")


def test_a_model_that_does_not_answer_or_takes_too_much_is_refused(good: ModelFile) -> None:
    probe_model(good, "auto")
    with pytest.raises(ModelError, match=r"did not answer within 0\.001 s"):
        probe_model(good, "auto", timeout_s=0.001)
    with pytest.raises(ModelError, match=r"(takes more than|may take) 0 MB"):
        probe_model(good, "auto", memory_bytes=0)


def test_what_the_child_refuses_names_the_file(good: ModelFile) -> None:
    content = good.content[:1000] + bytes(200_000) + good.content[201_000:]
    with pytest.raises(ModelError, match=r"expression\.tflite"):
        probe_model(parse_model(good.path, content), "auto")


def test_a_model_that_worked_is_not_tried_again(
    good: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ModelGuard(tmp_path / "events.model").check(good, "auto")
    assert (tmp_path / "events.model").read_bytes() == good.content
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    ModelGuard(tmp_path / "events.model").check(good, "auto")
    with pytest.raises(FileNotFoundError):
        ModelGuard(None).check(good, "auto")


def test_the_last_good_model_is_used_only_if_it_is_intact(
    good: ModelFile, crashing: bytes, tmp_path: Path
) -> None:
    model, copy = tmp_path / "model.tflite", tmp_path / "events.model"
    model.write_bytes(good.content)
    assert ModelGuard(copy).working(model, "auto") == model
    model.write_bytes(crashing)
    assert ModelGuard(copy).working(model, "auto") == copy
    with pytest.raises(ModelError, match="cannot be read"):
        ModelGuard(copy).working(tmp_path / "no-such.tflite", "auto")
    copy.write_bytes(good.content + b"?")
    with pytest.raises(ModelError, match="crashes its runtime"):
        ModelGuard(copy).working(model, "auto")


@pytest.mark.usefixtures("blazeface_dir")
def test_the_daemon_survives_a_model_that_crashes(
    tmp_path: Path, shipped_model: Path, crashing: bytes
) -> None:
    model = tmp_path / "model.tflite"
    shutil.copy(shipped_model, model)
    good = hashlib.sha256(shipped_model.read_bytes()).hexdigest()
    with Daemon(tmp_path, "camera.source=demo", f"model={model}") as daemon:
        assert daemon.state()["model"]["sha256"] == good
        model.write_bytes(crashing)
        assert "refused" in daemon.reload()
        assert any("the model crashes its runtime" in line for line in daemon.log)
        assert daemon.state()["model"]["sha256"] == good
        assert daemon.stop() == 0
    with Daemon(tmp_path, "camera.source=demo", f"model={model}") as again:
        assert again.state()["model"]["sha256"] == good
        assert any("the last model that worked is used instead" in line for line in again.log)
        copy = tmp_path / "fixed"
        shutil.copy(shipped_model, copy)
        copy.replace(model)  # the file of the configuration is watched, not the copy that runs
        again.until(lambda: f"model: {model} (" in "\n".join(again.log))
        model.write_bytes(crashing)
        assert again.stop() == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Daemon(elsewhere, "camera.source=demo", f"model={model}") as first:
        assert first.ended() == 2
    assert any("the model crashes its runtime" in line for line in first.log)
