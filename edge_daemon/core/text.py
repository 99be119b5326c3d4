"""Escapes text for other programs."""

from __future__ import annotations

from typing import Any


def table_cell(value: Any) -> Any:
    """Return `value` so that no spreadsheet computes it as a formula."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value
