"""What the documentation says, checked against the project."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from support.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "models/README.md"],
    key=str,
)
FOR_READERS = [page for page in PAGES if page.name != "CHANGELOG.md"]
BRITISH = re.compile(
    r"\b(?:behaviour|colour|licence|centre|grey|neighbour|labelled|favour|judgement|artefact|learnt"
    r"|(?:normal|quant|recogn|synchron|organ|initial|serial|optim|util|minim|maxim)is(?:e|ed|es|ing"
    r"|ation))\w*",
    re.IGNORECASE,
)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", FOR_READERS, ids=relative)
def test_every_make_command_exists_with_its_variables(page: Path) -> None:
    takes = dict(re.findall(r"^TAKES_([a-z0-9-]+) := *(.*)$", MAKEFILE, re.M))
    targets = set(re.findall(r"^([a-z0-9-]+):.* ## ", MAKEFILE, re.M))
    commands = re.findall(
        r"(?:`|^ {4}(?:sudo )?|&& (?:sudo )?)make ([a-z][a-z0-9-]*)([^`\n#]*)",
        page.read_text(),
        re.M,
    )
    for target, rest in commands:
        assert target in targets, target
        given = set(re.findall(r"\b([A-Z][A-Z_]*)=", rest))
        assert given <= {"PYTHON", *takes.get(target, "").split()}, f"make {target}{rest}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_the_spelling_is_american(page: Path) -> None:
    assert not BRITISH.findall(page.read_text().replace("GREY", ""))  # a format of V4L2


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def test_every_decision_is_indexed_by_its_title() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    for page in sorted((ROOT / "docs/adr").glob("0*.md")):
        number, _, title = page.read_text().splitlines()[0].removeprefix("# ").partition(". ")
        assert f"\n{number}. [{title}]({page.name})" in index, page.name


def test_the_events_shown_are_ones_by_the_schema() -> None:
    schema = json.loads((ROOT / "docs/events.schema.json").read_text())
    lines = re.findall(r'^\{"schema".*\}$', (ROOT / "docs/events.md").read_text(), re.M)
    assert lines
    for line in lines:
        Draft202012Validator(schema).validate(json.loads(line))


def test_the_threat_model_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 10
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_paths_of_the_api_page_are_those_of_the_description() -> None:
    page = (ROOT / "docs/api.md").read_text()
    described = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    named = set(re.findall(r"`(/[\w./]*)`", page))
    assert len(named) > 10
    assert named <= set(described)


def test_the_workflow_calls_the_targets_of_ci() -> None:
    """`.ci/run` and the workflow must check the same."""
    ours = set(re.findall(r"^make ([a-z-]+)", (ROOT / ".ci/run").read_text(), re.M))
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    theirs = set(re.findall(r"make ([a-z-]+)", workflow))
    assert ours <= theirs | {"scan"}
    for path in (ROOT / ".github").rglob("*.yml"):
        assert yaml.safe_load(path.read_text()), path
