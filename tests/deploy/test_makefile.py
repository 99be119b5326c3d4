"""Tests the Makefile: values reach programs unchanged, and mistakes get one sentence.

The programs are replaced by one that records its arguments; the Makefile and the shell are real.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TAKES = {
    target: names.split()
    for target, names in re.findall(r"^TAKES_([a-z0-9-]+) := *(.*)$", MAKEFILE, re.M)
}
NASTY = (
    "rtsp://u:p@ss@cam/a b?channel=1&subtype=0;touch pwned #$HOME "
    "$(touch pwned) `touch pwned` \"q\" 'r' \\ *"
)
RECORDER = """\
#!{python}
import json, os, sys
words = sys.argv[1:]
if "-c" in words:
    os.execv({python!r}, [{python!r}, *words])
passed = ("CYCLES", "PASSWORD", "KEY", "WINDOW", "BESIDE")
names = [name for name in os.environ if name.startswith("MIEN_") or name in passed]
kept = {{name: os.environ[name] for name in names}}
read = "".join(sys.stdin) if "hash-password" in words else ""
with open({log!r}, "a") as log:
    print(json.dumps([words, kept, read]), file=log)
if "hash-password" in words:
    print("scrypt:hash")
if "new-token" in words:
    print("token, shown only now: the-token\\nweb.token, for the configuration: sha256:hash")
sys.exit(2 if "check-config" in words and "MIEN_WEB_TOKEN" not in os.environ else 0)
"""


class Checkout:
    """A folder with the Makefile, in which every Python is a recorder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "check out"
        self.log = folder / "log"
        (self.folder / "models").mkdir(parents=True)
        shutil.copy(ROOT / "Makefile", self.folder)
        for name in ("full_range_sparse", "short_range"):
            (self.folder / f"models/face_detection_{name}.tflite").touch()
        pythons = [f".venv/{name}/bin/python" for name in ("edge", "train", "dev", "mediapipe")]
        for path in (*pythons, "bin/python3", "my py'thon$"):
            program = self.folder / path
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(RECORDER.format(python=sys.executable, log=str(self.log)))
            program.chmod(0o755)

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            ["make", *words],
            cwd=self.folder,
            env={"PATH": path, "HOME": "/nowhere", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[tuple[list[str], dict[str, str], str]]:
        """Return the arguments, variables and input of each program that was run."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def words_of(self, command: str) -> list[str]:
        """Return the arguments of the last program run with `command` among them."""
        return next(words for words, _, _ in reversed(self.calls()) if command in words)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize(
    ("target", "name"), [(target, name) for target, names in TAKES.items() for name in names]
)
def test_every_value_arrives_as_it_was_typed(checkout: Checkout, target: str, name: str) -> None:
    value = {"PYTHON": "./my py'thon$", "DETECTOR": "mediapipe"}.get(name, NASTY)
    needed = {"classify": ("FILE=x",), "camera": ("NAME=x", "PORT=1")}.get(target, ())
    others = [word for word in needed if not word.startswith(f"{name}=")]
    done = checkout.make(target, *others, f"{name}={value}")
    assert done.returncode == 0, done.stderr
    assert not list(checkout.folder.rglob("pwned"))
    if name == "PYTHON":
        return
    received = [
        text for words, kept, read in checkout.calls() for text in (*words, *kept.values(), read)
    ]
    assert any(value in text for text in received), received
    assert value not in done.stdout + done.stderr


def test_a_camera_address_reaches_the_daemon_whole(checkout: Checkout) -> None:
    source = "rtsp://me:se$cret@10.0.0.9/cam?channel=1&subtype=0"
    done = checkout.make("run", f"SOURCE={source}", "PORT=9000")
    words = checkout.words_of("run")
    assert words[words.index("run") :] == [
        *("run", "--config", "config.yaml"),
        *("--set", f"camera.source={source}", "--set", "web.port=9000"),
    ]
    assert "cret" not in done.stdout + done.stderr


def test_a_password_is_hashed_and_never_shown(checkout: Checkout) -> None:
    for given in (("PASSWORD=pa ss$word'\"",), ()):
        environment = {} if given else {"PASSWORD": "pa ss$word'\""}
        done = checkout.make("run", "HOST=0.0.0.0", *given, **environment)
        assert "ss$word" not in done.stdout + done.stderr
        assert [read for words, _, read in checkout.calls() if "hash-password" in words] == [
            "pa ss$word'\"\n"
        ]
        words, variables, _ = checkout.calls()[-1]
        assert "web.host=0.0.0.0" in words
        assert variables == {"MIEN_WEB_PASSWORD": "scrypt:hash"}
        assert "ss$word" not in str(words)
        checkout.log.unlink()


def test_the_network_without_a_password_gets_a_token(checkout: Checkout) -> None:
    done = checkout.make("run", "HOST=0.0.0.0")
    assert done.stdout.count("the-token") == 1
    assert checkout.calls()[-1][1] == {"MIEN_WEB_TOKEN": "sha256:hash"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "source=demo"), "`make run` takes no source=; it takes: CONFIG="),
        (("run", "EPOCHS=3"), "`make run` takes no EPOCHS=; it takes: CONFIG="),
        (("test", "NAME=x"), "`make test` takes no NAME=; it takes: COVERAGE="),
        (("help", "PORT=1"), "`make help` takes no PORT=; it takes: no variables"),
        (("classify",), "make classify FILE=party.jpg"),
        (("camera", "NAME=door"), "sudo make camera NAME=door SOURCE=/dev/video2 PORT=8081"),
    ],
)
def test_a_wrong_move_is_one_sentence(
    checkout: Checkout, words: tuple[str, ...], sentence: str
) -> None:
    done = checkout.make(*words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stdout == ""
    assert not [each for each, _, _ in checkout.calls() if "deploy.environment" not in each]


@pytest.mark.parametrize("target", ["run", "train", "test", "install", "doctor"])
def test_another_python_is_refused_first(checkout: Checkout, target: str, tmp_path: Path) -> None:
    old = tmp_path / "python 3.10"
    old.write_text("#!/bin/sh\necho 3.10\n")
    old.chmod(0o755)
    for name, what in ((str(old), "is Python 3.10"), ("/nowhere/python", "cannot be run")):
        done = checkout.make(target, f"PYTHON={name}")
        assert done.returncode == 2
        sentence = f"PYTHON={name} {what}; install Python 3.11, 3.12 or 3.13 and name it: "
        assert f"{sentence}make {target} PYTHON=python3.13" in done.stderr
        assert not checkout.calls()


def test_a_bundle_is_made_for_the_devices_python(checkout: Checkout) -> None:
    for blazeface in checkout.folder.glob("models/*.tflite"):
        blazeface.unlink()
    for given, wanted in (("3.11", "3.11"), ("python3.12", "3.12"), ("", "3.13")):
        done = checkout.make("bundle", "ARCH=x86_64", *([f"PYTHON={given}"] if given else []))
        assert done.returncode == 0, done.stderr
        assert any("models/fetch_blazeface.py" in words for words, _, _ in checkout.calls())
        assert checkout.words_of("deploy.bundle")[-4:] == ["--arch", "x86_64", "--python", wanted]


def test_variables_of_the_environment_change_nothing(checkout: Checkout) -> None:
    done = checkout.make("train", NAME="DESKTOP-1", DATA="/elsewhere", EPOCHS="1")
    assert done.returncode == 0
    words = checkout.words_of("fit")
    assert words[words.index("fit") + 1 :] == [
        *("--name", "expression", "--arch", "compact", "--", "data/fer2013")
    ]


def test_help_shows_first_what_matters_first(checkout: Checkout) -> None:
    shown = re.findall(r"^  make ([a-z0-9-]+)", checkout.make().stdout, re.M)
    assert shown[:6] == ["run", "classify", "doctor", "train", "convert", "test"]
    described = re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.M)
    assert sorted(shown) == sorted(described)
    assert set(TAKES) <= {*described, "help"}


def test_every_target_has_help_and_takes_what_its_recipe_reads() -> None:
    (phony,) = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, re.M)
    internal = {"python", "edge", "dev", "training", "other-runtimes"}
    recipes = dict(re.findall(r"^([a-z0-9-]+):.* ## .*\n((?:\t.*\n?)*)", MAKEFILE, re.M))
    assert {*recipes} == {*phony.replace("\\\n", " ").split()} - internal
    for target, recipe in recipes.items():
        read = set(re.findall(r"\$\$\{?(?!MIEN_)([A-Z][A-Z_]+)", recipe))
        assert read <= {"PYTHON", *TAKES.get(target, [])}, target


def test_an_environment_of_another_version_is_made_anew(tmp_path: Path) -> None:
    """Uses the real Python and an environment without packages."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n')
    script = (
        "import deploy.environment as e;"
        "e.ENVIRONMENTS['edge'] = e.Environment('nothing', ());"
        "raise SystemExit(e.main(['edge']))"
    )
    python = folder / ".venv/edge/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.10\n")
    python.chmod(0o755)

    def make() -> str:
        words = [sys.executable, "-B", "-c", script]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout

    assert "it has Python 3.10, not 3." in make()
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("Python 3.1")
    assert make() == ""
