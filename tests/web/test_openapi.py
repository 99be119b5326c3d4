"""The daemon's answers, held against docs/openapi.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
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
    served = set(re.findall(r'"(/[a-z./]*)"', source)) - {"/healthz/"}
    assert served == set(OPENAPI["paths"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("api"), "camera.source=demo") as daemon:
        daemon.until(lambda: daemon.state()["faces"])
        yield daemon


@(
    schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
    .exclude(
        path_regex="^/$|stream"  # without end
    )
    .parametrize()
)
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip
def test_the_daemon_answers_as_described(case: schemathesis.Case[Any], running: Daemon) -> None:
    """Schemathesis makes requests up from the description, and holds the answers against it."""
    case.call_and_validate(base_url=running.url, checks=CHECKS, timeout=30)
