"""Access control, tested with an attack on each check of a real server."""

from __future__ import annotations

import logging
import random
import re
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.paths import ROOT
from support.website import Site, quick_hash, view

from edge_daemon.config.file import ConfigError, parse_config
from edge_daemon.web.access import Access, AccessPolicy
from edge_daemon.web.credentials import (
    hash_token,
    new_token,
    password_matches,
    token_matches,
)
from edge_daemon.web.server.loop import Loop

PASSWORD = "a long pass phrase"  # noqa: S105
TOKEN = new_token()
FORM = {"Content_Type": "application/x-www-form-urlencoded"}
PATHS = (
    "/", "/stream.mjpg", "/stream", "/?action=stream", "/snapshot.jpg", "/snapshot", "/state",
    "/?action=snapshot", "/events", "/events.csv", "/static/app.js", "/nothing", "//state",
    "/metrics", "/%2e%2e/state", "/healthz/", "/events?live=1", "/openapi.yaml",
)  # fmt: skip


@pytest.fixture(scope="module")
def password_hash() -> str:
    return quick_hash(PASSWORD)


@pytest.fixture
def guarded(tmp_path: Path, password_hash: str) -> Iterator[Site]:
    site = Site(tmp_path, password=password_hash, token=hash_token(TOKEN), max_viewers=8)
    site.start()
    site.views.put(view(1))
    yield site
    site.stop()


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, hosts=("cam.example",))
    site.start()
    site.views.put(view(1))
    yield site
    site.stop()


def login(site: Site, password: str, **headers: str) -> tuple[int, str]:
    """Try to sign in; return the status and the cookie."""
    body = urlencode({"password": password}).encode()
    response = site.send("/login", "POST", body, FORM | headers)
    return response.status, (response.headers["Set-Cookie"] or "").partition(";")[0]


@pytest.mark.parametrize("path", PATHS)
def test_without_a_credential_nothing_answers(guarded: Site, path: str) -> None:
    response = guarded.get(path)
    body = response.body
    assert response.status == 401
    assert b"\xff\xd8" not in body
    assert len(body) < 100
    assert response.headers.get_all("WWW-Authenticate") == [
        'Basic realm="mien", charset="UTF-8"',
        'Bearer realm="mien"',
    ]


def test_without_a_credential_nothing_can_be_sent(guarded: Site) -> None:
    assert guarded.send("/api/classify", "POST", b"\xff\xd8\xff", {}).status == 401
    assert guarded.send("/logout", "POST", b"", {}).status == 401
    assert guarded.send("/state", "OPTIONS", None, {}).status == 401


def test_healthz_is_bare_for_strangers(guarded: Site) -> None:
    guarded.health = (False, "/dev/video0 is gone")
    response = guarded.get("/healthz")
    assert (response.status, response.body) == (503, b"failing\n")


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Basic " + "OnRva2Vu"}, {}],
    ids=["bearer", "wrong basic", "query"],
)
def test_a_token_opens_by_header_or_query(guarded: Site, headers: dict[str, str]) -> None:
    path = "/state" if headers else f"/state?token={TOKEN}"
    wrong = "Basic" in headers.get("Authorization", "")
    assert guarded.get(path, **headers).status == (401 if wrong else 200)


def test_players_may_give_the_token_as_a_password(guarded: Site) -> None:
    manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
    url = f"http://127.0.0.1:{guarded.server.port}/snapshot.jpg"
    manager.add_password(None, url, "any", TOKEN, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    with opener.open(url, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD], ids=["token", "password"])
def test_players_may_wait_for_a_challenge(guarded: Site, secret: str) -> None:
    """The address has name and password, as in http://any:secret@camera/; here by urllib."""
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    url = f"http://127.0.0.1:{guarded.server.port}/snapshot.jpg"
    manager.add_password(None, url, "any", secret)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    with opener.open(url, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"


def test_browsers_get_no_dialog_over_the_page(guarded: Site) -> None:
    browser = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0"}
    for path in ("/state", "/stream.mjpg", "/events"):
        response = guarded.get(path, **browser)
        assert response.status == 401
        assert response.headers.get_all("WWW-Authenticate") == ['Bearer realm="mien"']


def test_a_password_opens_a_session(guarded: Site) -> None:
    status, cookie = login(guarded, PASSWORD)
    assert status == 303
    assert guarded.get("/state", Cookie=cookie).status == 200
    assert guarded.get("/healthz", Cookie=cookie).body == b"ok frames arrive\n"


def test_the_token_in_the_pages_address_becomes_a_cookie(guarded: Site) -> None:
    jar = urllib.request.HTTPCookieProcessor(CookieJar())
    opener = urllib.request.build_opener(jar)
    with opener.open(f"http://127.0.0.1:{guarded.server.port}/?token={TOKEN}") as page:
        assert TOKEN not in page.url
        assert b"Automated expression analysis" in page.read()


def test_cameras_on_other_ports_of_a_machine_have_sessions_of_their_own(guarded: Site) -> None:
    one, other = (
        guarded.get(f"/?token={TOKEN}", Host=f"127.0.0.1:{port}").headers["Set-Cookie"]
        for port in (8080, 8081)
    )
    assert one.partition("=")[0] != other.partition("=")[0]


def test_a_session_cannot_be_forged_or_prolonged(guarded: Site) -> None:
    cookie = guarded.get(f"/?token={TOKEN}").headers["Set-Cookie"].partition(";")[0]
    name, _, value = cookie.partition("=")
    session, made_at, signature = value.split(".")
    for forged in (
        f"{session}.{made_at[:-1]}_.{signature}", f"other.{made_at}.{signature}",
        f"{session}.{made_at}.{'0' * len(signature)}", f"{session}.{made_at}", ".", "..", "ä.ä",
    ):  # fmt: skip
        assert guarded.get("/state", Cookie=f"{name}={forged}").status == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(guarded: Site) -> None:
    cookie = guarded.get(f"/?token={TOKEN}").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_no_token_gets_into_the_log(guarded: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    guarded.facts = {"fps": float("nan")}  # cannot be written as JSON
    assert guarded.get(f"/state?token={TOKEN}").status == 500
    assert guarded.get("/state?token=guessed-secret").status == 401
    with guarded.connect() as client:
        client.sendall(f"GET /?token={TOKEN} NONSENSE\r\n\r\n".encode())
        assert b"400" in client.recv(100)
    assert "/state" in caplog.text
    assert TOKEN not in caplog.text
    assert "guessed-secret" not in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "cam.example.com"])
def test_another_name_is_refused(open_site: Site, host: str) -> None:
    """DNS rebinding: the attacker's name now leads to 127.0.0.1."""
    assert open_site.get("/state", Host=host).status == 421


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080"])
def test_a_name_that_is_not_ours_learns_nothing_from_healthz(open_site: Site, host: str) -> None:
    response = open_site.get("/healthz", Host=host)
    assert (response.status, response.body) == (200, b"ok\n")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8080", "192.0.2.7", "[::1]:80", "cam.example"]
)
def test_our_names_and_addresses_are_not(open_site: Site, host: str) -> None:
    assert open_site.get("/state", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"},
    ],
)
def test_another_site_gets_nothing(open_site: Site, headers: dict[str, str]) -> None:
    for path in ("/state", "/snapshot.jpg", "/stream.mjpg", "/events", "/state?token=made-up"):
        assert open_site.get(path, **headers).status == 403
    assert open_site.send("/api/classify", "POST", b"x", headers).status == 403


def test_a_link_from_another_site_may_open_the_page(open_site: Site) -> None:
    document = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert open_site.get("/", Sec_Fetch_Site="cross-site", **document).status == 200


def test_another_site_may_show_what_it_has_a_token_for(guarded: Site) -> None:
    other = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
    response = guarded.get(f"/snapshot.jpg?token={TOKEN}", **other)
    assert response.status == 200
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    cookie = guarded.get(f"/?token={TOKEN}").headers["Set-Cookie"].partition(";")[0]
    assert guarded.get("/snapshot.jpg", Cookie=cookie, **other).status == 403


def test_nobody_is_signed_in_from_another_site(guarded: Site) -> None:
    assert login(guarded, PASSWORD, Origin="http://evil.example")[0] == 403


@pytest.mark.parametrize(
    "query",
    ["limit=1_0", "limit=%D9%A1", "limit=%2B5", "limit=1e2", "limit=inf", "limit=%205", "limit="],
)
def test_a_number_is_digits(open_site: Site, query: str) -> None:
    answer = open_site.get(f"/events?{query}")
    assert (answer.status, answer.body.startswith(b"?limit= should be a number")) == (400, True)


def test_what_the_framework_refuses_is_a_sentence_too(open_site: Site) -> None:
    answer = open_site.get("/static/app.js", Range="bytes=99999999-")
    assert (answer.status, answer.body) == (416, b"Requested Range Not Satisfiable.\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Range"].startswith("bytes */")


def test_pictures_are_not_cached_nor_lent(open_site: Site) -> None:
    response = open_site.get("/snapshot.jpg")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


def test_hashes_tell_right_from_wrong(password_hash: str) -> None:
    assert password_matches(PASSWORD, password_hash)
    assert not password_matches(PASSWORD + " ", password_hash)
    assert token_matches(TOKEN, hash_token(TOKEN))
    assert not token_matches(new_token(), hash_token(TOKEN))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["web.host=0.0.0.0"], "web.host: 0.0.0.0 lets the network watch; set web.password"),
        (["web.host=::"], "lets the network watch"),
        (["web.password=hunter2"], "should be what `mien hash-password` prints"),
        (["web.token=hunter2"], "new-token"),
        (["web.tls_key=key.pem"], "needed together"),
        (["web.trusted_proxies=[proxy]"], "'proxy' is not an address or a network"),
        (["web.cors_origins=[dash.example]"], "should be an origin such as https://dash.example"),
        (["web.cors_origins=['*']"], "should be an origin"),
        (["web.auth=none", f"web.token={hash_token('x')}"], "remove either"),
    ],
)
def test_an_unguarded_configuration_is_refused(settings: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("", "c.yaml", settings)
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_passwords_of_an_older_version_still_fit(caplog: pytest.LogCaptureFixture) -> None:
    """The hash was made by `hash-password` of version 0.1."""
    stored = "scrypt:AAECAwQFBgcICQoLDA0ODw==:4sHRTp3kkY7OiKazYbQQGSiZrGiUl2v++ACe0S7xHvE="
    parse_config("", "c.yaml", [f"web.password={stored}"])
    assert password_matches(PASSWORD, stored)
    assert not password_matches(PASSWORD + " ", stored)
    Access(AccessPolicy(password=stored), loop=Loop())
    assert "the next version refuses it" in caplog.text


@pytest.mark.parametrize("extra", [f"web.token={hash_token('x')}", "web.auth=none"])
def test_the_network_may_watch_when_it_is_said(extra: str) -> None:
    config = parse_config("", "c.yaml", ["web.host=0.0.0.0", extra])
    assert config.web.unguarded is ("none" in extra)


def test_the_commands_make_what_the_configuration_takes() -> None:
    def run(command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "edge_daemon", command]
        return subprocess.run(
            words, input=given, capture_output=True, text=True, cwd=ROOT, check=False
        )

    stored = run("hash-password", PASSWORD + "\n").stdout.strip()
    assert password_matches(PASSWORD, stored)
    assert parse_config("", "c", [f"web.password={stored}"]).web.password == stored
    token, hashed = re.findall(r": +(\S+)$", run("new-token").stdout, re.M)
    assert token_matches(token, parse_config("", "c", [f"web.token={hashed}"]).web.token)
    short = run("hash-password", "short\n")
    assert short.returncode == 2
    assert "8 characters" in short.stderr


def test_an_upload_that_is_nothing_is_not_worth_a_traceback(
    open_site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_site.connect() as client:
        client.sendall(b"POST /api/classify HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        client.sendall(b"Content-Length: 1000\r\n\r\n\xff\xd8")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert open_site.send("/api/classify", "POST", b"no picture", {}).status == 415
    assert caplog.text == capfd.readouterr().err == ""
    assert open_site.get("/state").status == 200


def test_bytes_that_no_url_has_are_refused(guarded: Site, caplog: pytest.LogCaptureFixture) -> None:
    with guarded.connect() as client:
        client.sendall(b"GET /state?token=\x90 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert guarded.get("/state?token=%90&%ff=%c3").status == 401
    assert caplog.messages == ["web: a wrong password or token from 127.0.0.1 (1)"]


REQUESTS = (
    b"GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: mien=1.a\r\nAuthorization: Basic !\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\npassword=x",
    b"GET /events?since=2026-01-01&limit=5 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: h2c\r\n\r\n",
    b"GET /static/..%2f..%2fweb.py HTTP/1.1\r\nHost: [::1]:80\r\nAccept: text/html\r\n\r\n",
)
PIECES = (b"\r\n", b"\0", b"%00", b"%ff", b": ", b"\r\n\r\n", b"?", b"&token=x", b"\xc3(", b"//")


def mangled(request: bytes, chance: random.Random) -> bytes:
    changed = bytearray(request)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed))
        length = chance.choice([0, 0, 1, 5])
        changed[place : place + length] = chance.choice([*PIECES, chance.randbytes(2)])
    return bytes(changed)


def test_mangled_requests_break_nothing(
    guarded: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(6)
    statuses = Counter[bytes]()
    for number in range(300):
        with guarded.connect() as client:
            client.sendall(mangled(REQUESTS[number % len(REQUESTS)], chance))
            client.shutdown(socket.SHUT_WR)
            statuses[client.recv(4096)[9:12]] += 1
    assert statuses.keys() <= {b"400", b"401", b"415", b"421", b"429", b"501", b"505"}
    assert all("a wrong password or token from 127.0.0.1" in each for each in caplog.messages)
    assert capfd.readouterr().err == ""
    assert guarded.failures == []
