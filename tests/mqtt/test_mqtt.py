"""Tests MQTT with a real mosquitto: messages, order, no loss, and refusals."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support import home_assistant
from support.broker import Listener, Mosquitto, certificate, mosquitto, passwords, way_to
from support.daemon import Daemon
from support.paths import ROOT
from support.pictures import decoded
from support.waiting import until

from edge_daemon.mqtt.client import read_credentials, tls_context
from edge_daemon.mqtt.link import MqttError

pytestmark = pytest.mark.usefixtures("blazeface_dir")

BASE = "mien/test/porch"
DEMO = (
    "camera.source=demo",
    "camera.name=Porch",
    "mqtt.host=127.0.0.1",
    "mqtt.topic=mien/test/porch",
)
LIVELY = ("events.cooldown_s=0", "events.dwell_s=0", "events.update_s=0.1")
WITHOUT_PAHO = """
import sys
sys.modules["paho"] = None
from edge_daemon.commands import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def listener(broker: Mosquitto) -> Iterator[Listener]:
    with Listener(broker.port) as listener:
        yield listener


@pytest.fixture(scope="module")
def daemon(
    broker: Mosquitto, listener: Listener, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("daemon")
    more = ["mqtt.commands=true", "mqtt.snapshots=true", "snapshots.enabled=true"]
    more += [f"mqtt.port={broker.port}", f"snapshots.path={folder / 'snapshots'}"]
    with Daemon(folder, *DEMO, *LIVELY, *more) as daemon:
        daemon.until(lambda: listener.last("/faces").get("count"))
        yield daemon


def ids(events: list[dict[str, Any]]) -> list[str]:
    """Return the ids, each once, in the order in which they were first heard."""
    return list(dict.fromkeys(event["id"] for event in events))


def logged(folder: Path) -> list[str]:
    """Return the ids of the log's events."""
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["id"] for line in lines]


def test_events_are_those_of_the_log(daemon: Daemon, listener: Listener) -> None:
    daemon.until(lambda: len(listener.events()) > 5)
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    check = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for said in listener.events():
        assert said["id"].startswith(said["time"] + "/")
        assert not said.pop("redelivered", False)
        said.pop("late", None)
        check.validate(said)
    assert not any(each.retain for each in listener.of("/event"))


def test_who_is_there_is_retained(daemon: Daemon, broker: Mosquitto) -> None:
    with Listener(broker.port) as late_comer:
        until(lambda: late_comer.last("/faces").get("count"))
        until(lambda: late_comer.last("/state").get("camera") == "ok")
        assert late_comer.of("/availability")[0].payload == b"online"
        assert late_comer.of("/faces")[0].retain
        faces, state = late_comer.last("/faces"), late_comer.last("/state")
    labels = daemon.state()["model"]["labels"]
    assert faces["count"] == len(faces["faces"]) == sum(faces["labels"].values())
    assert faces["expression"] in {*labels, "uncertain", "no_face"}
    assert set(faces["faces"][0]) >= {"id", "label", "score", "scores", "box", "since_s"}
    reported = daemon.until(lambda: daemon.state()["faces"])
    assert set(faces["faces"][0]) == set(reported[0])
    assert (state["camera"], state["pause"], state["interval"]) == ("ok", "OFF", "auto")


def test_pictures_of_events_are_sent_where_they_are_asked_for(
    daemon: Daemon, listener: Listener
) -> None:
    (*_, picture) = daemon.until(lambda: [p for p in listener.of("/snapshot") if p.payload])
    assert decoded(picture.payload).shape == (480, 640, 3)


def test_home_assistant_gets_values_for_all_it_is_announced(
    daemon: Daemon, listener: Listener
) -> None:
    (announced,) = listener.of("homeassistant/device/mien_test_porch/config")
    home_assistant.check(announced.values)
    values = {}
    for key, component in announced.values["components"].items():
        topic = component.get("state_topic", component.get("topic"))
        if topic is None:
            continue  # without function here: a camera without snapshots, no thermometer
        message = daemon.until(partial(listener.of, topic))[-1]
        if "value_template" in component:
            values[key] = home_assistant.rendered(component, message.payload)
        if "options" in component:
            assert values[key] in component["options"]
    assert int(values["faces"]) >= 0
    assert float(values["frame_rate"]) > 0
    assert values["camera_problem"] == values["event_log_problem"] == values["pause"] == "OFF"


def test_home_assistants_birth_has_all_told_anew(daemon: Daemon, listener: Listener) -> None:
    before = len(listener.heard)
    listener.say("homeassistant/status", "online")
    daemon.until(
        lambda: (
            {"config", "faces", "state"}
            <= {heard.topic.rpartition("/")[2] for heard in listener.heard[before:]}
        )
    )


def test_the_state_says_how_it_goes(daemon: Daemon, listener: Listener) -> None:
    state = daemon.until(lambda: (s := daemon.state())["mqtt"]["acknowledged"] and s)
    assert state["mqtt"]["connected"] is True
    assert state["mqtt"]["trouble"] == ""
    assert state["mqtt"]["redelivered"] == 0
    assert sum("mqtt: 127.0.0.1" in line for line in daemon.log) == 1
    metrics = daemon.get("/metrics").decode()
    assert "mien_mqtt_connected 1.0" in metrics
    assert "mien_mqtt_events_acknowledged_total" in metrics
    assert "mien_mqtt_events_redelivered_total 0.0" in metrics


def test_pause_stops_looking_and_showing(daemon: Daemon, listener: Listener) -> None:
    listener.say(f"{BASE}/pause/set", "ON")
    daemon.until(lambda: listener.last("/state")["pause"] == "ON")
    daemon.until(lambda: listener.last("/faces")["expression"] == "no_face")
    daemon.until(lambda: np.median(decoded(daemon.get("/snapshot.jpg"))) < 8)  # a dark card
    daemon.reload()  # of a file that says otherwise
    assert daemon.state()["controls"]["pause"] is True
    listener.say(f"{BASE}/pause/set", "off")
    daemon.until(lambda: listener.last("/state")["pause"] == "OFF")
    daemon.until(lambda: listener.last("/faces")["count"] > 0)


def test_interval_and_blur_are_set(daemon: Daemon, listener: Listener) -> None:
    listener.say(f"{BASE}/interval/set", "3")
    daemon.until(lambda: listener.last("/state")["interval"] == "3")
    listener.say(f"{BASE}/blur/set", "ON")
    daemon.until(lambda: listener.last("/state")["blur"] == "ON")
    assert listener.last("/state")["interval"] == "1"  # all frames are searched, to blur them
    listener.say(f"{BASE}/blur/set", "OFF")
    listener.say(f"{BASE}/interval/set", "auto")
    daemon.until(lambda: listener.last("/state")["interval"] == "auto")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pause maybe", "mqtt: pause should be ON or OFF, not 'maybe'"),
        ("interval fast", "mqtt: interval should be auto or a whole number, not 'fast'"),
        ("interval 99", "command refused: detector.interval is 99, but"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    daemon: Daemon, listener: Listener, command: str, expected: str
) -> None:
    name, _, payload = command.partition(" ")
    listener.say(f"{BASE}/{name}/set", payload)
    daemon.until(lambda: any(expected in line for line in daemon.log))


def test_the_broker_says_when_the_daemon_is_killed(
    broker: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    settings = [*DEMO, f"mqtt.port={broker.port}", "mqtt.topic=mien/{host}/{camera}/killed"]
    with Daemon(tmp_path, *settings) as daemon:
        daemon.until(lambda: listener.of("Porch/killed/faces"))
        (online,) = listener.of("Porch/killed/availability")
        assert online.payload == b"online"
        assert not [p for p in listener.of("killed/snapshot") if p.payload]
        listener.say("mien/test/Porch/killed/pause/set", "ON")  # without mqtt.commands
        daemon.process.kill()
        until(lambda: listener.of("Porch/killed/availability")[-1].payload == b"offline")
    assert not daemon.events()[-1]["type"].startswith("daemon_stop")


def test_nothing_is_lost_while_the_broker_or_the_daemon_is_away(tmp_path: Path) -> None:
    """The broker dies with messages in flight; the daemon dies while the broker is down."""
    with (
        mosquitto(tmp_path) as broker,
        way_to(broker.port) as way,
        Listener(broker.port) as listener,
    ):
        settings = [*DEMO, *LIVELY, f"mqtt.port={way.port}"]
        with Daemon(tmp_path, *settings) as daemon:
            daemon.until(lambda: len(listener.events()) > 10)
            way.one_way = True  # what now comes, is delivered, but the daemon cannot know
            heard = len(listener.events())
            daemon.until(lambda: len(listener.events()) > heard + 5)
            way.cut()
            daemon.until(lambda: daemon.state()["mqtt"]["trouble"])
            broker.kill()
            before = len(daemon.events())
            daemon.until(lambda: len(daemon.events()) > before + 60)
            daemon.process.kill()
        assert sum("events wait in the log" in line for line in daemon.log) == 1
        broker.start()
        listener.ready()
        way.open()
        with Daemon(tmp_path, *settings) as daemon:
            until(lambda: ids(listener.events())[-1:] == logged(tmp_path)[-1:])
            redelivered = daemon.state()["mqtt"]["redelivered"]
            assert daemon.stop() == 0
    events = listener.events()
    assert ids(events) == logged(tmp_path)
    assert events[-1]["type"] == "daemon_stop"
    marked = [event["id"] for event in events if event.get("redelivered")]
    assert len(marked) == redelivered
    again = {id_ for id_, count in Counter(event["id"] for event in events).items() if count > 1}
    assert again  # what came twice is marked, as is what the broker never got to see
    assert again <= set(marked)
    assert sum(event.get("late", False) for event in events) >= 60
    assert not events[-1].get("late")


def test_tls_and_a_password_from_a_file(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    credentials = tmp_path / "credentials"
    users = passwords(tmp_path, mien="good secret")
    lines = [f"certfile {pem}", f"keyfile {key}", f"password_file {users}"]
    with mosquitto(tmp_path, [*lines, "allow_anonymous false"]) as broker:
        credentials.write_text("mien\nbad secret\n")
        credentials.chmod(0o600)
        settings = [*DEMO, f"mqtt.port={broker.port}", f"mqtt.credentials={credentials}"]
        settings += ["mqtt.tls=true"]
        with Daemon(tmp_path, *settings) as daemon:  # a stranger's certificate
            trouble = daemon.until(lambda: daemon.state()["mqtt"]["trouble"])
            assert trouble == "the broker's certificate: self-signed certificate"
            assert daemon.stop() == 0
        settings += [f"mqtt.tls_ca={pem}"]
        with Daemon(tmp_path, *settings) as daemon:
            trouble = daemon.until(lambda: daemon.state()["mqtt"]["trouble"])
            assert trouble == "the broker refuses: Not authorized"
            assert daemon.stop() == 0
        credentials.write_text("mien\ngood secret\n")
        with Daemon(tmp_path, *settings) as daemon:
            daemon.until(lambda: daemon.state()["mqtt"]["acknowledged"] >= 3)
            assert daemon.stop() == 0
        assert "secret" not in "\n".join(daemon.log)


def test_a_missing_library_is_named_in_one_line(tmp_path: Path) -> None:
    with Daemon(tmp_path, *DEMO, python=("-c", WITHOUT_PAHO)) as daemon:
        assert daemon.ended() == 2
    (line,) = [line for line in daemon.log if not line.startswith("INFO")]
    assert "paho-mqtt is not installed: pip install" in line


def test_credentials_are_a_file_of_two_lines_for_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    with pytest.raises(MqttError, match="cannot be read: No such file"):
        read_credentials(path)
    path.write_text("user\npass word\n")
    path.chmod(0o644)
    with pytest.raises(MqttError, match=f"fix: chmod o= {path}"):
        read_credentials(path)
    path.chmod(0o600)
    assert read_credentials(path) == ("user", "pass word")
    path.write_text("user\n")
    assert read_credentials(path) == ("user", None)
    path.write_text("\n")
    with pytest.raises(MqttError, match="expected the user name"):
        read_credentials(path)


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    path, fifo = tmp_path / "ca.pem", tmp_path / "fifo"
    path.write_text("nothing")
    os.mkfifo(fifo)
    for name in (path, tmp_path / "nowhere.pem", fifo):
        with pytest.raises(MqttError, match=f"{name} cannot be used as PEM files"):
            tls_context(ca=str(name), certificate="", key="")
