"""What all answers have in common: headers, sentences, numbers from the query."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

from flask import Request, Response, request

TEMPLATES: Final = Path(__file__).parent / "templates"


class BadQuery(ValueError):
    """A parameter that cannot be used; the text is one sentence that names it."""


def secured(response: Response) -> Response:
    """Add what keeps browsers from storing pictures and from lending the page to other sites."""
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
    """Other pages may show what they bring a token for; access has looked at it."""
    return "cross-origin" if "token" in asked.args else "same-origin"


def _style_hash() -> str:
    """The sign-in page brings its style along, as nothing else answers yet; CSP by its hash."""
    page = (TEMPLATES / "sign-in.html").read_text()
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = hashlib.sha256(style.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_SIGN_IN_STYLE: Final = _style_hash()


def sentence(status: int, text: str, **headers: str) -> Response:
    """A plain answer of one sentence."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(f"{text}\n", status, named, mimetype="text/plain")


def json_answer(values: Any) -> Response:
    """`values` as JSON; the keys keep their order."""
    body = json.dumps(values, allow_nan=False, ensure_ascii=False)
    return Response(body + "\n", mimetype="application/json")


def number(name: str, low: float, high: float) -> float | None:
    """The query's parameter `name`, `low` to `high`; None where it is not given.

    Raises BadQuery.
    """
    text = request.args.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise BadQuery(f"?{name}= should be a number from {low:g} to {high:g}.")
    return value
