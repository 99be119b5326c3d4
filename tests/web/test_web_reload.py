"""Tests that a reload of the running daemon changes the web section except the address."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from support.certificate import make_certificate
from support.daemon import Daemon

from edge_daemon.web.credentials import hash_token


def status(daemon: Daemon, token: str, **headers: str) -> int:
    request = urllib.request.Request(f"{daemon.url}/state?token={token}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def write(path: Path, **web: object) -> None:
    path.write_text(yaml.safe_dump({"camera": {"source": "demo"}, "web": web}))


def test_a_reload_changes_who_may_watch(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    write(config, token=hash_token("first"))
    with Daemon(tmp_path, config=config) as daemon:
        url = daemon.url
        assert (status(daemon, "first"), status(daemon, "second")) == (200, 401)
        write(config, token=hash_token("second"), hosts=["cam.example"], max_viewers=2)
        assert "web.token" in daemon.reload()
        assert (status(daemon, "first"), status(daemon, "second")) == (401, 200)
        assert status(daemon, "second", Host="cam.example") == 200
        write(config, hosts="no list")
        assert "refused" in daemon.reload()
        assert status(daemon, "second") == 200
        write(config, token=hash_token("second"), host="::1")
        daemon.reload()
        warning = "web.host has changed, but needs a restart"
        daemon.until(lambda: any(warning in line for line in daemon.log))
        assert daemon.url == url
        assert status(daemon, "second") == 200


def test_a_reload_reads_a_renewed_certificate(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "mien")
    config = tmp_path / "config.yaml"
    write(config, tls_certificate=str(tls.certificate), tls_key=str(tls.key))
    with Daemon(tmp_path, config=config) as daemon:
        daemon.until(lambda: any("watch: https://" in line for line in daemon.log))
        line = next(line for line in daemon.log if "watch: https://" in line)
        port = int(line.rpartition(":")[2].strip("/"))

        def served() -> str:
            return ssl.get_server_certificate(("127.0.0.1", port))

        old = served()
        make_certificate(tmp_path, "renewed")
        assert "reloaded" in daemon.reload()
        assert served() == tls.certificate.read_text() != old
        tls.key.write_text("damaged")
        assert "refused" in daemon.reload()
        assert any("key.pem cannot be used" in line for line in daemon.log)
        assert served() != old
