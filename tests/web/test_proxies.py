"""The examples of docs/proxies.md, run by the real proxies, with two cameras behind each."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest
import yaml
from support.certificate import make_certificate
from support.paths import ROOT
from support.ports import free_port
from support.waiting import until
from support.website import Site, read_part, view

from edge_daemon.web.credentials import hash_password

PASSWORD = "a long pass phrase"  # noqa: S105
NAME = "localhost"  # which resolves everywhere
SHOWN = "() => document.getElementById('picture').naturalWidth === 160"


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Proxy:
    """A running proxy: its port, its certificate, and the two sites behind it."""

    def __init__(self, port: int, authority: Path, sites: list[Site]) -> None:
        self.port, self.sites = port, sites
        self.context = ssl.create_default_context(cafile=str(authority))

    def url(self, path: str) -> str:
        return f"https://{NAME}:{self.port}{path}"

    def browser(self) -> tuple[urllib.request.OpenerDirector, CookieJar]:
        """Return an HTTP client with a jar for cookies of its own."""
        jar = CookieJar()
        cookies = urllib.request.HTTPCookieProcessor(jar)
        https = urllib.request.HTTPSHandler(context=self.context)
        return urllib.request.build_opener(cookies, https), jar

    def login(self, camera: str) -> tuple[urllib.request.OpenerDirector, CookieJar]:
        """Sign in as the page's form does."""
        opener, jar = self.browser()
        form = urlencode({"password": PASSWORD}).encode()
        origin = {"Origin": f"https://{NAME}:{self.port}"}
        request = urllib.request.Request(self.url(f"/{camera}/login"), form, origin)
        with opener.open(request, timeout=20) as page:
            assert page.url == self.url(f"/{camera}/")
            assert b"Automated expression analysis" in page.read()
        return opener, jar


@contextmanager
def two_cameras(folder: Path) -> Iterator[list[Site]]:
    """Two guarded sites, set up as docs/proxies.md says."""
    with ExitStack() as stack:
        sites = []
        for number in (1, 2):
            home = folder / f"cam{number}"
            home.mkdir()
            site = Site(
                home,
                password=hash_password(PASSWORD),
                hosts=("cam.example",),
                trusted_proxies=("127.0.0.1",),
                settings=True,
            )
            site.camera["name"] = f"Camera {number}"
            site.start()
            stack.callback(site.stop)
            site.views.put(view(number))
            sites.append(site)
        yield sites


@contextmanager
def nginx(folder: Path, sites: list[Site]) -> Iterator[Proxy]:
    tls = make_certificate(folder, NAME)
    port = free_port()
    example = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text()
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("cam.example;", f"{NAME};"),
        ("/etc/ssl/certs/cam.example.pem", str(tls.certificate)),
        ("/etc/ssl/private/cam.example.key", str(tls.key)),
        ("127.0.0.1:8080", f"127.0.0.1:{sites[0].server.port}"),
        ("127.0.0.1:8081", f"127.0.0.1:{sites[1].server.port}"),
    ):
        assert old in example
        example = example.replace(old, new)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "" if os.getuid() else "user root;"
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\n{user}\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{example}\n}}\n"
    )
    words = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with running(words, port):
        yield Proxy(port, tls.certificate, sites)


@contextmanager
def caddy(folder: Path, sites: list[Site]) -> Iterator[Proxy]:
    tls = make_certificate(folder, NAME)
    port = free_port()
    example = (ROOT / "deploy" / "proxy" / "Caddyfile").read_text()
    for old, new in (
        ("cam.example {", f"https://{NAME}:{port} {{\n\ttls {tls.certificate} {tls.key}"),
        ("127.0.0.1:8080", f"127.0.0.1:{sites[0].server.port}"),
        ("127.0.0.1:8081", f"127.0.0.1:{sites[1].server.port}"),
    ):
        assert old in example
        example = example.replace(old, new)
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{example}")
    words = ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with running(words, port, HOME=str(folder)):
        yield Proxy(port, tls.certificate, sites)


@contextmanager
def running(words: list[str], port: int, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        until(lambda: is_open(port) or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:  # Caddy waits for a browser that is still connected
            process.kill()
            process.communicate()


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    if shutil.which(request.param) is None:
        pytest.skip(f"NOT TESTED: {request.param} is not installed")
    start = {"nginx": nginx, "caddy": caddy}[request.param]
    with two_cameras(tmp_path) as sites, start(tmp_path, sites) as proxy:
        yield proxy


def test_one_signs_in_below_a_path_and_for_that_camera_only(proxy: Proxy) -> None:
    opener, jar = proxy.login("cam1")
    (cookie,) = jar
    assert (cookie.path, cookie.secure) == ("/cam1", True)
    with opener.open(proxy.url("/cam1/state"), timeout=20) as answer:
        assert json.load(answer)["camera"]["name"] == "Camera 1"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        opener.open(proxy.url("/cam2/state"), timeout=20)
    other, _ = proxy.login("cam2")
    with other.open(proxy.url("/cam2/state"), timeout=20) as answer:
        assert json.load(answer)["camera"]["name"] == "Camera 2"
    with pytest.raises(urllib.error.HTTPError, match="401"):  # of the page it leads back to
        opener.open(urllib.request.Request(proxy.url("/cam1/logout"), b""), timeout=20)
    assert list(jar) == []


def test_the_path_without_its_slash_leads_to_the_page(proxy: Proxy) -> None:
    opener, _ = proxy.browser()
    request = urllib.request.Request(proxy.url("/cam1"), headers={"Accept": "text/html"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(request, timeout=20)
    assert caught.value.url == proxy.url("/cam1/")
    assert b"Sign in" in caught.value.read()
    caught.value.close()


def test_pictures_and_events_come_through_at_once(proxy: Proxy) -> None:
    """One part and one message at a time: nothing waits for a buffer to fill."""
    opener, _ = proxy.login("cam1")
    site = proxy.sites[0]
    with opener.open(proxy.url("/cam1/stream.mjpg"), timeout=20) as stream:
        for number in range(2, 5):
            read_part(stream)
            site.views.put(view(number))
    request = urllib.request.Request(
        proxy.url("/cam1/events"), headers={"Accept": "text/event-stream"}
    )
    with opener.open(request, timeout=20) as events:
        for number in range(3):
            site.happens("face_start", face=number)
            line = b""
            while not line.startswith(b"data: "):
                line = events.readline()
            assert json.loads(line[6:])["face"] == number


def test_the_lock_out_knows_the_clients(proxy: Proxy) -> None:
    """Both clients are this machine; only the proxy's X-Forwarded-For is trusted."""

    def guess(forwarded: str) -> int:
        connection = http.client.HTTPSConnection(
            NAME, proxy.port, context=proxy.context, timeout=20
        )
        connection.request("GET", "/cam1/state?token=x", headers={"X-Forwarded-For": forwarded})
        status = connection.getresponse().status
        connection.close()
        return status

    statuses = [guess(f"192.0.2.{number}") for number in range(7)]
    assert statuses[-2:] == [429, 429]


def test_the_page_works_below_a_path(proxy: Proxy, chromium: Any) -> None:
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    with proxy.sites[0].camera_running():
        page.goto(proxy.url("/cam1/"))
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("#pill[data-state=ok]")
        page.wait_for_function(SHOWN)
        assert page.inner_text("#camera-name") == "Camera 1"
        page.click("text=Sign out")
        page.wait_for_selector("#password")
    context.close()


def test_nothing_leaves_the_path_and_two_cameras_have_two_sessions(
    proxy: Proxy, chromium: Any
) -> None:
    """All pages of two cameras in one browser, and everything that their scripts ask for."""
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with proxy.sites[0].camera_running(), proxy.sites[1].camera_running():
        for camera in ("cam2", "cam1"):
            asked.clear()
            page.goto(proxy.url(f"/{camera}/"))
            page.fill("#password", PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_selector("#pill[data-state=ok]")
            page.wait_for_function(SHOWN)
            for name, wanted in (
                ("History", "history?"),
                ("Settings", "api/settings"),
                ("Live", "events?live=1"),
            ):
                address = proxy.url(f"/{camera}/{wanted}")
                with page.expect_request(lambda each, to=address: each.url.startswith(to)):
                    page.click(f"nav >> text={name}")
                assert page.url.startswith(proxy.url(f"/{camera}/"))
            page.wait_for_selector("#pill[data-state=ok]")
            for link in page.locator("a[href]").evaluate_all("all => all.map(a => a.href)"):
                assert link.startswith((proxy.url(f"/{camera}/"), "https://github.com/"))
            paths = {url.removeprefix(proxy.url("")) for url in asked}
            assert {
                each for each in paths if not each.startswith((f"/{camera}/", "data:"))
            } == set()
            for wanted in ("login", "static/", "stream.mjpg"):
                assert any(path.startswith(f"/{camera}/{wanted}") for path in paths), wanted
        description = yaml.safe_load(context.request.get(proxy.url("/cam1/openapi.yaml")).text())
        base = urljoin(proxy.url("/cam1/openapi.yaml"), description["servers"][0]["url"])
        assert base == proxy.url("/cam1/")
        assert {each["path"] for each in context.cookies()} == {"/cam1", "/cam2"}
        page.click("text=Sign out")
        page.wait_for_selector("#password")
        assert page.url == proxy.url("/cam1/")
        assert context.request.get(proxy.url("/cam1/state")).status == 401
        assert context.request.get(proxy.url("/cam2/state")).status == 200
    context.close()


def test_the_examples_are_in_the_documentation() -> None:
    text = (ROOT / "docs" / "proxies.md").read_text()
    for name in re.findall(r"\(\.\./(deploy/proxy/[^)]+)\)", text):
        assert (ROOT / name).exists()
