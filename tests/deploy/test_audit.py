"""Tests that `make audit` fails if a package could not be looked up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from support.loopback_server import HttpServed

from deploy.audit import audit
from deploy.layout import DeployError

KNOWN = {
    "id": "PYSEC-2099-1",
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0"}]}],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """Answers as the OSV API does: flask has a vulnerability, nothing else has."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(
            {"vulns": [KNOWN]} if asked["package"]["name"] == "flask" else {}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def osv() -> Iterator[tuple[str, ...]]:
    """The options that make pip-audit ask a server of this test."""
    with HttpServed(Advisories) as server:
        yield "--vulnerability-service=osv", f"--osv-url={server.base_url}/"


def lock(folder: Path, *packages: str) -> Path:
    path = folder / "x86_64-3.11.txt"
    path.write_text("".join(f"{each} --hash=sha256:{'0' * 64}\n" for each in packages))
    return path


def test_a_vulnerable_package_is_named_with_its_fix(osv: tuple[str, ...], tmp_path: Path) -> None:
    path = lock(tmp_path, "click==8.5.1", "flask==3.1.3")
    expected = "flask 3.1.3 of x86_64-3.11.txt has PYSEC-2099-1; fix: make lock (fixed in 9.0)"
    with pytest.raises(DeployError) as refused:
        audit([path], options=osv)
    assert str(refused.value) == expected


def test_without_a_network_nothing_counts_as_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(DeployError, match=r"^NOT AUDITED: .*; run it where PyPI can be reached"):
        audit([lock(tmp_path, "click==8.5.1")])
