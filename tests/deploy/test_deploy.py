"""Tests the installation as far as possible here; `make test-systemd` tests the rest."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.paths import ROOT

from deploy import release
from deploy.bundle import ARCHITECTURES, PYTHONS
from deploy.health import address
from deploy.installation import add_camera, uninstall, upgrade
from deploy.layout import DeployError, Layout
from deploy.settings import new_settings, quoted, settings, with_values
from edge_daemon.config.file import parse_config
from edge_daemon.config.schema import keys

SAMPLE = (ROOT / "config.yaml").read_text()


def test_the_samples_keys_are_the_configurations() -> None:
    assert sorted(each.key for each in settings(SAMPLE)) == sorted(key.name for key in keys())


def test_a_section_with_a_comment_is_no_setting() -> None:
    text = 'web:      # the page\n  port: 80   # not 8080\n  token: "a # b"\n'
    assert [(each.key, each.value) for each in settings(text)] == [
        ("web.port", "80"),
        ("web.token", '"a # b"'),
    ]


def test_values_are_put_in_and_comments_stay() -> None:
    text = with_values(SAMPLE, {"events.path": "/var/log/e.jsonl", "web.port": "9000"})
    config = parse_config(text, "config.yaml")
    assert (config.events.path, config.web.port) == ("/var/log/e.jsonl", 9000)
    assert config.snapshots.path == "snapshots"
    assert text.count("#") == SAMPLE.count("#")
    assert len(text.splitlines()) == len(SAMPLE.splitlines())
    with pytest.raises(KeyError, match=r"web\.prot"):
        with_values(SAMPLE, {"web.prot": "9000"})


def test_new_keys_are_found_with_their_line() -> None:
    before = SAMPLE.replace("  loop: true", "  lop: true")
    (new,) = new_settings(before, SAMPLE)
    assert new.key == "camera.loop"
    assert new.line.startswith("loop: true  ")


SOURCES = [
    "/dev/video2", "demo", "0", "rtsp://u:p@cam/a?channel=1&subtype=0#t", "my clip #1.mp4",
    "it's \"so\": [x]", "yes", "-1", "back\\slash", " blanks ", "~", "@home", "*.jpg", "a: b",
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_is_written_so_that_yaml_reads_it_back(source: str) -> None:
    text = with_values(SAMPLE, {"camera.source": quoted(source)})
    assert yaml.safe_load(text)["camera"]["source"] == source
    (setting,) = [each for each in settings(text) if each.key == "camera.source"]
    assert yaml.safe_load(setting.value) == source
    assert text.count("#") == SAMPLE.count("#") + source.count("#")


def test_every_requirement_of_a_device_is_locked_for_every_machine() -> None:
    """Renew the locks with `make lock`."""
    wanted = [Requirement(text) for text in release.requirements(ROOT / "pyproject.toml")]
    for arch in ARCHITECTURES:
        for python in PYTHONS:
            lines = (ROOT / release.LOCKS / f"{arch}-{python}.txt").read_text().splitlines()[1:]
            pins = dict(line.split(" --hash=sha256:")[0].split("==") for line in lines)
            for requirement in wanted:
                version = pins[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(version), requirement


def test_a_release_is_the_daemon_its_models_and_its_units() -> None:
    names = {str(path.relative_to(ROOT)) for path in release.contents(ROOT)}
    assert {"models/expression.tflite", "systemd/edge-daemon.service", "config.yaml"} <= names
    assert {"edge_daemon/web/templates/index.html", "deploy/__main__.py"} <= names
    assert not [n for n in names if n.startswith(("train", "convert", "tests")) or "cache" in n]


def test_a_wheel_is_the_daemon_with_its_data_and_nothing_else() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert setuptools["packages"]["find"]["include"] == ["edge_daemon*"]
    data = [
        ROOT / package.replace(".", "/") / pattern
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
    ]
    for path in (ROOT / "edge_daemon").rglob("*"):
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            assert any(path.match(str(pattern)) for pattern in data), path


def test_a_container_is_built_from_all_that_a_release_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    taken = [line.removeprefix("!") for line in lines if line.startswith("!")]
    for file in release.contents(ROOT):
        path = file.relative_to(ROOT)
        assert any(p.match(pattern) for p in (path, *path.parents[:-1]) for pattern in taken), path


def test_where_there_is_no_release_a_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="run this in a checkout or a bundle"):
        release.build(tmp_path, Layout(tmp_path / "root"))


def test_a_bundle_for_another_machine_is_refused(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "platform").write_text("riscv64 3.99\n")
    with pytest.raises(DeployError, match=r"is for riscv64 3\.99, this machine is "):
        release.build(tmp_path, Layout(tmp_path / "root"))


def test_going_over_is_one_step_and_can_be_taken_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in ("1", "2"):
        for folder in ("systemd", "deploy", "edge_daemon/share"):
            shutil.copytree(ROOT / folder, layout.releases / name / folder)
        (layout.releases / name / "systemd/edge-daemon.service").write_text(name)
        release.switch(layout.releases / name, layout)
        assert layout.running_release() == layout.releases / name
    shutil.rmtree(layout.releases / "1/edge_daemon")  # as in 0.1
    page = tmp_path / "usr/local/share/man/man1/mien.1"
    assert page.exists()
    release.switch(layout.releases / "1", layout)
    assert not page.exists()
    assert layout.system_files["systemd/edge-daemon.service"].read_text() == "1"
    release.prune(layout, layout.releases / "1")
    assert [path.name for path in layout.releases.iterdir()] == ["1"]


def test_the_command_is_installed_and_can_be_run(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    made = layout.releases / "1"
    for folder in ("systemd", "deploy", "edge_daemon/share"):
        shutil.copytree(ROOT / folder, made / folder)
    release.switch(made, layout)
    command = tmp_path / "usr/local/bin/mien"
    assert command.stat().st_mode & 0o111 == 0o111
    subprocess.run(["sh", "-n", command], check=True)


def test_uninstalling_removes_the_folders_it_made_and_no_other(tmp_path: Path) -> None:
    others = ["usr/local/bin", "usr/local/share/man", "etc/systemd/system/x.service", "etc/udev"]
    for path in others:
        (tmp_path / path).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    layout = Layout(tmp_path)
    for folder in ("systemd", "deploy", "edge_daemon/share"):
        shutil.copytree(ROOT / folder, layout.releases / "1" / folder)
    release.switch(layout.releases / "1", layout)
    assert (tmp_path / "usr/local/share/zsh/site-functions/_mien").exists()
    uninstall(layout)
    left = sorted(tmp_path.rglob("*"))
    assert left == sorted([*before, tmp_path / "opt"])


@pytest.mark.parametrize(
    ("config", "environment", "expected"),
    [
        (SAMPLE, {}, "http://127.0.0.1:8080/healthz"),
        ("", {}, "http://127.0.0.1:8080/healthz"),
        (with_values(SAMPLE, {"web.port": "9000"}), {}, "http://127.0.0.1:9000/healthz"),
        (SAMPLE, {"MIEN_WEB_PORT": "81"}, "http://127.0.0.1:81/healthz"),
        (SAMPLE, {"MIEN_WEB_TLS_CERTIFICATE": "/c"}, "https://127.0.0.1:8080/healthz"),
        (
            with_values(SAMPLE, {"web.tls_certificate": "/etc/c.pem"}),
            {},
            "https://127.0.0.1:8080/healthz",
        ),
    ],
)
def test_the_health_check_follows_port_and_tls(
    config: str, environment: dict[str, str], expected: str
) -> None:
    assert address(config, environment) == expected


@pytest.mark.parametrize("tls", [False, True])
def test_the_health_check_reports_what_the_daemon_answers(tls: bool, tmp_path: Path) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if healthy else 503)
            self.end_headers()
            self.wfile.write(b"ok" if healthy else b"failing")

        def log_message(self, format: str, *args: object) -> None:
            pass

    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        environment = {"MIEN_WEB_PORT": str(server.server_port), "PYTHONPATH": str(ROOT)}
        if tls:
            words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
            words += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=camera"]
            if shutil.which("openssl") is None:
                pytest.skip("NOT TESTED: openssl is not installed")
            subprocess.run(words, check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            environment["MIEN_WEB_TLS_CERTIFICATE"] = str(certificate)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        check = [sys.executable, "-m", "deploy.health"]
        codes = []
        for healthy in (True, False):  # noqa: B007 - the server reads it
            codes.append(
                subprocess.run(check, cwd=tmp_path, env=environment, check=False).returncode
            )
        server.shutdown()
        thread.join()
    assert codes == [0, 1]
    assert subprocess.run(check, cwd=tmp_path, env=environment, check=False).returncode == 1


def test_a_package_without_debhelper_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.deb", "--output", str(tmp_path / "dist")],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "deb: dpkg-buildpackage and dh not found; fix: sudo apt install dpkg-dev debhelper\n"
    )
    assert not (tmp_path / "dist").exists()


def test_what_is_not_installed_is_not_upgraded_nor_given_a_camera(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="is not installed here"):
        upgrade(Layout(tmp_path))
    with pytest.raises(DeployError, match="is not installed here"):
        add_camera(Layout(tmp_path), "door", "demo", 8081)
    assert not list(tmp_path.iterdir())


def test_a_further_camera_has_what_is_the_same_for_all(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    made = layout.releases / "1.0.0-abc"
    made.mkdir(parents=True)
    shutil.copy(ROOT / "config.yaml", made)
    for folder in ("systemd", "deploy", "edge_daemon/share"):
        shutil.copytree(ROOT / folder, made / folder)
    release.switch(made, layout)
    key = "A" * 43 + "="
    values = {"mqtt.host": "broker", "models.url": "https://models.example/m.json"}
    values |= {"models.key": f'"{key}"', "models.folder": "/var/lib/mien/models"}
    layout.settings.mkdir(parents=True)
    layout.config.write_text(with_values(SAMPLE, values))
    add_camera(layout, "door", "/dev/video2", 8081)
    path = layout.settings / "door.yaml"
    config = parse_config(path.read_text(), str(path))
    assert (config.mqtt.host, config.models.url) == ("broker", "https://models.example/m.json")
    assert (config.models.key, config.models.folder) == (key, "/var/lib/mien/door/models")
    assert (config.web.port, config.camera.source) == (8081, "/dev/video2")


def test_a_terminal_shows_pips_progress_and_a_file_does_not() -> None:
    script = (
        "import sys; from deploy.layout import run_pip;"
        "run_pip([sys.executable, '-m', 'pip', '--version'])"
    )
    words = [sys.executable, "-c", script]
    piped = subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    assert piped.stdout == b""
    outer, inner = os.openpty()
    with os.fdopen(outer, "rb", buffering=0) as terminal:
        subprocess.run(words, cwd=ROOT, stdout=inner, check=True)
        os.close(inner)
        assert terminal.read(1000).startswith(b"pip ")
