"""Runs a real Home Assistant as a subprocess, and sets it up over its HTTP interface."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

import pytest

from support.paths import ROOT
from support.ports import free_port
from support.waiting import until

PYTHON = ROOT / ".venv" / "home-assistant" / "bin" / "python"
CONFIGURATION = """
homeassistant:
  name: Shop
  unit_system: metric
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
config:
frontend:
"""
DEADLINE_S = 120.0


class HomeAssistant:
    """A new installation with an owner who is signed in; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        if not PYTHON.exists():
            pytest.skip("NOT TESTED: `make test-home-assistant` installs Home Assistant")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.tokens: dict[str, Any] = {}
        folder.mkdir()
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=port))
        self._log = folder / "output.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(PYTHON), "-m", "homeassistant", "-c", str(folder), "--skip-pip"],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        try:
            until(self._answers, timeout_s=DEADLINE_S, describe=self.log)
            self._sign_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def add_broker(self, port: int) -> None:
        """Set up the MQTT integration, as a user does in the settings."""
        flows = "/api/config/config_entries/flow"
        form = self._post(flows, {"handler": "mqtt"})
        done = self._post(f"{flows}/{form['flow_id']}", {"broker": "127.0.0.1", "port": port})
        assert done["type"] == "create_entry", done

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the states of all entities, by the entity's id."""
        found = self._open("/api/states")
        return {state["entity_id"]: state for state in found}

    def state(self, entity: str) -> str:
        """Return an entity's state, "" while there is no such entity."""
        return str(self.states().get(entity, {"state": ""})["state"])

    def call(self, service: str, entity: str, **values: Any) -> None:
        """Call a service such as "switch/turn_on" on an entity."""
        self._post(f"/api/services/{service}", {"entity_id": entity, **values})

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            return bool(self._open("/api/onboarding"))
        except (OSError, ValueError):
            return False

    def _sign_in(self) -> None:
        client = {"client_id": f"{self.url}/"}
        owner = {"name": "Owner", "username": "owner", "password": "for the test", "language": "en"}
        code = self._post("/api/onboarding/users", client | owner)["auth_code"]
        granted = client | {"grant_type": "authorization_code", "code": code}
        body = urllib.parse.urlencode(granted).encode()
        self.tokens = self._open("/auth/token", body, "application/x-www-form-urlencoded")
        self._post("/api/onboarding/integration", client | {"redirect_uri": f"{self.url}/"})
        for step in ("core_config", "analytics"):
            self._post(f"/api/onboarding/{step}", {})

    def _post(self, path: str, values: dict[str, Any]) -> Any:
        return self._open(path, json.dumps(values).encode(), "application/json")

    def _open(self, path: str, body: bytes | None = None, kind: str = "") -> Any:
        request = urllib.request.Request(self.url + path, body)
        if kind:
            request.add_header("Content-Type", kind)
        if self.tokens:
            request.add_header("Authorization", f"Bearer {self.tokens['access_token']}")
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error}: {error.read()!r}") from error
