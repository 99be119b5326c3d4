"""The daemon answers as docs/openapi.yaml describes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from support.daemon import Daemon
from support.paths import ROOT

EXAMPLES = int(os.environ.get("MIEN_EXAMPLES", "10"))  # of requests to each path
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
OPENAPI = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())


def test_every_path_is_described_and_every_description_is_served() -> None:
    source = (ROOT / "edge_daemon" / "web" / "app.py").read_text()
    served = set(re.findall(r'Route\("(/[a-z./]*)"', source))
    assert served == set(OPENAPI["paths"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("api")
    config = Path(shutil.copy(ROOT / "config.yaml", folder))  # which requests may change
    settings = ("camera.source=demo", "web.settings=true", f"model={ROOT}/models/expression.tflite")
    with Daemon(folder, *settings, config=config) as daemon:
        daemon.until(lambda: daemon.state()["faces"])
        yield daemon


# One test for each path, without those that stream endlessly. Schemathesis' own parametrize() would
# give them all one node id, of which pytest-xdist runs one.
SCHEMA = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
OPERATIONS = [
    (path, method)
    for path, methods in OPENAPI["paths"].items()
    for method in methods
    if path != "/" and "stream" not in path
]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_daemon_answers_as_described(path: str, method: str, running: Daemon) -> None:
    """Schemathesis makes requests from the description and checks the answers against it."""

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=SCHEMA[path][method.upper()].as_strategy())
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=running.url, checks=CHECKS, timeout=30)

    check()
