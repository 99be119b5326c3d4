"""Answers /api/calibration, which records and removes the face at rest."""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

from flask import Response, request

from edge_daemon.core.errors import reason_of
from edge_daemon.web.access import Access
from edge_daemon.web.answers import json_answer, sentence

BODY_BYTES: Final = 1000
LEAST_S, MOST_S = 1, 600
DEFAULT_S: Final = 60
OFF: Final = "No face at rest is used: smoothing.calibration is off."
FORM: Final = (
    'Send {"action": "start", "seconds": 60} or {"action": "remove"} as JSON; '
    f"seconds may be {LEAST_S} to {MOST_S}."
)


class RestRecorder(Protocol):
    """Records a face at rest."""

    def report(self) -> dict[str, Any] | None:
        """Return the state; None while calibration is off."""
        ...

    def start(self, duration_s: float) -> None:
        """Record for `duration_s`."""
        ...

    def remove(self) -> None:
        """Cancel the recording, or remove the calibration. Raises OSError."""
        ...


class CalibrationViews:
    """Answers users who may change settings."""

    def __init__(self, calibration: RestRecorder, *, access: Access) -> None:
        self._calibration, self._access = calibration, access

    def api(self) -> Response:
        """Return the state of the calibration; with POST, after an action."""
        if self._calibration.report() is None:
            return sentence(404, OFF)
        if request.method == "POST":
            refused = self._act()
            if refused is not None:
                return refused
        return json_answer(self._calibration.report())

    def _act(self) -> Response | None:
        """Carry out the requested action; return the answer if it is refused."""
        if not self._access.offers_settings:
            return sentence(403, "That needs web.settings, and a password or a token.")
        if request.mimetype != "application/json":  # which no form of another site can send
            return sentence(415, FORM)
        request.max_content_length = BODY_BYTES
        try:
            self._carry_out(json.loads(request.get_data()))
        except (ValueError, RecursionError):
            return sentence(400, FORM)
        except OSError as error:
            return sentence(503, f"The calibration cannot be removed: {reason_of(error)}.")
        return None

    def _carry_out(self, body: Any) -> None:
        """Carry out the action in the body. Raises OSError, and ValueError for unknown actions."""
        match body:
            case {"action": "remove", **rest} if not rest:
                self._calibration.remove()
            case {"action": "start", **rest} if set(rest) <= {"seconds"}:
                seconds: Any = rest.get("seconds", DEFAULT_S)
                if type(seconds) not in {int, float} or not LEAST_S <= seconds <= MOST_S:
                    raise ValueError(seconds)
                self._calibration.start(float(seconds))
            case _:
                raise ValueError(body)
