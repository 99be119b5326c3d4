"""Tests a model that is replaced: the running daemon loads it, or refuses it and says why."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from support.reload_site import ReloadSite

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def other(model: bytes) -> bytes:
    """Return the same network in a file with another checksum: the archive gets a comment."""
    comment = b"made again"
    return model[:-2] + len(comment).to_bytes(2, "little") + comment


def with_file(model: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return the same network with the file `name` in its archive changed."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
        start = min(info.header_offset for info in archive.infolist())
    made = io.BytesIO(model[:start])
    with zipfile.ZipFile(made, "a") as archive:
        for each, content in (files | {name: change(files[name])}).items():
            archive.writestr(each, content)
    return made.getvalue()


def in_capitals(spec: bytes) -> bytes:
    """Return a spec.json with other labels."""
    values = json.loads(spec)
    return json.dumps(values | {"labels": [each.upper() for each in values["labels"]]}).encode()


def answered_otherwise(goldens: bytes) -> bytes:
    """Return a goldens.npz with each face's answer moved to the next face."""
    arrays = np.load(io.BytesIO(goldens))
    made = io.BytesIO()
    np.savez(made, faces=arrays["faces"], scores=np.roll(arrays["scores"], 1, axis=0))
    return made.getvalue()


def test_a_replaced_model_is_loaded_by_itself_and_the_face_stays(reload_site: ReloadSite) -> None:
    face, before = reload_site.face(), reload_site.daemon.state()
    reload_site.replace_model(other(reload_site.model.read_bytes()))
    reload_site.daemon.until(
        lambda: reload_site.daemon.state()["model"]["sha256"] != before["model"]["sha256"]
    )
    after = reload_site.daemon.state()
    assert after["model"]["labels"] == before["model"]["labels"]
    assert reload_site.face()["id"] == face["id"]
    assert reload_site.daemon.stop() == 0
    events = reload_site.daemon.events()
    assert events[-1]["model"]["sha256"] == after["model"]["sha256"]
    assert [e["type"] for e in events].count("face_start") == 1


def test_a_bad_model_is_refused_and_the_old_one_stays(reload_site: ReloadSite) -> None:
    reload_site.face()
    before = reload_site.daemon.state()["model"]
    wrong = with_file(reload_site.model.read_bytes(), "goldens.npz", answered_otherwise)
    already = reload_site.refusals()
    reload_site.replace_model(b"nothing of the kind")
    reload_site.daemon.until(lambda: reload_site.refusals() == already + 1)
    reload_site.replace_model(wrong)
    reload_site.daemon.until(lambda: reload_site.refusals() == already + 2)
    log = "\n".join(reload_site.daemon.log)
    assert "is not a TFLite model" in log
    assert "differ by up to" in log
    assert reload_site.daemon.state()["model"] == before
    assert reload_site.face()["label"]


def test_a_model_with_other_labels_ends_the_old_expressions(reload_site: ReloadSite) -> None:
    face = reload_site.face()
    reload_site.replace_model(with_file(reload_site.model.read_bytes(), "spec.json", in_capitals))
    labels = reload_site.daemon.until(
        lambda: (m := reload_site.daemon.state()["model"])["labels"][0] == "ANGRY" and m["labels"]
    )
    reload_site.daemon.until(lambda: set(reload_site.face()["scores"]) == set(labels))
    assert reload_site.face()["id"] == face["id"]
    assert reload_site.daemon.stop() == 0
    open_labels: dict[int, str] = {}
    for event in reload_site.daemon.events():
        if event["type"].startswith("expression"):
            if event["type"] != "expression_start":
                known = event.get("previous", event["label"])
                assert open_labels.pop(event["face"]) == known
            if event["type"] != "expression_end":
                open_labels[event["face"]] = event["label"]
    assert not open_labels
