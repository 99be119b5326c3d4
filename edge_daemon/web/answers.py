"""Makes answers: sentences and JSON, with the security headers of all answers."""

from __future__ import annotations

import base64
import hashlib
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from flask import Request, Response, request

TEMPLATES: Final = Path(__file__).parent / "templates"
PROBLEM_TYPE: Final = "application/problem+json"  # RFC 9457


def secured(response: Response) -> Response:
    """Add headers that keep browsers from storing pictures, and other sites from using the page."""
    response.headers.extend(
        {
            "Content-Security-Policy": (
                "default-src 'none'; img-src 'self' data: blob:; script-src 'self'; "
                f"style-src 'self' {_SIGN_IN_STYLE}; connect-src 'self'; media-src 'self' blob:; "
                "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            ),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": _resource_policy(request),
            "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
    )
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _resource_policy(asked: Request) -> str:
    """Let other sites show an answer if the request had a token, which `Access` has checked."""
    return "cross-origin" if "token" in asked.args else "same-origin"


def _style_hash() -> str:
    """Return the CSP source of the sign-in page's style.

    The page contains its style, because no other file is served before the sign-in.
    """
    page = (TEMPLATES / "sign-in.html").read_text()
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = hashlib.sha256(style.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_SIGN_IN_STYLE: Final = _style_hash()


def sentence(status: int, text: str, **headers: str) -> Response:
    """Answer with one sentence: as plain text, or as problem details to clients that want JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if status >= HTTPStatus.BAD_REQUEST and _wants_json(request):
        problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": text}
        body = json.dumps(problem, ensure_ascii=False)
        return Response(f"{body}\n", status, named, mimetype=PROBLEM_TYPE)
    return Response(f"{text}\n", status, named, mimetype="text/plain")


def _wants_json(asked: Request) -> bool:
    """Return whether the client names JSON in Accept, and prefers it to plain text."""
    accepted = asked.accept_mimetypes
    named = any(kind in {"application/json", PROBLEM_TYPE} for kind, _ in accepted)
    return named and accepted["application/json"] >= accepted["text/plain"]


def json_answer(values: Any) -> Response:
    """Answer with `values` as JSON; the keys keep their order."""
    body = json.dumps(values, allow_nan=False, ensure_ascii=False)
    return Response(body + "\n", mimetype="application/json")
