"""Runs `mien doctor` in a test."""

from __future__ import annotations

import contextlib
import json

import pytest

from edge_daemon.commands import main
from edge_daemon.doctor.finding import EXIT_CODES, Finding, worst
from support.paths import ROOT

CONFIG = ROOT / "config.yaml"

Found = dict[str, list[dict[str, str]]]


def doctor(capsys: pytest.CaptureFixture[str], *settings: str) -> Found:
    """Return the findings by check, after checking what every report promises.

    The doctor runs in the checkout, as the README's commands do; config.yaml's paths are relative.
    """
    words = [word for setting in settings for word in ("--set", setting)]
    with contextlib.chdir(ROOT):
        code = main(["doctor", "--json", "--config", str(CONFIG), *words])
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"version", "verdict", "findings"}
    findings = [Finding(**each) for each in report["findings"]]
    assert report["verdict"] == worst(findings)
    assert code == EXIT_CODES[worst(findings)]
    assert all(bool(each.remedy) == (each.verdict != "ok") for each in findings)
    found: Found = {}
    for each in report["findings"]:
        found.setdefault(each["check"], []).append(each)
    return found


def only(found: Found, check: str) -> tuple[str, str, str]:
    """Return verdict, sentence and remedy of the check's only finding."""
    (each,) = found[check]
    return each["verdict"], each["sentence"], each["remedy"]
