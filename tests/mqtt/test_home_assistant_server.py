"""The daemon in a real Home Assistant: its entities, states, commands and device page.

`make test-home-assistant` runs it.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.broker import Mosquitto, mosquitto
from support.daemon import Daemon
from support.home_assistant_server import HomeAssistant
from support.paths import ROOT
from support.waiting import until

from edge_daemon import __version__

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("blazeface_dir")]

PICTURE = ROOT / "docs" / "home-assistant.webp"
ENTITIES = {
    "sensor.front_door_expression": "Front door Expression",
    "sensor.front_door_faces": "Front door Faces",
    "event.front_door_event": "Front door Event",
    "camera.front_door_last_event": "Front door Last event",
    "binary_sensor.front_door_camera": "Front door Camera",
    "binary_sensor.front_door_event_log": "Front door Event log",
    "binary_sensor.front_door_board": "Front door Board",
    "sensor.front_door_frame_rate": "Front door Frame rate",
    "sensor.front_door_latency": "Front door Latency",
    "switch.front_door_pause": "Front door Pause",
    "switch.front_door_blur_faces": "Front door Blur faces",
    "select.front_door_search_interval_in_frames": "Front door Search interval in frames",
}
COMPLAINT = re.compile(r"(WARNING|ERROR) .*(components\.mqtt|Template variable)")
DEVICE = """async () => {
    const hass = document.querySelector("home-assistant").hass;
    const devices = await hass.callWS({type: "config/device_registry/list"});
    return devices.find(device => device.manufacturer === "Mien");
}"""


@dataclass(frozen=True, slots=True)
class Home:
    """A Home Assistant and the broker that it shares with the daemon."""

    assistant: HomeAssistant
    broker: Mosquitto

    def daemon(self, folder: Path) -> Daemon:
        """Start a daemon with everything that Home Assistant can show."""
        settings = ("mqtt.host=127.0.0.1", f"mqtt.port={self.broker.port}", "mqtt.commands=true")
        pictures = ("snapshots.enabled=true", f"snapshots.path={folder}", "mqtt.snapshots=true")
        return Daemon(folder, "camera.source=demo", "camera.name=Front door", *settings, *pictures)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    with mosquitto(folder) as broker, HomeAssistant(folder / "config") as assistant:
        assistant.add_broker(broker.port)
        yield Home(assistant, broker)


def test_it_shows_the_device_with_its_states_and_obeys_it(home: Home, tmp_path: Path) -> None:
    assistant = home.assistant
    with home.daemon(tmp_path) as daemon:
        until(lambda: ENTITIES.keys() <= assistant.states().keys(), describe=assistant.log)
        until(lambda: assistant.state("sensor.front_door_faces") == "2")
        until(lambda: assistant.state("event.front_door_event") not in {"", "unknown"})
        until(lambda: float(assistant.state("sensor.front_door_frame_rate")) > 0)
        shown = assistant.states()
        names = {id_: state["attributes"]["friendly_name"] for id_, state in shown.items()}
        assert {id_: names[id_] for id_ in ENTITIES} == ENTITIES
        faces = daemon.state()["faces"]
        expression = shown["sensor.front_door_expression"]
        assert set(expression["attributes"]["labels"]) <= {*expression["attributes"]["options"]}
        assert expression["state"] in {*expression["attributes"]["options"]}
        assert len(faces) == 2
        assert "time" not in expression["attributes"]
        assert shown["event.front_door_event"]["attributes"]["camera"] == "Front door"
        assert shown["sensor.front_door_latency"]["attributes"]["unit_of_measurement"] == "ms"
        for problem in ("camera", "event_log", "board"):
            assert shown[f"binary_sensor.front_door_{problem}"]["state"] == "off"
        has_thermometer = bool(daemon.state()["board"]["temperatures_c"])
        assert ("sensor.front_door_temperature" in shown) == has_thermometer

        assistant.call("switch/turn_on", "switch.front_door_pause")
        until(lambda: daemon.state()["controls"]["pause"])
        until(lambda: assistant.state("switch.front_door_pause") == "on")
        until(lambda: assistant.state("sensor.front_door_faces") == "0")
        assistant.call("switch/turn_off", "switch.front_door_pause")
        interval = "select.front_door_search_interval_in_frames"
        assistant.call("select/select_option", interval, option="3")
        until(lambda: assistant.state(interval) == "3")
        until(lambda: assistant.state("sensor.front_door_faces") == "2")

        daemon.stop(signal.SIGKILL)
        until(lambda: assistant.state("sensor.front_door_faces") == "unavailable")
    assert {assistant.state(entity) for entity in ENTITIES} == {"unavailable"}
    with home.daemon(tmp_path) as daemon:
        until(lambda: assistant.state("sensor.front_door_faces") == "2")
        assert daemon.stop() == 0
    until(lambda: assistant.state("sensor.front_door_faces") == "unavailable")
    complaints = [line for line in assistant.log().splitlines() if COMPLAINT.search(line)]
    assert complaints == []


def test_the_device_page_is_complete(home: Home, tmp_path: Path, chromium: Any) -> None:
    assistant = home.assistant
    with home.daemon(tmp_path) as daemon:
        until(lambda: assistant.state("sensor.front_door_faces") == "2")
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        tokens = {
            **assistant.tokens,
            **{"hassUrl": assistant.url, "clientId": f"{assistant.url}/"},
            "expires": 4_000_000_000_000,
        }
        page.add_init_script(f"localStorage.hassTokens = {json.dumps(json.dumps(tokens))}")
        page.goto(assistant.url)
        page.wait_for_function("document.querySelector('home-assistant')?.hass?.connected")
        device = page.evaluate(DEVICE)
        page.goto(f"{assistant.url}/config/devices/device/{device['id']}")
        for text in ("Expression", "Faces", "Frame rate", "Pause", "Last event"):
            page.get_by_text(text, exact=True).first.wait_for()
        assert (device["name"], device["sw_version"]) == ("Front door", __version__)
        assert device["model"] == "Facial expression camera"
        if os.environ.get("PICTURE"):
            page.wait_for_load_state("networkidle")
            shot = tmp_path / "page.png"
            page.screenshot(path=shot)
            write_webp(shot)
        page.close()
        assert daemon.stop() == 0


def write_webp(shot: Path) -> None:
    from PIL import Image

    with Image.open(shot) as picture:
        picture.convert("RGB").save(PICTURE, quality=80, method=6)
