"""The slot for the newest value, and the bounded backlog."""

from __future__ import annotations

import threading

import pytest

from edge_daemon.core.slots import Backlog, Closed, Latest


def test_a_reader_gets_the_newest_value_and_overwritten_ones_are_counted() -> None:
    slot: Latest[str] = Latest()
    for value in "abc":
        slot.put(value)
    assert slot.get(0, 0.1) == (3, "c")
    assert slot.overwritten == 2
    assert slot.get(3, 0.01) is None


def test_two_readers_get_the_same_value() -> None:
    slot: Latest[int] = Latest()
    slot.put(7)
    assert slot.get(0, 0.1) == slot.get(0, 0.1) == (1, 7)
    slot.put(8)
    assert slot.overwritten == 0


def test_a_writer_can_wait_until_its_value_is_taken() -> None:
    slot: Latest[int] = Latest()
    slot.put(1)
    assert not slot.wait_taken(0.01)
    reader = threading.Thread(target=slot.get, args=(0, 5))
    reader.start()
    assert slot.wait_taken(5)
    reader.join()


def test_closing_wakes_a_waiting_reader() -> None:
    slot: Latest[int] = Latest()
    threading.Timer(0.05, slot.close).start()
    with pytest.raises(Closed):
        slot.get(0, 10)


def test_the_backlog_keeps_the_order_and_drops_the_oldest() -> None:
    backlog: Backlog[int] = Backlog(3)
    for value in range(5):
        backlog.put(value)
    assert [backlog.get(0) for _ in range(4)] == [2, 3, 4, None]
    assert backlog.dropped == 2


def test_queued_items_can_be_taken_after_closing() -> None:
    backlog: Backlog[int] = Backlog(3)
    backlog.put(1)
    backlog.close()
    drained = [backlog.drained]
    assert backlog.get(1) == 1
    drained.append(backlog.drained)
    assert drained == [False, True]
    assert backlog.get(10) is None
    assert backlog.wait_closed(0)
