"""Tests the settings of webhooks: templates, files of headers and secrets, and the examples."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest
import yaml
from support.paths import ROOT
from support.waiting import until
from support.webhook_receiver import Receiver, WebhookSite

from edge_daemon.commands import main
from edge_daemon.config.file import ConfigError, load_config
from edge_daemon.config.network import EventType
from edge_daemon.events.events import TYPES
from edge_daemon.webhooks.build import EVENT_FIELDS, WebhookError


@pytest.mark.parametrize(
    ("template", "content_type", "expected"),
    [
        ('{"text": "{camera}: {label} ({score})"}', "application/json",
         b'{"text": "Door \\"1\\": happy (0.5)"}'),
        ("{camera}: {label}, {none}", "text/plain", b'Door "1": happy, '),
        ("text={camera}&label={label}&at=100%", "application/x-www-form-urlencoded",
         b"text=Door+%221%22&label=happy&at=100%"),
    ],
)  # fmt: skip
def test_a_template_makes_what_another_service_wants(
    tmp_path: Path, template: str, content_type: str, expected: bytes
) -> None:
    with Receiver() as receiver:
        site = WebhookSite(tmp_path, url=receiver.url, template=template, content_type=content_type)
        with site.running():
            site.happens(camera='Door "1"', label="happy", score=0.5)
            (posted,) = until(lambda: list(receiver.posted))
    assert posted.body == expected
    assert posted.headers["content-type"] == content_type


def test_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    with pytest.raises(WebhookError, match=f"fix: chmod o= {secret}"):
        WebhookSite(tmp_path, url="http://127.0.0.1/", secret_file=str(secret))
    secret.chmod(0o600)
    secret.write_text("")
    with pytest.raises(WebhookError, match="the secret is empty"):
        WebhookSite(tmp_path, url="http://127.0.0.1/", secret_file=str(secret))
    with pytest.raises(WebhookError, match="No such file"):
        WebhookSite(tmp_path, url="http://127.0.0.1/", headers_file=str(tmp_path / "none"))
    for text, reason in (
        ("no header", "line 1: expected a header"),
        ("X-A: b\n\nX Y: c", "line 3: expected a header"),
        ("X-A: b\n folded", "line 2: expected a header"),
        ("X-Ä: b", "line 1: expected a header"),
        ("Authorization: Bearer Schlüssel", "line 1: the value is not plain ASCII text"),
        ("Authorization: a\x00b", "line 1: the value is not plain ASCII text"),
        ("content-length: 3", "line 1: the daemon sets content-length itself"),
    ):
        secret.write_text(text)
        with pytest.raises(WebhookError, match=reason):
            WebhookSite(tmp_path, url="http://127.0.0.1/", headers_file=str(secret))


def test_a_header_file_of_another_system_is_read(tmp_path: Path) -> None:
    """With a byte order mark, the line ends of Windows, and empty lines."""
    headers = tmp_path / "headers"
    headers.write_bytes(b"\xef\xbb\xbfAuthorization: Basic a:b \r\n\r\nX-Site:shop\r\n\r\n")
    headers.chmod(0o600)
    with Receiver() as receiver:
        site = WebhookSite(tmp_path, url=receiver.url, headers_file=str(headers))
        with site.running():
            site.happens(n=0)
            (posted,) = until(lambda: list(receiver.posted))
    assert posted.headers["authorization"] == "Basic a:b"
    assert posted.headers["x-site"] == "shop"


def test_check_config_reads_the_files_and_names_unknown_fields(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "config.yaml"
    for webhook, said in (
        (
            {"url": "http://x/", "headers_file": str(tmp_path / "none")},
            "none: cannot be read: No such",
        ),
        ({"url": "http://x/", "tls_ca": "none.pem"}, "webhooks[0].tls_ca: none.pem is not a file."),
    ):
        values = {"webhooks": [webhook], "events": {"path": str(tmp_path / "events.jsonl")}}
        config.write_text(
            yaml.safe_dump(values | {"model": str(ROOT / "models/expression.tflite")})
        )
        assert main(["check-config", "--config", str(config)]) == 2
        assert said in capsys.readouterr().err
    WebhookSite(tmp_path, url="http://x/", template='{"text": "{lable} {reason} {box}"}')
    assert "webhooks[0].template: no event has a field 'lable'" in caplog.text
    assert "reason" not in caplog.text


def test_the_types_and_fields_are_those_of_events() -> None:
    schema = json.loads((ROOT / "docs/events.schema.json").read_text())["properties"]
    assert get_args(EventType) == tuple(schema["type"]["enum"]) == TYPES
    assert schema.keys() == EVENT_FIELDS


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("[{url: ftp://x/}]", r"webhooks\[0\].url"),
        ("[{url: http://x/, color: 1}]", r"webhooks\[0\].color is an unknown key"),
        ("[{types: [a]}]", r"webhooks\[0\].url"),
        ("[{url: http://x/, types: [face_started]}]", r"webhooks\[0\].types.*'face_start'"),
        ("{}", "webhooks"),
    ],
)
def test_a_wrong_setting_is_named(words: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(None, [f"webhooks={words}"])


def documented() -> list[str]:
    """Return the webhooks of the page, each as YAML."""
    page = (ROOT / "docs" / "webhooks.md").read_text()
    return [
        textwrap.dedent(found)
        for found in re.findall(r"(?m)^(    webhooks:\n(?:     .+\n)+)", page)
    ]


@pytest.mark.parametrize("text", documented())
def test_the_examples_of_the_page_work(tmp_path: Path, text: str) -> None:
    with Receiver() as receiver:
        url = f"url: {receiver.url}"
        webhook = yaml.safe_load(re.sub("url: .*", url, text))["webhooks"][0]
        site = WebhookSite(tmp_path, **webhook)
        with site.running():
            site.happens("camera_lost", camera="Door", reason='it says "no"')
            site.happens("expression_start", camera="Door", label="happy", score=0.9)
            (posted, *_) = until(lambda: list(receiver.posted))
    if posted.headers["content-type"] == "application/json":
        assert json.loads(posted.body)
    else:
        assert posted.body == b"Door: somebody smiles"
