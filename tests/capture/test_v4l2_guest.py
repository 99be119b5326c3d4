"""Runs the installed service with real V4L2 devices, in a guest with virtual cameras.

The steps depend on each other and run in this order: `make test-v4l2` stops at the first that
fails and prints how long each took. `vivid` offers YUYV and other uncompressed formats but no MJPG,
which comes from v4l2loopback.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from support.guest import CannotBoot, Guest, image, why_not
from support.machine import UNIT, timed
from support.paths import ROOT
from support.pictures import decoded

from edge_daemon.capture.demo.scene import Demo

pytestmark = pytest.mark.long

CONFIG = "/etc/mien/config.yaml"
DROP_IN = "/etc/systemd/system/edge-daemon.service.d"
CAMERA, LOOPBACK = "/dev/video0", "/dev/video9"
HOG, WRITER = "camera-hog", "loopback-writer"


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    if reason := why_not():
        pytest.skip(f"NOT TESTED: {reason}")
    try:
        with timed("the guest's disk"):
            disk = image(ROOT / "build")
    except CannotBoot as error:
        pytest.skip(f"NOT TESTED: no guest can be made here: {error}")
    with Guest(disk) as booted:
        try:
            print(f"\n  booted: {booted.until_booted():.1f} s", end="")
        except CannotBoot as error:
            pytest.skip(f"NOT TESTED: no guest boots here: {error}")
        install(booted)
        # What an emulated processor can do, and patience for when it has to wait for ours.
        booted.shell(
            f"mkdir {DROP_IN}; printf '[Service]\\nWatchdogSec=300\\n' > {DROP_IN}/slow.conf"
        )
        booted.run("systemctl", "daemon-reload")
        configure(booted, fps="5.0", timeout_s="40.0")
        yield booted
        (ROOT / "build" / "guest-journal.txt").write_text(booted.journal())


def install(guest: Guest) -> None:
    make = ["make", "--silent", "bundle", "ARCH=x86_64", "PYTHON=3.11"]
    made = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    guest.put(ROOT / made.splitlines()[-1], "/root/bundle.tar.gz")
    with timed("./install from the bundle"):
        said = guest.shell("mkdir bundle; tar xf bundle.tar.gz -C bundle; bundle/*/install")
    guest.token = re.search(r"token=(\S+)", said)[1]  # type: ignore[index]


def configure(guest: Guest, **values: str) -> None:
    """Change settings of `camera`, and restart the service."""
    for key, value in values.items():
        guest.run("sed", "--in-place", f"s|^  {key}: [^ ]*|  {key}: {value}|", CONFIG)
        assert f"  {key}: {value}" in guest.run("cat", CONFIG)
    guest.run("systemctl", "stop", UNIT)
    start_daemon(guest)


def plug(guest: Guest) -> None:
    guest.run("modprobe", "vivid", "n_devs=1", "node_types=0x1")
    guest.run("udevadm", "settle")


def unplug(guest: Guest) -> None:
    """Unbind the device from its user, as the bus does, then remove the module."""
    guest.shell("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind")
    guest.until(lambda: not guest.attempt("modprobe", "-r", "vivid").returncode, "nobody has it")
    assert guest.attempt("test", "-e", CAMERA).returncode


def logged(guest: Guest, sentence: str, since: int = 0) -> bool:
    return sentence in guest.journal()[since:]


def lost(guest: Guest) -> bool:
    return guest.status("/healthz") == 503 and guest.state()["camera"]["state"] == "lost"


def processes(guest: Guest) -> None:
    """Wait until pictures go through the pipeline."""
    before = guest.state()["frames"]["processed"]
    guest.until(lambda: guest.state()["frames"]["processed"] > before + 2, "pictures are processed")


def snapshot(guest: Guest) -> NDArray[np.uint8]:
    with guest.get("/snapshot.jpg") as answer:
        bgr = decoded(answer.read())
    assert bgr.shape == (480, 640, 3)
    return bgr


def test_a_camera_that_is_plugged_in_takes_the_demos_place(guest: Guest) -> None:
    guest.until(lambda: guest.state()["camera"]["source"] == "demo", "it shows the demo")
    plug(guest)
    with timed("plugged in until its pictures come"):
        guest.until(lambda: guest.state()["camera"]["source"] == CAMERA, "it is taken")
    guest.until(guest.serving, "it delivers")
    processes(guest)


def test_yuyv(guest: Guest) -> None:
    assert "MJPG" not in guest.run("v4l2-ctl", f"--device={CAMERA}", "--list-formats")
    configure(guest, source=CAMERA, pixel_format="YUYV")
    guest.until(lambda: logged(guest, f"camera ok: {CAMERA}, 640x480 YUYV at 5 fps"), "it delivers")
    processes(guest)
    bars = snapshot(guest).mean(axis=0)
    assert np.ptp(bars, axis=0).min() > 100, "color bars, in all three colors"


def test_16_bit_gray_is_stretched(guest: Guest) -> None:
    configure(guest, pixel_format="Y16")
    line = f"camera ok: {CAMERA}, 640x480 Y16 at 5 fps"
    guest.until(lambda: logged(guest, line), "it delivers")
    processes(guest)
    assert np.ptp(snapshot(guest).mean(axis=0)) > 100, "bars from black to white"


def test_controls_are_set(guest: Guest) -> None:
    before = len(guest.journal())
    configure(guest, pixel_format="YUYV", controls='{"brightness":200,"contrast":60}')
    guest.until(lambda: logged(guest, "camera ok", before), "it delivers")
    values = guest.run("v4l2-ctl", f"--device={CAMERA}", "--get-ctrl=brightness,contrast")
    assert values.split() == ["brightness:", "200", "contrast:", "60"]
    before = len(guest.journal())
    configure(guest, controls='{"brightness":999}')
    sentence = "camera.controls.brightness cannot be set to 999"
    guest.until(lambda: logged(guest, sentence, before), "the log says what is wrong")
    assert lost(guest)
    configure(guest, controls='{"brightness":128}')
    guest.until(guest.serving, "it delivers")


def test_unplugged_and_plugged_in_again(guest: Guest) -> None:
    kinds = ("camera_lost", "camera_restored")
    pid, before = guest.show("MainPID"), [len(guest.events(kind)) for kind in kinds]
    for count in (1, 2):
        with timed("unplugged until /healthz says so"):
            unplug(guest)
            guest.until(lambda: lost(guest), "the camera is lost")
        plug(guest)
        with timed("plugged in until /healthz says so"):
            guest.until(guest.serving, "the camera is back")
        found = [guest.events(kind) for kind in kinds]
        assert [len(each) for each in found] == [number + count for number in before]
    assert {event["cause"] for event in found[0][before[0] :]} <= {"ended", "absent"}
    processes(guest)
    assert guest.show("MainPID") == pid


def test_a_busy_camera_is_waited_for(guest: Guest) -> None:
    guest.run("systemctl", "stop", UNIT)
    reads = ["v4l2-ctl", f"--device={CAMERA}", "--stream-mmap"]
    guest.run("systemd-run", f"--unit={HOG}", *reads)
    before = len(guest.journal())
    start_daemon(guest)
    sentence = f"camera lost: {CAMERA} cannot be opened (does another program use it?)"
    guest.until(lambda: logged(guest, sentence, before), "the log says that the camera is in use")
    assert lost(guest)
    guest.run("systemctl", "stop", HOG)
    with timed("given back until /healthz says so"):
        guest.until(guest.serving, "it has the camera")


def test_a_camera_it_may_not_open_is_reported_as_such(guest: Guest) -> None:
    guest.run("systemctl", "stop", UNIT)
    guest.shell(f"chown root:root {CAMERA}; chmod 660 {CAMERA}")
    before = len(guest.journal())
    start_daemon(guest)
    sentence = f"camera lost: {CAMERA} may not be opened by this user (is it in the group video?)"
    guest.until(lambda: logged(guest, sentence, before), "the log says that it may not open it")
    assert lost(guest)
    guest.run("chgrp", "video", CAMERA)
    with timed("allowed until /healthz says so"):
        guest.until(guest.serving, "it has the camera")


def test_a_camera_that_is_plugged_in_starts_the_service(guest: Guest) -> None:
    """By udev and mien-camera.target."""
    guest.run("systemctl", "stop", UNIT)
    unplug(guest)
    assert guest.show("ActiveState") == "inactive"
    plug(guest)
    guest.until(lambda: guest.show("ActiveState") == "active", "udev has it started")
    guest.until(guest.serving, "it has the camera")


def test_mjpg(guest: Guest) -> None:
    guest.run("modprobe", "v4l2loopback", "video_nr=9", "exclusive_caps=1")
    guest.put(ROOT / "tests" / "support" / "loopback_writer.py", "/root/loopback_writer.py")
    start_writer(guest, "MJPG")
    configure(guest, source=LOOPBACK, pixel_format="MJPG", controls="{}")
    guest.until(lambda: logged(guest, f"camera ok: {LOOPBACK}, 640x480 MJPG at"), "it delivers")
    processes(guest)
    sent = Demo(640, 480).render(0).astype(int)
    assert np.abs(snapshot(guest) - sent).mean() < 25, "the demo, but for what moves in it"


def test_a_camera_that_falls_silent_comes_back(guest: Guest) -> None:
    guest.run("systemctl", "kill", "--signal=SIGSTOP", WRITER)
    guest.until(lambda: lost(guest), "the camera is lost")
    guest.run("systemctl", "kill", "--signal=SIGCONT", WRITER)
    guest.until(guest.serving, "the camera is back")


def test_a_format_that_cannot_be_decoded_is_named(guest: Guest) -> None:
    """As the raw data of a Pi's camera."""
    guest.run("systemctl", "stop", UNIT, WRITER)
    start_writer(guest, "RGGB")
    before = len(guest.journal())
    start_daemon(guest)
    sentence = f"{LOOPBACK} delivers only RGGB, which cannot be decoded"
    guest.until(lambda: logged(guest, sentence, before), "the log names the format")
    assert "camera.source: picamera" in guest.journal()[before:]
    guest.run("systemctl", "stop", WRITER)


def start_daemon(guest: Guest) -> None:
    """Start the service; all steps together start it more often than it may fail."""
    guest.run("systemctl", "reset-failed", UNIT)
    guest.run("systemctl", "start", UNIT)


def start_writer(guest: Guest, pixel_format: str) -> None:
    """Start the writer as a service, and wait until the device offers its format."""
    code = "/opt/mien/current"
    settings = [f"--working-directory={code}", f"--setenv=PYTHONPATH={code}"]
    settings += ["--property=Type=notify", "--property=TimeoutStartSec=300"]
    program = [f"{code}/venv/bin/python", "/root/loopback_writer.py", LOOPBACK, "640", "480"]
    guest.run("systemd-run", f"--unit={WRITER}", *settings, *program, pixel_format)


def test_it_never_failed_meanwhile(guest: Guest) -> None:
    assert "Traceback" not in guest.journal()
    assert guest.show("NRestarts") == "0"
