"""A user who may change a running daemon, with the daemon's configuration file."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from edge_daemon.web.credentials import hash_token
from support.daemon import Daemon
from support.paths import ROOT

TOKEN = "of the owner"  # noqa: S105
CONFIG = f"""\
# The door's camera.
model: {ROOT}/models/expression.tflite
camera: {{source: demo, name: door}}
smoothing:
  min_score: 0.4   # as measured
web: {{port: 0, token: '{hash_token(TOKEN)}'}}
stream: {{quality: 80}}
"""


class Owner:
    """A user with the token of a daemon that has its own configuration file."""

    def __init__(self, folder: Path, text: str = CONFIG) -> None:
        self.file = folder / "config.yaml"
        self.file.write_text(text)
        self.file.chmod(0o640)
        os.environ["MIEN_TRACKER_MAX_AGE_S"] = "2.0"
        try:
            self.daemon = Daemon(folder, "detector.max_faces=4", config=self.file)
        finally:
            del os.environ["MIEN_TRACKER_MAX_AGE_S"]

    def ask(self, path: str = "/api/settings", body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request, with `body` as JSON; return the status and the answer."""
        named = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
        named |= {"Content-Type": "application/json"} if body is not None else {}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            self.daemon.url + path, content if body is not None else None, named
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                text = answer.read().decode()
                is_json = answer.headers["Content-Type"] == "application/json"
                return answer.status, json.loads(text) if is_json else text
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read()).get("detail", "")

    def form(self) -> dict[str, Any]:
        status, form = self.ask()
        assert status == 200
        return dict(form)

    def change(self, preview: bool = False, **values: Any) -> tuple[int, Any]:
        """Change settings; the names of the arguments have __ in place of the dot."""
        changes = {name.replace("__", "."): value for name, value in values.items()}
        version = self.form()["version"]
        return self.ask(body={"version": version, "changes": changes, "preview": preview})

    def state(self) -> dict[str, Any]:
        return dict(self.ask("/state")[1])
