"""What the README says, checked against the project."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from jsonschema import Draft202012Validator
from support.paths import ROOT

README = (ROOT / "README.md").read_text()
CARD = (ROOT / "models" / "expression.md").read_text()


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"make ([a-z][a-z-]*)", README))
    assert {"run", "train", "convert", "test", "check", "bench"} <= named
    assert named <= targets


def test_it_is_short_enough_to_be_read() -> None:
    assert len(README.split()) <= 1050, "move details to docs/"


def test_every_file_it_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_its_event_is_one_by_the_schema() -> None:
    (line,) = re.findall(r"^\{.*\}$", README, re.M)
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(line))


def test_its_comparison_is_the_benchmarks() -> None:
    table = (ROOT / "benchmarks" / "results.md").read_text().split("\n\n")[1]
    assert table in README


def test_its_accuracy_is_the_model_cards() -> None:
    (figures,) = re.findall(r"^This model (.+)$", CARD, re.M)
    assert f"The shipped model {figures}" in " ".join(README.split()), "copy it from the card"


def test_the_model_card_is_the_shipped_files() -> None:
    """Else `make evaluate` is due."""
    content = (ROOT / "models" / "expression.tflite").read_bytes()
    report = json.loads((ROOT / "models" / "expression.report.json").read_text())
    figures = report["variants"]["int8"]["trials"]["test images"]
    assert hashlib.sha256(content).hexdigest() in CARD
    assert f"{len(content):,} bytes" in CARD
    assert f"| {report['samples']:,} | {100 * figures['accuracy']:.2f} % |" in CARD


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/stream.mjpg",
        "/snapshot.jpg",
        "/state",
        "/events",
        "/events.csv",
        "/api/classify",
        "/healthz",
        "/metrics",
    ],
)
def test_every_path_is_described(path: str) -> None:
    assert f"`{path}`" in README
