"""Tests `mien classify` in several processes and on Ray: the same results, also of lost workers."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.classify import TIMEOUT_S, classify, records
from support.clips import read_clip, write_clip
from support.paths import ROOT
from support.waiting import until

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def test_several_processes_print_the_same(
    people_album: Path, classified: subprocess.CompletedProcess[str]
) -> None:
    done = classify(people_album, "--workers", "2")
    assert done.stdout == classified.stdout
    assert done.returncode == 1
    assert "leaked" not in done.stderr


needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NOT TESTED: classify --ray; Ray is not installed (make test-ray installs it)",
)


@pytest.fixture
def patient_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine needs longer to start a cluster."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "100")
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "100000")


@pytest.mark.long
@needs_ray
@pytest.mark.usefixtures("patient_ray")
def test_a_ray_cluster_prints_the_same(
    people_album: Path, classified: subprocess.CompletedProcess[str]
) -> None:
    done = classify(people_album, "--ray", "local")
    assert done.stdout == classified.stdout, done.stderr
    assert done.returncode == 1
    assert sum("skipped" in each for each in done.stderr.splitlines()) == 2


def test_without_ray_the_message_names_what_to_install(people_album: Path) -> None:
    without = "import sys; sys.modules['ray'] = None; from edge_daemon.commands import main; "
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            without + f"main(['classify', '--ray', 'auto', {str(people_album)!r}])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "mien: --ray needs Ray: pip install '.[ray]'" in done.stderr
    assert not done.stdout


def worker_ids(process: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the processes that read files for `process`."""
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    children = [pid for each in threads for pid in (each / "children").read_text().split()]
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, line in lines.items() if b"spawn_main" in line]


@pytest.fixture
def endless(people_album: Path, tmp_path: Path) -> Path:
    """Return a folder of two videos that take long to read, and two pictures after them."""
    folder = tmp_path / "endless"
    folder.mkdir()
    pictures = read_clip(people_album / "clip.avi")[0] * 4
    clip = write_clip(tmp_path / "clip.ts", pictures, fps=25, codec="mpeg2video")
    for name in ("a.ts", "b.ts"):
        (folder / name).write_bytes(clip.read_bytes() * 200)
    for name in ("c.jpg", "d.jpg"):
        (folder / name).write_bytes((people_album / "first.jpg").read_bytes())
    return folder


@pytest.fixture
def reading(endless: Path) -> Iterator[subprocess.Popen[str]]:
    """`classify` with two workers, which are at work on the videos."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_daemon", "classify", endless, "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(worker_ids(process)) == 2, timeout_s=TIMEOUT_S)
    yield process
    process.kill()
    process.communicate()


def test_a_lost_worker_is_replaced(reading: subprocess.Popen[str], endless: Path) -> None:
    """Whatever kills a worker (the kernel, for lack of memory) ends one file, not the batch."""
    for worker in worker_ids(reading):
        os.kill(worker, signal.SIGKILL)
    printed, errors = reading.communicate(timeout=TIMEOUT_S)
    assert [Path(each["file"]).name for each in records(printed)] == ["c.jpg", "d.jpg"]
    assert all(len(each["faces"]) == 2 for each in records(printed))
    lost = [line for line in errors.splitlines() if "skipped" in line]
    for name, line in zip(("a.ts", "b.ts"), lost, strict=True):
        assert f"{endless / name}: the process that was reading it ended early (SIGKILL)" in line
    assert reading.returncode == 1
    assert "Traceback" not in errors


def ray_readers_of(path: Path) -> list[int]:
    """Return the workers of Ray that have a file open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"ray::"):
                files = (process / "fd").iterdir()
                found += [int(process.name) for each in files if each.readlink() == path]
    return found


@pytest.mark.long
@needs_ray
@pytest.mark.timeout(3 * TIMEOUT_S)
@pytest.mark.usefixtures("patient_ray")
def test_a_lost_worker_of_ray_is_replaced(endless: Path) -> None:
    """Ray reads the file again elsewhere; a file that ends every worker is named at last."""
    (endless / "b.ts").unlink()
    with subprocess.Popen(
        [sys.executable, "-m", "edge_daemon", "classify", endless, "--ray", "local"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        killed: set[int] = set()
        try:
            while process.poll() is None:
                for worker in ray_readers_of(endless / "a.ts"):
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                        killed.add(worker)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            process.kill()
        printed, errors = process.communicate(timeout=TIMEOUT_S)
    assert [Path(each["file"]).name for each in records(printed)] == ["c.jpg", "d.jpg"], errors
    assert all(len(each["faces"]) == 2 for each in records(printed))
    assert f"{endless / 'a.ts'}: the worker that was reading it was lost" in errors
    assert len(killed) > 1
    assert process.returncode == 1
    assert "Traceback" not in errors


def test_an_early_end_leaves_nothing_behind(reading: subprocess.Popen[str]) -> None:
    workers = worker_ids(reading)
    reading.terminate()
    _, errors = reading.communicate(timeout=TIMEOUT_S)
    assert reading.returncode == 130, errors
    assert "Traceback" not in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
