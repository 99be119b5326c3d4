"""Installs the service in a booted Debian container, breaks it and reboots.

The steps depend on each other and run in this order: `make test-systemd` stops at the first that
fails and prints how long each took. The container has no network but a link to this machine: pip
finds in a folder what it would otherwise download.
"""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.container import HOST
from support.daemon import jpegs
from support.device import (
    CHECKOUT,
    CONFIG,
    Device,
    fresh_device,
)
from support.machine import UNIT, timed
from support.mjpeg_server import MjpegServer, demo_jpegs
from support.paths import ROOT
from support.publisher import Publisher

pytestmark = pytest.mark.long
CAMERA_PORT = 8090
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with fresh_device(tmp_path_factory.mktemp("device")) as container:
        yield container


def commands_of_readme() -> str:
    """Return the first block of commands in the README's section on the Raspberry Pi."""
    section = README.partition("## On a Raspberry Pi")[2].partition("\n## ")[0]
    found = re.search(r"(?:^    .+\n)+", section, re.M)
    assert found
    return found[0]


def test_the_readmes_commands_give_a_running_service(device: Device) -> None:
    with timed("the README's commands"):
        said = device.shell(commands_of_readme(), cwd=CHECKOUT)
    found = re.search(r"http://\S+/\?token=(\S+)", said)
    assert found, said
    device.token = found[1]
    assert device.show("ActiveState") == "active"
    assert device.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    started, active = (
        int(device.show(name)) / 1e6
        for name in ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    )
    print(f"\n  of them from the start of the process to active: {active - started:.1f} s", end="")


def test_it_is_hardened(device: Device) -> None:
    line = device.run("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]
    print(f"\n  {line}", end="")
    assert float(re.search(r"(\d\.\d)", line)[1]) <= 1.2  # type: ignore[index]
    pid = device.show("MainPID")
    video = device.run("getent", "group", "video").split(":")[2]
    status = device.run("cat", f"/proc/{pid}/status")
    assert video in re.search(r"^Groups:(.*)$", status, re.M)[1].split()  # type: ignore[index]
    assert device.run("ps", "-o", "user=", "-p", pid).strip() == "mien"
    groups = device.run("id", "--name", "--groups", "mien").split()
    assert set(groups) == {"mien", "video"}


def test_stream_and_events_reach_the_network_for_who_has_the_token(device: Device) -> None:
    device.until(device.serving, "it serves")
    assert device.status("/state", token="") == 401
    assert device.status("/state", token="not it") == 401  # noqa: S106
    with device.get("/stream.mjpg") as stream:
        pictures = jpegs(stream)
        assert all(next(pictures)[:2] == b"\xff\xd8" for _ in range(5))
        device.until(lambda: "viewers: 1" in device.show("StatusText"), "the status counts viewers")
    device.until(lambda: device.events("expression_start"), "there are events")
    assert re.fullmatch(
        r"ok, \d+\.\d frames/s, faces: \d+, viewers: \d+", device.show("StatusText")
    )


def test_the_readmes_doctor_finds_no_error(device: Device) -> None:
    (command,) = re.findall(r"^    (sudo mien doctor)\b", README, re.M)
    done = device.attempt("sh", "-c", command)
    print(f"\n{done.stdout}", end="")
    assert done.returncode in {0, 1}, done.stdout + done.stderr  # nothing sets the clock here
    assert "user:        mien, a member of mien, video" in done.stdout
    assert "the daemon at http://127.0.0.1:8080 uses the camera" in done.stdout


def restarted(device: Device, harm: str) -> None:
    """Send a signal and wait until another process serves."""
    pid, restarts = device.show("MainPID"), int(device.show("NRestarts"))
    device.run("kill", harm, pid)
    device.until(lambda: int(device.show("NRestarts")) > restarts, "systemd restarts it")
    device.until(device.serving, "it serves again")
    assert device.show("MainPID") != pid


def test_a_killed_daemon_is_restarted(device: Device) -> None:
    with timed("kill -9 until it serves again"):
        restarted(device, "-KILL")


def test_a_stopped_process_is_restarted_by_the_watchdog(device: Device) -> None:
    with timed("SIGSTOP until it serves again"):
        restarted(device, "-STOP")
    assert "Watchdog timeout" in device.journal()


def test_a_reload_takes_a_good_configuration_and_refuses_a_bad_one(device: Device) -> None:
    pid = device.show("MainPID")
    device.edit(r"^  quality: 80", "  quality: 70")
    with timed("reload"):
        device.run("systemctl", "reload", UNIT)
        device.until(lambda: "reloaded; changed: stream.quality" in device.journal(), "it reloads")
    device.edit(r"^  quality: 70", "  qualty: 60")
    with timed("reload of a bad configuration"):
        device.run("systemctl", "reload", UNIT)
        device.until(
            lambda: "reload refused; nothing has changed" in device.journal(), "it refuses"
        )
    assert f"{CONFIG}, line" in device.journal()
    device.edit(r"^  qualty: 60", "  quality: 70")
    assert (device.show("MainPID"), device.show("ActiveState")) == (pid, "active")


def settings_of(device: Device, **changes: object) -> tuple[int, dict[str, Any]]:
    """Read the settings, or with `changes` change them; the status and the answer."""
    url, body = device.url() + "/api/settings", None
    headers = {"Authorization": f"Bearer {device.token}", "Accept": "application/json"}
    if changes:
        version = settings_of(device)[1]["version"]
        body = json.dumps({"version": version, "changes": changes}).encode()
        headers["Content-Type"] = "application/json"
    try:
        request = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_settings_can_be_changed_once_the_unit_lets_the_service_write(device: Device) -> None:
    """As docs/settings.md describes it; without that a sentence says what to do."""
    before = (device.root / CONFIG[1:]).read_text()
    _, form = settings_of(device)
    assert form["trouble"] == (
        "The daemon may not write to /etc/mien, so nothing can be changed; fix: sudo systemctl "
        "edit edge-daemon, write the lines [Service] and ReadWritePaths=/etc/mien, and restart "
        "the service (docs/settings.md)."
    )
    status, refused = settings_of(device, **{"smoothing.min_score": 0.45})
    assert status == 503
    assert refused["detail"].startswith(f"{CONFIG}: cannot be written: Read-only file system")
    assert (device.root / CONFIG[1:]).read_text() == before
    page = (ROOT / "docs/settings.md").read_text()
    commands = re.search(r"(?:^    .+\n)+", page.partition("## On an installed")[2], re.M)
    assert commands
    device.shell(textwrap.dedent(commands[0]))
    device.until(device.serving, "it serves again")
    assert settings_of(device)[1]["trouble"] == ""
    assert settings_of(device, **{"smoothing.min_score": 0.45})[0] == 200
    after = (device.root / CONFIG[1:]).read_text()
    changed = [
        (old, new)
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True)
        if old != new
    ]
    assert [new.split("#")[0].strip() for _, new in changed] == ["min_score: 0.45"]
    assert device.run("stat", "-c", "%a %G", CONFIG).strip() == "640 mien"
    device.run("systemctl", "reload", UNIT)
    device.run("rm", "-r", f"/etc/systemd/system/{UNIT}.service.d")
    device.edit(r"^  min_score: 0\.45", "  min_score: 0.4 ")
    device.run("systemctl", "daemon-reload")
    device.run("systemctl", "restart", UNIT)
    device.until(device.serving, "it serves again")


def test_a_lost_camera_is_waited_for_and_no_reason_to_restart(device: Device) -> None:
    pictures = demo_jpegs(320, 240)

    def camera() -> MjpegServer:
        return MjpegServer(pictures, host=HOST, port=CAMERA_PORT, interval_s=0.1)

    server = camera()
    device.edit(r"^  source: auto", f"  source: http://{HOST}:{CAMERA_PORT}/cam.mjpg")
    device.run("systemctl", "restart", UNIT)
    device.until(lambda: device.status("/healthz") == 200, "the camera delivers")
    restarts = device.show("NRestarts")
    with timed("camera gone until /healthz says so"):
        server.stop()
        device.until(lambda: device.status("/healthz") == 503, "the camera is lost")
    watchdog_s = int(device.show("WatchdogUSec").removesuffix("s"))
    with timed("camera away for longer than the watchdog waits"):
        time.sleep(watchdog_s + 5)
    server = camera()
    with timed("camera back until /healthz says so"):
        device.until(device.serving, "the camera is back")
    server.stop()
    assert device.events("camera_lost")
    assert device.events("camera_restored")
    assert device.show("NRestarts") == restarts
    device.edit(r"^  source: http://.+", "  source: auto      # a comment of my own")
    device.run("systemctl", "restart", UNIT)


def test_a_signed_model_is_fetched_and_kept_over_a_restart(
    device: Device, tmp_path: Path, shipped_model: Path
) -> None:
    with Publisher(tmp_path, shipped_model, host=HOST) as publisher:
        device.edit(r'^  url: ""', f"  url: {publisher.url}")
        device.edit(r'^  key: ""', f'  key: "{publisher.key}"')
        device.edit(r"^  probation_s: 300.0", "  probation_s: 5")
        device.run("systemctl", "restart", UNIT)
        with timed("model fetched, tried for 5 s and kept"):
            device.until(device.serving, "it serves")
            device.until(lambda: device.state()["update"]["state"] == "current", "it is kept")
    fetched = hashlib.sha256(publisher.file.read_bytes()).hexdigest()
    device.run("systemctl", "restart", UNIT)
    device.until(device.serving, "it serves")
    assert device.state()["model"]["sha256"] == fetched
    assert device.run("ls", "/var/lib/mien/models").split() == ["1.tflite", "kept.json", "seen"]
    device.edit(r"^  url: .+", '  url: ""')
    device.edit(r"^  key: .+", '  key: ""')
    device.run("systemctl", "restart", UNIT)


def test_a_second_camera_has_its_own_port_and_logs(device: Device) -> None:
    with timed("make camera"):
        device.shell("sudo make camera NAME=door SOURCE=demo PORT=8081", cwd=CHECKOUT)
    device.until(lambda: device.state(port=8081)["faces"], "it has faces")
    assert device.state(port=8081)["camera"]["name"] == "door"
    assert device.state(port=8081)["event_log"]["path"] == "/var/log/mien/door/events.jsonl"
    assert device.show("ActiveState") == "active"


def test_a_camera_that_is_plugged_in_starts_what_is_enabled(device: Device) -> None:
    """Containers have no udev, so the target is started as udev's device units would."""
    rule = (device.root / "etc/udev/rules.d/70-mien.rules").read_text()
    assert 'ENV{SYSTEMD_WANTS}+="mien-camera.target"' in rule
    device.run("systemctl", "stop", UNIT)
    device.run("systemctl", "start", "mien-camera.target")
    device.until(lambda: device.show("ActiveState") == "active", "it has started")
    device.run("systemctl", "disable", "--now", UNIT)
    device.run("systemctl", "start", "mien-camera.target")
    assert device.show("ActiveState") == "inactive", "who disabled it does not want it"
    device.run("systemctl", "enable", "--now", UNIT)


def test_it_runs_again_after_a_reboot(device: Device) -> None:
    stops = len(device.events("daemon_stop"))
    with timed("reboot until it serves"):
        device.reboot()
        device.until(device.serving, "it serves")
    assert device.show("ActiveState") == device.show("ActiveState", "edge-daemon@door") == "active"
    assert len(device.events("daemon_stop")) == stops + 1, "it ended cleanly"


def test_its_journal_has_no_traceback(device: Device) -> None:
    assert "Traceback" not in device.journal()
