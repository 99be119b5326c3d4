"""Tests that no MQTT message contains a secret of the camera's address."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pytest
from support.broker import Listener, mosquitto
from support.daemon import Daemon
from support.mjpeg_server import demo_jpegs
from support.wire_server import WireServer, header

USER, PASSWORD, KEY = "viewer7", "Zq4/Xw#Yv?Uj[Kg]Hf@Pl%Mn", "tok5Rv8Wk"
SECRETS = (
    *(USER, KEY, "Zq4", "Xw#Yv", "Uj[Kg", "Hf@Pl", "Pl%Mn"),
    quote(PASSWORD, safe=""),
    quote(PASSWORD),
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()[:12],
)
ALL_TOPICS = (
    *("mqtt.commands=true", "mqtt.discovery=true", "mqtt.snapshots=true"),
    *("snapshots.enabled=true", "events.update_s=0.1", "events.dwell_s=0"),
)


@pytest.mark.parametrize("password", [PASSWORD, quote(PASSWORD, safe="")])
@pytest.mark.usefixtures("blazeface_dir")
def test_no_topic_and_no_payload_holds_a_secret_of_the_camera(
    tmp_path: Path, password: str
) -> None:
    jpegs = demo_jpegs(320, 240, 20)
    right = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    refusals: list[bytes] = []

    def answer(request: str) -> Iterable[bytes]:
        if refusals:
            yield refusals[0]
        elif header(request, "Authorization") != right:
            yield b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\n\r\n'
        else:
            yield b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n"
            number = 0
            while not refusals and not camera.closing.wait(0.05):
                yield b"--x\r\n\r\n" + jpegs[number % len(jpegs)]
                number += 1

    camera = WireServer(answer)
    url = camera.url(f"{USER}:{password}@", f"/user={USER}/video?pwd={KEY}")
    with mosquitto(tmp_path) as broker, Listener(broker.port) as listener:
        settings = [f"camera.source={json.dumps(url)}", "mqtt.host=127.0.0.1", *ALL_TOPICS]
        settings += [f"mqtt.port={broker.port}", f"snapshots.path={tmp_path / 'snapshots'}"]
        with Daemon(tmp_path, *settings, "mqtt.topic=mien/{host}/{camera}") as daemon:
            daemon.until(lambda: listener.last("/faces").get("count"))
            daemon.until(lambda: [each for each in listener.of("/snapshot") if each.payload])
            echo = f"{USER}:{PASSWORD} and {right} and {KEY}"
            refusals.append(f"HTTP/1.1 403 no access for {echo}\r\n\r\n".encode())
            daemon.until(lambda: "camera_lost" in [e["type"] for e in listener.events()])
            daemon.until(lambda: listener.last("/state").get("camera") == "lost")
            refusals.clear()
            daemon.until(lambda: "camera_restored" in [e["type"] for e in listener.events()])
            assert daemon.stop() == 0
        with Listener(broker.port) as late_comer:
            daemon_topics = {each.topic for each in listener.heard if each.retain or each.payload}
            assert {topic.rpartition("/")[2] for topic in daemon_topics} >= {
                *("availability", "config", "event", "faces", "snapshot", "state")
            }
            late_comer.say("last", "")
            daemon_says = [*listener.heard, *late_comer.heard]
    camera.stop()
    for each in daemon_says:
        text = f"{each.topic}\n{each.payload.decode(errors='replace')}"
        if each.payload[:1] == b"{":
            text += repr(each.values)  # without JSON's escapes
        assert not [secret for secret in SECRETS if secret in text], each.topic
