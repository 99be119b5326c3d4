"""Settings changed over the API and on the page of a running daemon."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from support.axe import axe_finds
from support.owner import CONFIG, TOKEN, Owner
from support.waiting import until
from support.website import served, view

from edge_daemon.config.file import ConfigSource
from edge_daemon.config.schema import InvalidConfig, validated
from edge_daemon.settings import SettingsEditor
from edge_daemon.web.credentials import hash_token

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def fill(file: Path) -> bool:
    """Write to `file` until the disk is full."""
    try:
        with file.open("ab", buffering=0) as rest:
            while rest.write(bytes(4096)):
                pass
    except OSError as error:
        return error.errno == errno.ENOSPC
    return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    umask = os.umask(0o077)  # the unit's
    try:
        owner = Owner(tmp_path_factory.mktemp("settings"))
    finally:
        os.umask(umask)
    with owner.daemon:
        yield owner


@pytest.fixture
def owner(running: Owner) -> Iterator[Owner]:
    """The running daemon's owner; the file and the settings are as at the start again."""
    yield running
    running.file.write_text(CONFIG)
    assert "reloaded" in running.daemon.reload()


def test_a_change_is_used_at_once_and_written_with_the_comments(owner: Owner) -> None:
    status, done = owner.change(privacy__blur_faces=True, smoothing__min_score="0.55")
    assert status == 200
    until(lambda: owner.state()["controls"]["blur"])
    expected = CONFIG.replace("0.4 ", "0.55") + "privacy:\n  blur_faces: true\n"
    assert owner.file.read_text() == expected
    assert stat.S_IMODE(owner.file.stat().st_mode) == 0o640
    assert list(owner.file.parent.glob("*.part")) == []
    assert done["difference"].splitlines()[1:3] == [
        "-  min_score: 0.4   # as measured",
        "+  min_score: 0.55  # as measured",
    ]
    assert done["version"] == owner.form()["version"]
    values = {each["key"]: each["value"] for each in owner.form()["settings"]}
    assert (values["privacy.blur_faces"], values["smoothing.min_score"]) == ("true", "0.55")
    assert "reloaded" in owner.daemon.reload()
    assert owner.state()["controls"]["blur"] is True


def test_a_preview_changes_nothing(owner: Owner) -> None:
    status, answer = owner.change(privacy__masks=[[0, 0, 0.5, 1]], preview=True)
    assert status == 200
    assert "+privacy:\n+  masks: [[0, 0, 0.5, 1]]\n" in answer["difference"]
    assert owner.change(stream__quality=80)[1]["difference"] == ""
    assert owner.file.read_text() == CONFIG
    assert owner.state()["masks"] == []


REFUSED = {
    "smoothing.min_score": (2, "config.yaml, line 5: smoothing.min_score is 2, but should be less"),
    "smoothing.label_min_scores": ("{joy: 0.5}", "has no label 'joy'; its labels are angry"),
    "smoothing.hysteresis": ("[", "smoothing.hysteresis: '[' is not a YAML value."),
    "privacy.masks": ([[1]], "privacy.masks: [1.0] has 1 numbers"),
    "detector.backend": ("none", "detector.backend is 'none', but should be 'auto'"),
    "stream.quality": (50.5, "stream.quality is 50.5, but should be a valid integer"),
    "stream.colour": (1, "stream.colour cannot be changed from the page."),
    "camera.source": ("/etc/passwd", "camera.source cannot be changed from the page."),
    "web.token": ("", "web.token cannot be changed from the page."),
    "webhooks": ([], "webhooks cannot be changed from the page."),
    "detector.max_faces": (5, "detector.max_faces is set by --set detector.max_faces;"),
    "tracker.max_age_s": (5, "tracker.max_age_s is set by MIEN_TRACKER_MAX_AGE_S;"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_bad_value_is_refused_with_its_place_and_reason(running: Owner, key: str) -> None:
    value, reason = REFUSED[key]
    changes: dict[str, Any] = {key.replace(".", "__"): value}
    status, sentence = running.change(**changes, camera__mirror=True)
    assert status == 422
    assert reason in sentence
    assert running.file.read_text() == CONFIG


def test_a_file_that_has_changed_meanwhile_is_not_overwritten(owner: Owner) -> None:
    version = owner.form()["version"]
    owner.file.write_text(CONFIG + "# by hand\n")
    status, sentence = owner.ask(body={"version": version, "changes": {"stream.quality": 10}})
    assert (status, "has changed since" in sentence) == (409, True)
    assert owner.file.read_text() == CONFIG + "# by hand\n"


def test_no_secret_address_or_file_is_shown(running: Owner) -> None:
    form = json.dumps(running.form())
    assert hash_token(TOKEN) not in form
    assert str(running.file.parent) not in form
    assert '"camera.source"' not in form


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Authorization": ""}, 401),
        (b"{}", {"Authorization": "Bearer wrong"}, 401),
        (b"version=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b" " * 100_001, {}, 413),
        (b'{"version": "1", "changes": []}', {}, 400),
        (b'{"version": "1", "changes": {}, "force": true}', {}, 400),
        (b'{"version": "1", "changes": {}}', {}, 409),
    ],
)
def test_requests_that_are_not_changes_are_refused(
    running: Owner, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert running.ask(body=body, **headers)[0] == status
    assert running.file.read_text() == CONFIG


def test_another_site_cannot_use_the_session(running: Owner) -> None:
    """A request from a page of another site changes nothing, even with the cookie."""
    opened = urllib.request.Request(f"{running.daemon.url}/?token={TOKEN.replace(' ', '+')}")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(opened, timeout=40):
        pass
    for origin, expected in (("http://other.example", 403), (running.daemon.url, 409)):
        body = json.dumps({"version": "1", "changes": {}}).encode()
        headers = {"Content-Type": "application/json", "Origin": origin}
        request = urllib.request.Request(f"{running.daemon.url}/api/settings", body, headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(request, timeout=40)
        refused.value.close()
        assert refused.value.code == expected


def test_a_disk_that_is_full_refuses_the_change(tmp_path: Path, small_disk: Path) -> None:
    owner = Owner(small_disk)
    with owner.daemon:
        assert owner.state()["controls"]["blur"] is False
        until(lambda: fill(small_disk / "rest"))
        status, sentence = owner.change(privacy__blur_faces=True)
        assert (status, "config.yaml: cannot be written: No space" in sentence) == (503, True)
        assert owner.state()["controls"]["blur"] is False
        assert owner.file.read_text() == CONFIG


@pytest.mark.parametrize("is_unit", [True, False])
def test_a_folder_that_is_read_only_is_named_with_what_to_do(
    tmp_path: Path, small_disk: Path, is_unit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file is a link, that of the file behind it."""
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    if is_unit:
        monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    (tmp_path / "config.yaml").symlink_to(small_disk / "config.yaml")
    (small_disk / "config.yaml").write_text(CONFIG)
    source = ConfigSource(tmp_path / "config.yaml")
    editor = SettingsEditor(source, SimpleQueue(), threading.Event())
    assert editor.form()["trouble"] == ""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    fix = "mount this folder writable."
    if is_unit:
        fix = (
            "sudo systemctl edit edge-daemon, write the lines [Service] and "
            f"ReadWritePaths={small_disk}, and restart the service (docs/settings.md)."
        )
    assert editor.form()["trouble"] == (
        f"The daemon may not write to {small_disk}, so nothing can be changed; fix: {fix}"
    )


@pytest.mark.parametrize(
    ("web", "expected"),
    [
        ({}, False),
        ({"settings": True}, True),
        ({"token": hash_token(TOKEN)}, True),
        ({"token": hash_token(TOKEN), "settings": False}, False),
        ({"host": "192.168.1.2", "auth": "none"}, False),
    ],
)
def test_settings_are_offered_where_one_signs_in(web: dict[str, Any], expected: bool) -> None:
    assert validated({"web": web}).web.offers_settings is expected


def test_settings_are_not_for_everybody_on_the_network() -> None:
    with pytest.raises(InvalidConfig, match="lets everybody on the network change settings"):
        validated({"web": {"host": "192.168.1.2", "auth": "none", "settings": True}})


def test_settings_that_are_off_answer_nothing(tmp_path: Path) -> None:
    with served(tmp_path, view(1)) as site:
        for path in ("/settings.html", "/api/settings"):
            answer = site.get(path)
            assert (answer.status, b"needs web.settings" in answer.body) == (404, True)
        assert site.send("/api/settings", "POST", b"{}", {}).status == 404
        assert b'href="settings.html"' not in site.get("/").body


@pytest.fixture
def page(chromium: Any, owner: Owner) -> Iterator[Any]:
    context = chromium.new_context(bypass_csp=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{owner.daemon.url}/?token={TOKEN.replace(' ', '+')}")
    page.click("text=Settings")
    page.wait_for_selector("fieldset")
    yield page
    context.close()
    assert complaints == []


def test_a_setting_is_changed_by_keyboard_alone(page: Any, owner: Owner) -> None:
    page.focus("[id='smoothing.min_score']")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("0.65")
    page.keyboard.press("Enter")
    page.wait_for_selector("#changes[open]")
    assert page.locator("#difference code").all_inner_texts() == [
        "  min_score: 0.4   # as measured",
        "  min_score: 0.65  # as measured",
    ]
    assert page.locator("#difference span").first.inner_text() == "old line 5"
    assert owner.file.read_text() == CONFIG
    assert page.evaluate("document.activeElement.id") == "save"
    page.keyboard.press("Enter")
    page.wait_for_selector("#note:has-text('Saved and in use.')")
    assert owner.file.read_text() == CONFIG.replace("0.4 ", "0.65")
    assert page.input_value("[id='smoothing.min_score']") == "0.65"
    assert page.is_disabled("#review")


def test_what_is_refused_is_said_at_the_setting(page: Any, owner: Owner) -> None:
    page.fill("[id='privacy.masks']", "[[0, 0, 1]]")
    page.click("#review")
    page.wait_for_selector("#problem:has-text('has 3 numbers')")
    assert page.get_attribute("[id='privacy.masks']", "aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "privacy.masks"
    page.click("#undo")
    page.wait_for_selector("#review:disabled")
    assert page.input_value("[id='privacy.masks']") == "[]"
    page.check("[id='privacy.blur_faces']")
    owner.file.write_text(CONFIG + "# by hand\n")
    page.click("#review")
    page.wait_for_selector("#problem:has-text('load them again')")
    assert owner.file.read_text() == CONFIG + "# by hand\n"
    assert page.is_disabled("[id='detector.max_faces']")
    assert "Set by --set detector.max_faces." in page.inner_text("[id='about-detector.max_faces']")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    assert axe_finds(page) == ""
    page.check("[id='privacy.blur_faces']")
    page.click("#review")
    page.wait_for_selector("#changes[open]")
    assert axe_finds(page) == ""
    for width in (320, 390, 800):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
