"""The face at rest, recorded and removed over the API and on the page of a running daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.owner import CONFIG, TOKEN, Owner
from support.waiting import until
from support.website import served, view

pytestmark = pytest.mark.usefixtures("blazeface_dir")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    text = CONFIG.replace("smoothing:\n", "smoothing:\n  calibration: true\n")
    owner = Owner(tmp_path_factory.mktemp("calibration"), text)
    with owner.daemon:
        yield owner


@pytest.mark.parametrize(
    "body",
    [
        {"action": "stop"},
        {"action": "remove", "all": True},
        {"action": "start", "seconds": 0.5},
        {"action": "start", "seconds": "60"},
        {"action": "start", "seconds": True},
        [],
        b"{",
    ],
)
def test_what_is_no_action_is_refused(owner: Owner, body: Any) -> None:
    status, sentence = owner.ask("/api/calibration", body)
    assert (status, 'Send {"action"' in sentence) == (400, True)
    assert owner.ask("/api/calibration")[1]["state"] == "none"


def test_only_who_is_signed_in_records(owner: Owner) -> None:
    body = b'{"action": "start"}'
    assert owner.ask("/api/calibration", body, Authorization="")[0] == 401
    assert owner.ask("/api/calibration", body, Content_Type="text/plain")[0] == 415
    assert owner.ask("/api/calibration")[1]["state"] == "none"


def test_a_face_is_recorded_and_forgotten_on_the_page(chromium: Any, owner: Owner) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.goto(f"{owner.daemon.url}/?token={TOKEN.replace(' ', '+')}")
    page.wait_for_selector("#rest-record")
    assert page.is_hidden("#rest-remove")
    page.click("#rest-record")
    page.wait_for_selector("#rest-text:has-text('keep a neutral face for')")
    page.click("#rest-remove")
    page.wait_for_selector("#rest-record")
    status, started = owner.ask("/api/calibration", {"action": "start", "seconds": 1})
    assert (status, started["state"]) == (200, "recording")
    until(lambda: owner.state()["calibration"]["state"] == "active", timeout_s=60)
    page.wait_for_selector("#rest-text:has-text('Scores are corrected by a face at rest')")
    file = owner.file.parent / "events.calibration.json"
    assert json.loads(file.read_text())["bias"] == owner.state()["calibration"]["bias"]
    page.click("#rest-remove")
    page.wait_for_selector("#rest-remove", state="hidden")
    assert owner.state()["calibration"]["state"] == "none"
    assert not file.exists()
    page.close()


def test_without_the_setting_there_is_nothing_to_record(tmp_path: Path) -> None:
    with served(tmp_path, view(1)) as site:
        answer = site.get("/api/calibration")
        assert (answer.status, b"smoothing.calibration is off" in answer.body) == (404, True)
