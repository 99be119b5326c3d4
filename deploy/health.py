"""`python -m deploy.health`: check the container's health by /healthz on the configured port.

It runs every 30 s on small boards, so it reads the two settings it needs as text instead of loading
the daemon's configuration.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from deploy.settings import settings

TIMEOUT_S = 4.0


def address(config: str, environment: Mapping[str, str]) -> str:
    """Return the address of /healthz for a configuration file's text and `MIEN_…` variables."""
    values = {each.key: each.value.strip("\"'") for each in settings(config)}
    port = environment.get("MIEN_WEB_PORT") or values.get("web.port", "8080")
    tls = environment.get("MIEN_WEB_TLS_CERTIFICATE") or values.get("web.tls_certificate", "")
    return f"{'https' if tls else 'http'}://127.0.0.1:{port}/healthz"


def main() -> int:
    """Return the exit code: 0 if the daemon answers that it is healthy, else 1."""
    config = Path("config.yaml")
    text = config.read_text(encoding="utf-8") if config.exists() else ""
    # The certificate is not checked: the daemon is on the same machine.
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    try:
        url = address(text, os.environ)
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=trust) as answer:  # noqa: S310
            print(answer.read(200).decode(errors="replace").strip())
    except OSError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
