"""Reads the parameters of a request's query, and refuses unknown ones."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from flask import request

from edge_daemon.core.types import rfc3339

# Valid on all paths: the token, and parameters that clients add to bypass caches.
COMMON: Final = frozenset({"token", "t", "_", "cacheBust"})
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
EVENT_ID: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z(/\d{1,9})?", re.ASCII)
DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw])", re.ASCII)
NUMBER: Final = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", re.ASCII)


class BadQuery(ValueError):
    """A parameter cannot be used; the message is one sentence that names it."""


def check_names(known: Collection[str]) -> None:
    """Raise BadQuery if the query has a parameter that is not among `known`."""
    for name in request.args:
        if name in known or name in COMMON or name.isdecimal():
            continue
        close = difflib.get_close_matches(name, known, n=1)
        listed = ", ".join(f"?{each}=" for each in sorted(known)) or "none"
        hint = f"did you mean ?{close[0]}=?" if close else f"known here: {listed}."
        raise BadQuery(f"?{name[:40]}= is not a parameter of {request.path}; {hint}")


def number(name: str, low: float, high: float) -> float | None:
    """Return the parameter `name`, a number from `low` to `high`; None if it is missing.

    Raises BadQuery.
    """
    text = request.args.get(name)
    if text is None:
        return None
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not low <= value <= high:
        raise BadQuery(f"?{name}= should be a number from {low:g} to {high:g}.")
    return value


def choice(name: str, values: Collection[str]) -> str:
    """Return the parameter `name`, one of `values`; the first if it is missing.

    Raises BadQuery.
    """
    given = request.args.get(name, next(iter(values)))
    if given not in values:
        raise BadQuery(f"?{name}= should be {' or '.join(values)}.")
    return given


def names(name: str, known: Collection[str] | None = None) -> frozenset[str]:
    """Return the values of a parameter that may be repeated, or hold several with commas.

    Raises BadQuery for a value that is not among `known`, if that is given.
    """
    values = ",".join(request.args.getlist(name)).split(",")
    found = frozenset(value for value in values if value)
    for value in sorted(found - frozenset(known or found)):
        close = difflib.get_close_matches(value, known or (), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known or ())}."
        raise BadQuery(f"?{name}={value[:40]} is unknown; {hint}")
    return found


def event_id(name: str) -> str:
    """Return the parameter `name`, the id of an event; "" if it is missing. Raises BadQuery."""
    return checked_event_id(request.args.get(name, ""), f"?{name}=")


def checked_event_id(text: str, name: str) -> str:
    """Return `text` if it is the id of an event or empty; messages call it `name`.

    Raises BadQuery.
    """
    if text and EVENT_ID.fullmatch(text) is None:
        raise BadQuery(f"{name} should be the id of an event, like 2026-01-31T12:00:00.000Z/0.")
    return text


def time(name: str) -> str:
    """Return the time `name` in the form of the log; "" if the parameter is missing.

    A duration such as `90m` stands for that long ago. Raises BadQuery.
    """
    text = request.args.get(name, "")
    if not text:
        return ""
    try:
        if found := DURATION.fullmatch(text):
            ago = timedelta(seconds=float(found[1]) * UNITS[found[2]])
            return rfc3339(datetime.now(UTC) - ago)
        at = datetime.fromisoformat(text.replace(" ", "+"))  # a + in a query means a blank
        return rfc3339(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise BadQuery(
            f"?{name}= should be a time like 2026-01-31T12:00:00Z, or how long ago, like 1h."
        ) from None
