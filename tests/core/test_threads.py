"""Threads that report their failure, and the request to stop."""

from __future__ import annotations

import logging
import threading

import pytest

from edge_daemon.core.threads import RestartNeeded, Stop, Worker


def test_the_first_failure_of_a_worker_stops_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RestartNeeded("the driver hangs")

    stop = Stop()
    for _ in range(2):
        worker = Worker("fails", fail, stop.fail)
        worker.start()
        assert stop.event.wait(10)
        assert worker.join(10)
        assert not worker.alive
    assert isinstance(stop.failure, RestartNeeded)
    assert [record.getMessage() for record in caplog.records] == ["the driver hangs"] * 2
    assert all(record.exc_info is None for record in caplog.records)


def test_an_unexpected_failure_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = Stop()
    stop.fail(ZeroDivisionError("unexpected"))
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.exc_info is not None


def test_a_worker_that_was_not_started_can_be_joined() -> None:
    release = threading.Event()

    def wait() -> None:
        release.wait(10)

    worker = Worker("waits", wait, Stop().fail)
    assert worker.join(0)
    worker.start()
    assert worker.alive
    assert not worker.join(0)
    release.set()
    assert worker.join(10)
