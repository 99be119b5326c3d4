"""A pytest plugin that keeps a run from passing without all of its tests.

pytest-xdist runs one test for each node id, so tests that share an id would be lost silently.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C end child processes even if pytest was started with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Completeness(), "completeness")


class Completeness:
    """Fails a run with pytest-xdist in which fewer tests ran than were collected."""

    def __init__(self) -> None:
        self._collected = 0
        self._ran: set[str] = set()
        self._lost = 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:
        self._collected = len(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._ran.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        stopped = session.shouldstop or session.shouldfail
        if self._collected > len(self._ran) and not stopped and session.exitstatus in {0, 1}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self._lost = self._collected - len(self._ran)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._collected:
            terminalreporter.line(f"{len(self._ran)} of {self._collected} collected tests ran")
        if self._lost:
            terminalreporter.line(f"{self._lost} tests were lost: they share a node id", red=True)
