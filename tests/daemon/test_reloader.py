"""Tests the switch to another configuration, and when a file counts as changed."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

import pytest

from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError
from edge_daemon.core.parts import Apply, Part
from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Command
from edge_daemon.reload import ConfigChange, FileWatch, Reloader


def test_a_file_counts_as_changed_once_and_when_it_has_settled(tmp_path: Path) -> None:
    path, new = tmp_path / "m", tmp_path / "new"
    path.write_bytes(b"one")
    watch = FileWatch(path)
    assert not watch.changed()
    path.write_bytes(b"in the making")
    assert not watch.changed()
    path.write_bytes(b"in the making, longer")
    assert not watch.changed()
    assert watch.changed()
    assert not watch.changed()
    path.unlink()
    assert not watch.changed()
    new.write_bytes(b"other")
    new.replace(path)
    assert [watch.changed() for _ in range(3)] == [False, True, False]


class Recorder(Part[Config]):
    """A part that remembers whether it was to blur, and refuses a quality of 1."""

    name = "recorder"

    def __init__(self) -> None:
        self.blurs: list[bool] = []

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def adopt(self, config: Config) -> Apply:
        if config.stream.quality == 1:
            raise UserError("the quality is too low")
        return lambda: self.blurs.append(config.privacy.blur_faces)


def test_a_change_on_the_page_ends_what_a_command_held(tmp_path: Path) -> None:
    part, stored = Recorder(), []
    commands: Backlog[Command] = Backlog(1)
    changes: SimpleQueue[ConfigChange] = SimpleQueue()
    reloader = Reloader(
        running=Config(), load=Config, parts=[part], commands=commands, changes=changes,
        model=tmp_path / "none",
    )  # fmt: skip
    commands.put(Command("privacy.blur_faces", value=True))
    reloader.run_commands()
    reloader.reload()  # the command holds over it
    change = ConfigChange({"privacy.blur_faces": False}, lambda: stored.append("change"))
    changes.put(change)
    reloader.run_changes()
    change.done.result(0)
    reloader.reload()
    assert part.blurs == [True, True, False, False]
    refused = ConfigChange({"stream.quality": 1}, lambda: stored.append("refused"))
    canceled = ConfigChange({"stream.quality": 2}, lambda: stored.append("canceled"))
    assert canceled.done.cancel()
    for each in (refused, canceled):
        changes.put(each)
    reloader.run_changes()
    with pytest.raises(UserError, match="the quality is too low"):
        refused.done.result(0)
    assert stored == ["change"]
