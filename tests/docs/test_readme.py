"""What the README says, checked against the project."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile

import pytest
from jsonschema import Draft202012Validator
from support.paths import ROOT

README = (ROOT / "README.md").read_text()
CARD = (ROOT / "models" / "expression.md").read_text()


NEWCOMER, INSTALLED = "tests/docs/test_newcomer.py", "tests/deploy/test_clean_machine.py"
# The start of each command of the README, and the file and name of the test that runs it.
RUN_BY = {
    "make run": (NEWCOMER, "test_the_first_command_gives_a_page"),
    "make run SOURCE=": (NEWCOMER, "test_a_source_is_used"),
    "make run HOST=": (NEWCOMER, "test_the_network_can_watch_with_the_token"),
    "make classify FILE=": (NEWCOMER, "test_a_picture_is_classified"),
    "make doctor": (NEWCOMER, "test_the_doctor_finds_no_error"),
    "curl -s": (NEWCOMER, "test_the_first_command_gives_a_page"),
    "make explore DATA=": (NEWCOMER, "test_a_network_is_trained_converted_and_run"),
    "make train DATA=": (NEWCOMER, "test_a_network_is_trained_converted_and_run"),
    "make convert": (NEWCOMER, "test_a_network_is_trained_converted_and_run"),
    "make evaluate DATA=": (NEWCOMER, "test_a_network_is_trained_converted_and_run"),
    "make run MODEL=": (NEWCOMER, "test_a_network_is_trained_converted_and_run"),
    "sudo make install": (INSTALLED, "test_the_readmes_installation"),
    "sudo mien doctor": (INSTALLED, "test_the_readmes_installation"),
    "systemctl status edge-daemon": (INSTALLED, "test_the_readmes_installation"),
    "sudo nano /etc/mien/config.yaml": (INSTALLED, "test_the_readmes_installation"),
    "git pull && sudo make upgrade": (INSTALLED, "test_the_readmes_installation"),
    "make test": (".ci/run", "make test"),
    "make check": (".ci/run", "make check"),
}


def test_every_command_is_run_by_a_test() -> None:
    used = set()
    for line in re.findall(r"^ {4}(\S.*)$", README, re.M):
        start = max((each for each in RUN_BY if line.startswith(each)), key=len, default="")
        assert start, f"no test runs: {line}"
        path, name = RUN_BY[start]
        assert name in (ROOT / path).read_text(), start
        used.add(start)
    assert used == set(RUN_BY)


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


def test_its_smallest_face_is_the_benchmarks() -> None:
    report = (ROOT / "benchmarks" / "detection.md").read_text()
    still, live = re.findall(r"^\| 25 px in 640×480 \| (\d+) \| (\d+) \|", report, re.M)[0]
    sentence = (
        f"Of those 25 pixels wide in 640×480, {still} % are found in a still picture and "
        f"{live} % are shown within a second live"
    )
    assert sentence in " ".join(README.split()), "copy it from benchmarks/detection.md"


@pytest.mark.parametrize("name", ["expression", "expression-fer2013"])
def test_the_model_card_is_the_shipped_files(name: str) -> None:
    """Otherwise run `make evaluate`."""
    models = ROOT / "models"
    content, card = (models / f"{name}.tflite").read_bytes(), (models / f"{name}.md").read_text()
    report = json.loads((models / f"{name}.report.json").read_text())
    figures = report["variants"]["int8"]["trials"]["test images"]
    assert hashlib.sha256(content).hexdigest() in card
    assert f"{len(content):,} bytes" in card
    assert f"| {report['samples']:,} | {100 * figures['accuracy']:.2f} % |" in card
    assert len(content) <= 1_000_000


def test_the_shipped_models_learned_what_their_cards_say() -> None:
    for name, learned in (("expression", "FER+"), ("expression-fer2013", "FER2013")):
        with zipfile.ZipFile(ROOT / "models" / f"{name}.tflite") as archive:
            spec = json.loads(archive.read("spec.json"))
        assert spec["dataset"]["annotations"] == learned
        assert (
            f"| dataset: annotations | {learned} |" in (ROOT / "models" / f"{name}.md").read_text()
        )


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
