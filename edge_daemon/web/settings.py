"""Answers /settings.html, the page, and /api/settings, which reads and changes settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from flask import Response, render_template, request

from edge_daemon.core.errors import UserError
from edge_daemon.web.access import Access
from edge_daemon.web.answers import json_answer, sentence
from edge_daemon.web.server.loop import Loop

BODY_BYTES: Final = 100_000
BODY_S: Final = 10.0  # for the change to arrive
JSON: Final = "application/json"
OFF: Final = (
    "Settings cannot be changed from here: that needs web.settings, and a password or a token."
)
FORM: Final = (
    'Send {"version": "…", "changes": {"smoothing.min_score": 0.5}, "preview": true} as JSON; '
    "the version is that of the answer to GET."
)

log = logging.getLogger(__name__)


class SettingsConflict(UserError):
    """The file has changed since the settings were read."""


class SettingsUnavailable(UserError):
    """The settings can be neither read nor changed."""


class Settings(Protocol):
    """Reads and changes the daemon's settings."""

    def form(self) -> dict[str, Any]:
        """Return the settings and their version; values for JSON. Raises UserError."""
        ...

    def change(
        self, version: str, values: Mapping[str, object], *, preview: bool
    ) -> dict[str, Any]:
        """Set `values`, unless `preview`; return values for JSON. Raises UserError."""
        ...


class SettingsViews:
    """Answers users who may change settings."""

    def __init__(self, settings: Settings, *, access: Access, loop: Loop) -> None:
        self._settings, self._access, self._loop = settings, access, loop
        self._threads = loop.threads(1)  # one change at a time

    def page(self) -> Response | str:
        """Return the page, whose script fills it."""
        if not self._access.offers_settings:
            return sentence(404, OFF)
        return render_template("settings.html")

    def api(self) -> Response:
        """Return the settings; with POST, a change of them."""
        if not self._access.offers_settings:
            return sentence(404, OFF)
        try:
            if request.method == "POST":
                return self._changed()
            return json_answer(self._threads.run(self._settings.form))
        except SettingsUnavailable as error:
            return sentence(503, str(error))
        except SettingsConflict as error:
            return sentence(409, str(error))
        except UserError as error:
            return sentence(422, str(error))

    def _changed(self) -> Response:
        if request.mimetype != JSON:  # which no form of another site can send
            return sentence(415, FORM)
        request.max_content_length = BODY_BYTES
        try:
            with self._loop.deadline(BODY_S):
                body = json.loads(request.get_data())
        except TimeoutError:
            return sentence(408, "The change did not arrive in time.")
        except (ValueError, RecursionError):
            return sentence(400, f"The body is not JSON. {FORM}")
        match body:
            case {"version": str(version), "changes": dict(changes), **rest}:
                preview = rest.pop("preview", False)
                if not rest and isinstance(preview, bool):
                    return self._answer(version, changes, preview)
        return sentence(400, FORM)

    def _answer(self, version: str, changes: Mapping[str, object], preview: bool) -> Response:
        answer = self._threads.run(lambda: self._settings.change(version, changes, preview=preview))
        if not preview:
            log.info("web: %s changed settings", self._access.client_address(request))
        return json_answer(answer)
