"""Runs the README's commands in a fresh clone, and makes a newcomer's usual mistakes.

The clone makes its environment with nothing cached, so it takes minutes: `make test-newcomer`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from support.drawn_faces import write_table
from support.paths import ROOT
from support.ports import free_port
from support.waiting import until

from edge_daemon.capture.demo.scene import Demo

README = (ROOT / "README.md").read_text()
INSTALL_S = 900.0
STOPPED = {0, 2, 130, -signal.SIGINT}  # exit codes of the daemon, of make, and of a shell


def commands(heading: str) -> list[str]:
    """Return the commands of a section, without comments."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line.partition("  #")[0].strip() for line in re.findall(r"^ {4}(\S.*)$", section, re.M)]


class Clone:
    """A fresh clone in which commands are run as a newcomer would type them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "my mien"
        clone = ["git", "clone", "--quiet", str(ROOT), str(self.folder)]
        subprocess.run(clone, check=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        proxies = {
            k: v for k, v in os.environ.items() if k.lower().endswith("_proxy") or "PIP_" in k
        }
        cold = {"HOME": str(folder), "PIP_CACHE_DIR": str(folder / "pip"), "PIP_CONFIG_FILE": ""}
        if Path("/etc/pip.conf").exists() or "PIP_CONFIG_FILE" in os.environ:
            cold.pop("PIP_CONFIG_FILE")
        self.environment = kept | proxies | cold | {"PYTHON": sys.executable}

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, line: str) -> Running:
        return Running(self, line)


class Running:
    """A command that runs until Ctrl-C; use it as a context manager."""

    def __init__(self, clone: Clone, line: str) -> None:
        self.process = subprocess.Popen(
            ["sh", "-c", line],
            cwd=clone.folder,
            env=clone.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.lines += (line.rstrip() for line in iter(lines.readline, ""))

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def url(self) -> str:
        """Return the address that the daemon prints."""

        def printed() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log
            return re.search(r"watch: (http://\S+?)/?$", self.log, re.M)

        found = until(printed, timeout_s=INSTALL_S, describe=lambda: self.log)
        assert found is not None
        return found[1]

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("newcomer")
    yield Clone(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
class TestFreshClone:
    def test_make_lists_the_targets(self, clone: Clone) -> None:
        done = clone.shell("make")
        assert done.returncode == 0
        assert done.stdout.index("make run") < done.stdout.index("make install")

    def test_the_first_command_gives_a_page(self, clone: Clone) -> None:
        first = commands("Try it in a minute")[0]
        assert first == "make run"
        port = free_port()
        with clone.start(f"{first} PORT={port}") as running:
            url = running.url()
            with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
                assert answer.status in {200, 503}
            for line in commands("What you get"):
                assert line.startswith("curl")
                asked = line.replace("http://127.0.0.1:8080", url).replace(
                    "-sN", "-sN --max-time 3"
                )
                done = clone.shell(asked)
                assert done.returncode in {0, 28}, done.stderr  # 28: an endless stream was ended
                assert done.stdout, line
            assert running.interrupt() in STOPPED
        assert "Traceback" not in running.log
        assert any("Downloading" in line for line in running.lines), (
            "the installation shows progress"
        )

    def test_a_source_is_used(self, clone: Clone) -> None:
        with clone.start(f"make run SOURCE=demo PORT={free_port()}") as running:
            with urllib.request.urlopen(f"{running.url()}/snapshot.jpg", timeout=30) as answer:
                assert answer.read(2) == b"\xff\xd8"
            assert running.interrupt() in STOPPED

    def test_the_network_can_watch_with_the_token(self, clone: Clone) -> None:
        with clone.start(
            f"make run HOST=0.0.0.0 SOURCE=demo PORT={(port := free_port())}"
        ) as running:
            running.url()
            token = re.search(r"token=(\S+)", running.log)
            assert token, running.log
            page = f"http://127.0.0.1:{port}/state?token={token[1]}"
            with urllib.request.urlopen(page, timeout=30) as answer:
                assert answer.status == 200
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/state", timeout=30)
            assert running.interrupt() in STOPPED

    def test_a_picture_is_classified(self, clone: Clone) -> None:
        (line,) = [each for each in commands("Try it in a minute") if "classify" in each]
        cv2.imwrite(str(clone.folder / "party.jpg"), Demo(640, 480).render(0.0))
        done = clone.shell(line)
        assert done.returncode == 0, done.stderr
        assert '"label"' in done.stdout

    def test_the_doctor_finds_no_error(self, clone: Clone) -> None:
        done = clone.shell("make doctor CONFIG=config.yaml")
        assert "error " not in done.stdout, done.stdout
        assert "packages:    " in done.stdout

    def test_a_network_is_trained_converted_and_run(self, clone: Clone) -> None:
        """The README's commands on a drawn dataset, which a network learns in seconds."""
        write_table(clone.folder / "fer2013.csv")
        *steps, last = commands("Train your own")
        assert [line.split()[1] for line in steps] == ["explore", "train", "convert", "evaluate"]
        for line in steps:
            typed = line.replace("path/to/fer2013", "fer2013.csv")
            done = clone.shell(f"{typed} EPOCHS=8" if "make train" in line else typed)
            assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        with clone.start(f"{last} SOURCE=demo PORT={free_port()}") as running:
            with urllib.request.urlopen(f"{running.url()}/state", timeout=30) as answer:
                assert b'"name": "expression"' in answer.read().replace(b'":"', b'": "')
            assert running.interrupt() in STOPPED


# What is typed wrong, and a part of the one sentence that answers it.
WRONG_MOVES = [
    (("run", "--config", "missing.yaml"), "missing.yaml"),
    (("run", "--set", "camera.sauce=demo"), "unknown key 'camera.sauce'; did you mean"),
    (("run", "--set", "camera.fps=fast"), "camera.fps"),
    (("run", "--set", "web.host=0.0.0.0"), "web.password"),
    (("run", "--set", "model=missing.tflite"), "missing.tflite"),
    (("run", "--set", "model=config.yaml"), "config.yaml"),
    (("run", "--set", "camera.source=missing.mp4"), "missing.mp4"),
    (("check-config", "--config", "README.md"), "README.md"),
    (("check-config", "--config", "models"), "models"),
    (("sign", "config.yaml", "--version", "1", "--key", "models/no/key"), "config.yaml"),
    (("classify",), "PATH"),
    (("classify", "--workers", "0", "a.jpg"), "--workers"),
    (("ruin",), "ruin"),
]


@pytest.mark.parametrize(("words", "sentence"), WRONG_MOVES, ids=lambda each: " ".join(each)[:40])
def test_a_wrong_move_is_answered_by_a_sentence(
    words: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    events = ("--set", f"events.path={tmp_path}/events.jsonl", "--set", "web.port=0")
    quiet = events if words[0] == "run" else ()
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", *words, *quiet],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
