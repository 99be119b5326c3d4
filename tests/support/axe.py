"""Checks the accessibility of pages with axe-core."""

from __future__ import annotations

from typing import Any

import pytest


def axe_finds(page: Any) -> str:
    """Run axe-core with all rules up to WCAG 2.2 AA; return its report of violations."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="NOT TESTED: pip install axe-playwright-python",
    )
    found = axe.Axe().run(page)
    return str(found.generate_report()) if found.violations_count else ""
