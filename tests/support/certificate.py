"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from edge_daemon.web.server.listener import Tls


def make_certificate(folder: Path, name: str) -> Tls:
    """Write a certificate for 127.0.0.1 and localhost with the common name `name`."""
    folder.mkdir(exist_ok=True)
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    words += ["-nodes", "-days", "2", "-subj", f"/CN={name}"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    words += ["-keyout", str(tls.key), "-out", str(tls.certificate)]
    subprocess.run(words, check=True, capture_output=True)
    return tls
