"""Tests strict, small, hostile and shared brokers, and names in any script."""

from __future__ import annotations

import socket
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

import pytest
from support.broker import Listener, mosquitto
from support.mqtt_site import MqttSite
from support.waiting import until

from edge_daemon.config.file import ConfigError, parse_config
from edge_daemon.core.types import Command
from edge_daemon.mqtt import commands
from edge_daemon.mqtt.client import AT_ONCE, Broker, MqttClient
from edge_daemon.mqtt.link import WakeUp
from edge_daemon.mqtt.messages import Message, Topics

MIB = 1 << 20


def numbers(listener: Listener) -> list[int]:
    return [event["n"] for event in listener.events()]


def test_a_refused_topic_is_left_out_and_named_and_events_flow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite mien/#\n")
    acl.chmod(0o700)
    with (
        mosquitto(tmp_path, ["allow_anonymous true", f"acl_file {acl}"]) as broker,
        Listener(broker.port, topic="mien/#") as listener,
        MqttSite(tmp_path, broker.port) as site,
    ):
        for n in range(50):
            site.happens(n=n)
        until(lambda: len(listener.events()) == 50)
        until(lambda: "homeassistant/device/mien_test_porch/config" in caplog.text)
        assert site.link.status.connected
        site.happens(n=50)
        until(lambda: numbers(listener) == list(range(51)))
    refused = [record.message for record in caplog.records if "refuses" in record.message]
    assert sum("homeassistant/device/mien_test_porch/config" in line for line in refused) == 1
    assert all("Not authorized" in line for line in refused)


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        (["topic read #", "topic write mien/test/porch/event"], "mien/test/porch/availability"),
        (["topic readwrite #", "topic deny homeassistant/#"], "homeassistant/device/"),
        (["topic readwrite #", "topic deny mien/test/porch/state"], ""),  # it is not acknowledged
        (["topic write #", "topic read mien/test/porch/event"], ""),
    ],
    ids=["the events alone", "no home assistant", "all but the state", "no reading"],
)
def test_events_flow_whatever_else_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rules: list[str], refused: str
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("\n".join([*rules, ""]))
    acl.chmod(0o700)
    with (
        mosquitto(tmp_path, ["allow_anonymous true", f"acl_file {acl}"]) as broker,
        Listener(broker.port, topic="mien/test/porch/event") as listener,
        MqttSite(tmp_path, broker.port, commands=True) as site,
    ):
        for n in range(20):
            site.happens(n=n)
        until(lambda: numbers(listener) == list(range(20)))
        until(lambda: refused in caplog.text)
        assert site.link.status.connected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("retain_available false", "retains no messages"), ("max_qos 0", "has QoS 0 only")],
)
def test_events_flow_at_a_broker_that_can_do_less(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, sentence: str
) -> None:
    with (
        mosquitto(tmp_path, ("allow_anonymous true", line)) as broker,
        Listener(broker.port) as listener,
        MqttSite(tmp_path, broker.port, commands=True) as site,
    ):
        until(lambda: site.link.status.connected)
        for number in range(3):
            site.happens(n=number)
        until(lambda: numbers(listener) == [0, 1, 2])
        until(lambda: site.link.status.acknowledged == 3)
        listener.send("mien/test/porch/pause/set", "ON", qos=0)
        assert until(lambda: site.commands.get(1.0)) == Command("privacy.pause", True)
    assert caplog.text.count(sentence) == 1


def test_the_brokers_maximum_packet_size_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        mosquitto(tmp_path, ["allow_anonymous true", "max_packet_size 1500"]) as broker,
        Listener(broker.port) as listener,
        MqttSite(tmp_path, broker.port) as site,
    ):
        site.happens(n=0)
        site.happens(n=1, text="x" * 2000)
        site.pictures.put(b"x" * 2000)
        site.happens(n=2)
        until(lambda: numbers(listener) == [0, 2])
        until(lambda: "porch/snapshot" in caplog.text)
        site.pictures.put(b"small")
        until(lambda: any(picture.payload == b"small" for picture in listener.of("/snapshot")))
        assert site.link.status.connected
        assert site.link.status.acknowledged == 2
    for topic in ("mien/test/porch/event", "homeassistant/device/mien_test_porch/config"):
        (line,) = [record.message for record in caplog.records if topic in record.message]
        assert line.endswith("the broker accepts 1500")


def test_a_large_message_for_us_is_not_sent_by_the_broker(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        Listener(broker.port) as listener,
        MqttSite(tmp_path, broker.port) as site,
    ):
        until(lambda: listener.of("/config"))
        listener.say("homeassistant/status", "x" * 10 * MIB)
        listener.say("homeassistant/status", "online")
        until(lambda: len(listener.of("/config")) == 2)
        assert site.link.status.connected


class HostileBroker:
    """Accepts a client, then sends the given bytes; records what it received and sent."""

    def __init__(self, answer: bytes, repeat: bytes = b"", times: int = 0) -> None:
        self.received = b""
        self.sent_bytes = 0
        self._answer, self._repeat, self._times = answer, repeat, times
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._server.accept()
            with client:
                self.received = client.recv(4096)
                client.sendall(self._answer)
                for _ in range(self._times):
                    client.sendall(self._repeat)
                    self.sent_bytes += len(self._repeat)
                while client.recv(4096):
                    pass


@contextmanager
def hostile(answer: bytes, repeat: bytes = b"", times: int = 0) -> Iterator[HostileBroker]:
    broker = HostileBroker(answer, repeat, times)
    broker._thread.start()
    try:
        yield broker
    finally:
        broker._server.close()
        broker._thread.join()


CONNACK = bytes([0x20, 3, 0, 0, 0])
HUGE_PUBLISH = bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1]) + b"t"  # of 256 MiB


def test_a_broker_that_sends_huge_messages_is_left(tmp_path: Path) -> None:
    with (
        hostile(CONNACK + HUGE_PUBLISH, b"x" * MIB, 256) as broker,
        MqttSite(tmp_path, broker.port, discovery=False) as site,
    ):
        until(lambda: "larger than allowed" in site.link.status.trouble)
    assert broker.sent_bytes < 32 * MIB  # what fits into the sockets' buffers


def test_a_flood_is_read_a_few_messages_at_a_time() -> None:
    """The rest waits in the sockets, and at the broker, which has limits of its own."""
    publish = b"\x30\x08\x00\x03a/b\x00ON"
    will, wake_up = Message("mien/test/availability", b"offline"), WakeUp()
    with hostile(CONNACK, publish * 2000, 1) as broker:
        client = MqttClient(Broker("127.0.0.1", broker.port, "test"), will=will, vital="")
        client.open(wake_up)
        count = len(client.received())
        while count < 2000:
            client.wait(wake_up, 1.0)
            messages = client.received()
            assert len(messages) <= AT_ONCE
            assert {(each.topic, each.payload) for each in messages} <= {("a/b", b"ON")}
            count += len(messages)
        client.close()
    wake_up.close()
    assert count == 2000


@pytest.mark.parametrize(
    "rubbish",
    [b"\0" * 100, b"\xff" * 100, CONNACK + b"\x30\x02\xff\xff", CONNACK + b"\x90\x00", b"HTTP/1.1"],
)
def test_a_broker_that_sends_rubbish_costs_the_connection_alone(
    tmp_path: Path, rubbish: bytes
) -> None:
    with hostile(rubbish) as broker, MqttSite(tmp_path, broker.port) as site:
        until(lambda: site.link.status.trouble)


@pytest.mark.parametrize("answer", [b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x01"])
def test_a_broker_of_mqtt_3_is_named_as_such(tmp_path: Path, answer: bytes) -> None:
    with hostile(answer) as broker, MqttSite(tmp_path, broker.port) as site:
        trouble = until(lambda: site.link.status.trouble)
    assert trouble == "the broker refuses: Unsupported protocol version; Mien needs MQTT 5"


def test_a_broker_that_disconnects_with_a_reason_is_not_suspected_of_a_takeover() -> None:
    quota_exceeded, wake_up = bytes([0xE0, 2, 0x97, 0]), WakeUp()
    will = Message("mien/test/availability", b"offline")
    with hostile(CONNACK + quota_exceeded) as broker:
        client = MqttClient(Broker("127.0.0.1", broker.port, "test"), will=will, vital="")
        client.open(wake_up)
        while client.is_open:
            client.wait(wake_up, 1.0)
        client.close()
    wake_up.close()
    assert (client.end, client.reason) == ("refused", "the broker disconnected: Quota exceeded")


def test_a_broker_that_acknowledges_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_daemon.mqtt.link.ACKNOWLEDGE_S", 0.2)
    with hostile(CONNACK) as broker, MqttSite(tmp_path, broker.port) as site:
        site.happens(n=0)
        until(lambda: site.link.status.trouble == "the broker acknowledges no events")


@pytest.mark.parametrize(("content", "has_password"), [("till\n", False), ("till\n\n", True)])
def test_a_user_may_have_no_password(tmp_path: Path, content: str, has_password: bool) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(content)
    credentials.chmod(0o600)
    with (
        hostile(b"\x20\x03\x00\x87\x00") as broker,
        MqttSite(tmp_path, broker.port, credentials=str(credentials)) as site,
    ):
        until(lambda: "Not authorized" in site.link.status.trouble)
    flags = broker.received[broker.received.index(b"MQTT") + 5]
    assert flags & 0x80
    assert bool(flags & 0x40) == has_password
    assert b"\x27\x00\x00\x10\x00" in broker.received  # Maximum Packet Size, 4096


def test_a_session_that_another_daemon_takes_over_is_named(tmp_path: Path) -> None:
    taken_over = bytes([0xE0, 2, 0x8E, 0])
    with hostile(CONNACK + taken_over) as broker, MqttSite(tmp_path, broker.port) as site:
        trouble = until(lambda: site.link.status.trouble)
    assert "another client took over the session of mien_test_porch" in trouble
    assert "mqtt.topic" in trouble


def test_a_second_daemon_with_the_same_topic_is_suspected_where_the_broker_gives_no_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other").mkdir()
    with (
        mosquitto(tmp_path) as broker,
        MqttSite(tmp_path, broker.port),
        MqttSite(tmp_path / "other", broker.port),
    ):
        until(lambda: "another client may use the id mien_test_porch" in caplog.text)


def test_after_a_stop_nobody_is_there(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        with Listener(broker.port) as listener, MqttSite(tmp_path, broker.port) as site:
            site.shows("happy", "sad")
            until(lambda: listener.last("/faces").get("count") == 2)
        with Listener(broker.port) as late:
            until(lambda: late.of("/availability"))
            faces = until(lambda: late.last("/faces"))
            assert late.of("/availability")[0].payload == b"offline"
    assert (faces["count"], faces["expression"], faces["faces"]) == (0, "no_face", [])


def test_a_flood_of_commands_is_reduced_to_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(commands, "FLOOD_S", 1.5)
    with (
        mosquitto(tmp_path) as broker,
        Listener(broker.port) as listener,
        MqttSite(tmp_path, broker.port, commands=True) as site,
    ):
        until(lambda: listener.of("/availability"))
        for number in range(600):
            listener.send("mien/test/porch/pause/set", "OFF" if number % 2 else "ON")
            listener.send("homeassistant/status", "online")
        listener.say("mien/test/porch/interval/set", "7")
        passed: list[Command] = []
        while not passed or passed[-1].key != "detector.interval":
            if (command := site.commands.get(1.0)) is not None:
                passed.append(command)
        assert len(passed) < 40
        assert "the newest are carried out every 1.5 s" in caplog.text
        assert next(c.value for c in reversed(passed) if c.key == "privacy.pause") is False
        assert len(listener.of("/config")) < 20
        site.happens(n=1)
        until(lambda: numbers(listener) == [1])


def test_names_that_differ_in_any_letter_have_topics_of_their_own() -> None:
    names = ["Kuche", "Küche", "Köche", "門", "窗", "дверь", "окно", "K_che", "١", "٢", ""]
    topics = [Topics("mien/{host}/{camera}", host="pi", camera=name) for name in names]
    for one, other in combinations(topics, 2):
        assert one.base != other.base
        assert one.device != other.device
    assert all(each.base.isascii() and "/" not in each.device for each in topics)
    composed, decomposed = (
        Topics("{camera}", host="", camera=unicodedata.normalize(form, "Küche"))
        for form in ("NFC", "NFD")
    )
    assert composed.base == decomposed.base


@pytest.mark.parametrize("topic", ["a/+", "a#", "/a", "a/", "a\\a", "a\\x85b"])
@pytest.mark.parametrize("key", ["topic", "discovery"])
def test_topics_that_brokers_close_the_connection_for_are_refused(key: str, topic: str) -> None:
    with pytest.raises(ConfigError, match=f"mqtt.{key} is .*should be words between slashes"):
        parse_config(f'mqtt: {{{key}: "{topic}"}}', "c.yaml")


def test_a_topic_without_the_hosts_name_fixes_the_devices_id() -> None:
    """As for a container, whose name is another at each start."""
    ids = {
        Topics("mien/shop/{camera}", host=host, camera="Till").device for host in ("4f2a", "9c01")
    }
    assert ids == {"mien_shop_Till"}
